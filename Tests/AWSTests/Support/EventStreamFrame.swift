#if AWS
import NIOCore

@testable import AWSRequests
@testable import TidemarkAWS

/// Frames a message with headers that are strings.
func eventStreamFrame(_ headers: KeyValuePairs<String, String>, _ payload: String) -> [UInt8] {
  var bytes = ByteBuffer()
  for (name, value) in headers {
    bytes.writeInteger(UInt8(name.utf8.count))
    bytes.writeString(name)
    bytes.writeInteger(UInt8(7))
    bytes.writeInteger(UInt16(value.utf8.count))
    bytes.writeString(value)
  }
  return eventStreamFrame(headers: Array(bytes.readableBytesView), payload: Array(payload.utf8))
}

func eventStreamFrame(headers: [UInt8], payload: [UInt8]) -> [UInt8] {
  var frame = ByteBuffer()
  frame.writeInteger(UInt32(16 + headers.count + payload.count))
  frame.writeInteger(UInt32(headers.count))
  frame.writeInteger(CRC32.checksum(frame.readableBytesView))
  frame.writeBytes(headers)
  frame.writeBytes(payload)
  frame.writeInteger(CRC32.checksum(frame.readableBytesView))
  return Array(frame.readableBytesView)
}
#endif
