import Foundation
import NIOCore

/// An answer of Kinesis' `GetRecords` that is rendered once; of each copy only the sequence numbers are its own.
///
/// Written after the answers of the service itself: numbers of 56 digits, arrival times in seconds with an exponent, and
/// iterators of some two hundred characters.
struct RecordsTemplate: Sendable {
  private static let numberPrefix = "49" + String(repeating: "0", count: 42)
  /// The digits of a sequence number that differ.
  private static let numberDigits = 12
  /// As many shards as the last digits of a number can tell apart.
  private static let maximumShards = 1000
  private static let iteratorPrefix = String(repeating: "A", count: 180)

  private let records: [UInt8]
  private let stride: Int

  /// - Parameters:
  ///   - count: the most records of an answer.
  ///   - dataBytes: of each record.
  init(count: Int, dataBytes: Int) {
    var random = SystemRandomNumberGenerator()
    let rendered = (0..<count).map { _ in Self.record(dataBytes, using: &random) }
    records = Array(rendered.joined().utf8)
    stride = rendered.first?.utf8.count ?? 0
  }

  private static func record(_ dataBytes: Int, using random: inout some RandomNumberGenerator) -> String {
    let data = Data((0..<dataBytes).map { _ in UInt8.random(in: .min ... .max, using: &random) })
    let digits = String(UInt64.random(in: .min ... .max, using: &random), radix: 16)
    let key = String(repeating: "0", count: 16 - digits.count) + digits
    return #"{"SequenceNumber":"\#(number(0, of: 0))","ApproximateArrivalTimestamp":1.764021600123E9,"#
      + #""Data":"\#(data.base64EncodedString())","PartitionKey":"\#(key)","EncryptionType":"NONE"},"#
  }

  /// The answer with the records from `position` on.
  func answer(from position: Int, count: Int, of shard: Int, isLast: Bool) -> ByteBuffer {
    let length = count * stride
    var buffer = ByteBufferAllocator().buffer(capacity: length + 512)
    buffer.writeStaticString(#"{"Records":["#)
    let start = buffer.writerIndex
    buffer.writeBytes(records[..<length])
    buffer.withUnsafeMutableReadableBytes { bytes in
      for index in 0..<count {
        let end = start + index * stride + 19 + Self.numberPrefix.utf8.count + Self.numberDigits
        Self.write(Self.tail(position + index, of: shard), endingAt: end, in: bytes)
      }
    }
    // The comma behind the last record.
    if count > 0 { buffer.moveWriterIndex(to: buffer.writerIndex - 1) }
    let next = Self.iterator(at: position + count, of: shard)
    buffer.writeString(#"],"NextShardIterator":"\#(next)","MillisBehindLatest":\#(isLast ? 0 : 5000)}"#)
    return buffer
  }

  private static func write(_ number: Int, endingAt end: Int, in bytes: UnsafeMutableRawBufferPointer) {
    var rest = number
    for place in 1...numberDigits {
      bytes[end - place] = UInt8(ascii: "0") + UInt8(rest % 10)
      rest /= 10
    }
  }

  // MARK: Numbers and iterators

  private static func tail(_ position: Int, of shard: Int) -> Int { position * maximumShards + shard }

  static func number(_ position: Int, of shard: Int) -> String {
    let digits = String(tail(position, of: shard))
    return numberPrefix + String(repeating: "0", count: numberDigits - digits.count) + digits
  }

  static func position(of number: String) -> Int? {
    Int(number.suffix(numberDigits)).map { $0 / maximumShards }
  }

  static func iterator(at position: Int, of shard: Int) -> String { "\(iteratorPrefix).\(shard).\(position)" }

  static func place(of iterator: String) -> (shard: Int, position: Int)? {
    let parts = iterator.split(separator: ".")
    guard parts.count == 3, let shard = Int(parts[1]), let position = Int(parts[2]) else { return nil }
    return (shard, position)
  }
}
