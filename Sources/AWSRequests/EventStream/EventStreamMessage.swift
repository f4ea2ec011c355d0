#if AWS
import NIOCore

/// One message of an `application/vnd.amazon.eventstream` answer.
package struct EventStreamMessage: Sendable, Equatable {
  package enum Header: Sendable, Equatable {
    case bool(Bool)
    case byte(Int8)
    case short(Int16)
    case integer(Int32)
    case long(Int64)
    case bytes([UInt8])
    case string(String)
    /// In milliseconds since 1970.
    case timestamp(Int64)
    /// Its 16 bytes.
    case uuid([UInt8])
  }

  package var headers: [String: Header] = [:]
  package var payload = ByteBuffer()

  /// A header that is a string, such as `:message-type`.
  package subscript(name: String) -> String? {
    if case .string(let text) = headers[name] { text } else { nil }
  }
}

extension EventStreamMessage {
  /// - Returns: `nil` if this is no list of headers.
  static func headers(in bytes: ByteBuffer) -> [String: Header]? {
    var bytes = bytes
    var headers: [String: Header] = [:]
    while bytes.readableBytes > 0 {
      guard let length = bytes.readInteger(as: UInt8.self), length > 0,
        let name = bytes.readString(length: Int(length)), let header = bytes.readHeader(),
        headers.updateValue(header, forKey: name) == nil
      else { return nil }
    }
    return headers
  }
}

extension ByteBuffer {
  fileprivate mutating func readHeader() -> EventStreamMessage.Header? {
    switch readInteger(as: UInt8.self) {
    case 0: .bool(true)
    case 1: .bool(false)
    case 2: readInteger().map { .byte($0) }
    case 3: readInteger().map { .short($0) }
    case 4: readInteger().map { .integer($0) }
    case 5: readInteger().map { .long($0) }
    case 6: readInteger(as: UInt16.self).flatMap { readBytes(length: Int($0)) }.map { .bytes($0) }
    case 7: readInteger(as: UInt16.self).flatMap { readString(length: Int($0)) }.map { .string($0) }
    case 8: readInteger().map { .timestamp($0) }
    case 9: readBytes(length: 16).map { .uuid($0) }
    default: nil
    }
  }
}
#endif
