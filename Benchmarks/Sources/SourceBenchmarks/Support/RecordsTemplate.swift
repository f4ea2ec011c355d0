import Foundation
import NIOCore

/// The records of an answer to `GetRecords`, rendered once; of each copy only the sequence numbers are its own.
struct RecordsTemplate: Sendable {
  /// The digits of a sequence number that differ.
  private static let numberDigits = 12
  /// As many shards as the last digits of a number can tell apart.
  private static let maximumShards = 1000
  /// As long as the iterators of the services are.
  private static let iteratorPrefix = String(repeating: "A", count: 180)

  private let records: [UInt8]
  private let stride: Int
  /// The first digits of each sequence number.
  private let numberPrefix: String
  /// Where in a record its sequence number ends.
  private let numberEnd: Int

  /// - Parameters:
  ///   - count: the most records of an answer.
  ///   - numberLength: the digits of a sequence number.
  ///   - record: renders a record with its sequence number; each is as long as the others.
  init(count: Int, numberLength: Int, record: (String) -> String) {
    numberPrefix = "49" + String(repeating: "0", count: numberLength - Self.numberDigits - 2)
    let number = numberPrefix + String(repeating: "0", count: Self.numberDigits)
    let rendered = (0..<count).map { _ in record(number) + "," }
    records = Array(rendered.joined().utf8)
    stride = records.count / count
    numberEnd = rendered[0].utf8.distance(
      from: rendered[0].startIndex,
      to: rendered[0].range(of: number)?.upperBound ?? rendered[0].endIndex
    )
  }

  /// An answer with the records from `position` on.
  ///
  /// - Parameter end: what comes after the iterator, from a comma on, or nothing.
  func answer(from position: Int, count: Int, of shard: Int, end: String = "") -> ByteBuffer {
    let length = count * stride
    var buffer = ByteBufferAllocator().buffer(capacity: length + 512)
    buffer.writeStaticString(#"{"Records":["#)
    let start = buffer.writerIndex
    buffer.writeBytes(records[..<length])
    buffer.withUnsafeMutableReadableBytes { bytes in
      for index in 0..<count {
        let tail = Self.tail(position + index, of: shard)
        Self.write(tail, endingAt: start + index * stride + numberEnd, in: bytes)
      }
    }
    // The comma after the last record.
    if count > 0 { buffer.moveWriterIndex(to: buffer.writerIndex - 1) }
    let next = Self.iterator(at: position + count, of: shard)
    buffer.writeString(#"],"NextShardIterator":"\#(next)"\#(end)}"#)
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

  func number(_ position: Int, of shard: Int) -> String {
    let digits = String(Self.tail(position, of: shard))
    return numberPrefix + String(repeating: "0", count: Self.numberDigits - digits.count) + digits
  }

  static func position(of number: String) -> Int? {
    Int(number.suffix(numberDigits)).map { $0 / maximumShards }
  }

  static func iterator(at position: Int, of shard: Int) -> String {
    "\(iteratorPrefix).\(shard).\(position)"
  }

  static func place(of iterator: String) -> (shard: Int, position: Int)? {
    let parts = iterator.split(separator: ".")
    guard parts.count == 3, let shard = Int(parts[1]), let position = Int(parts[2]) else { return nil }
    return (shard, position)
  }
}
