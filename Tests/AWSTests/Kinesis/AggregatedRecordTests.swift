#if AWS
import Crypto
import Foundation
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

/// Packs user records as the Kinesis Producer Library does.
struct RecordPacker {
  private var partitionKeys: [String] = []
  private var explicitHashKeys: [String] = []
  private var records: [[UInt8]] = []

  mutating func add(_ data: [UInt8], key: String, explicitHashKey: String? = nil) {
    var record = Self.field(1, varint: UInt64(Self.index(of: key, in: &partitionKeys)))
    if let explicitHashKey {
      record += Self.field(2, varint: UInt64(Self.index(of: explicitHashKey, in: &explicitHashKeys)))
    }
    records.append(record + Self.field(3, bytes: data))
  }

  /// - Parameter extra: more fields of the message.
  func packed(extra: [UInt8] = []) -> [UInt8] {
    let message =
      partitionKeys.flatMap { Self.field(1, bytes: Array($0.utf8)) }
      + explicitHashKeys.flatMap { Self.field(2, bytes: Array($0.utf8)) }
      + records.flatMap { Self.field(3, bytes: $0) } + extra
    return Self.sealed(message)
  }

  static func sealed(_ message: [UInt8]) -> [UInt8] {
    [0xF3, 0x89, 0x9A, 0xC2] + message + Array(Insecure.MD5.hash(data: message))
  }

  static func field(_ number: UInt64, varint value: UInt64) -> [UInt8] {
    varint(number << 3) + varint(value)
  }

  static func field(_ number: UInt64, bytes: [UInt8]) -> [UInt8] {
    varint(number << 3 | 2) + varint(UInt64(bytes.count)) + bytes
  }

  static func varint(_ value: UInt64) -> [UInt8] {
    value < 0x80 ? [UInt8(value)] : [UInt8(value & 0x7F) | 0x80] + varint(value >> 7)
  }

  private static func index(of key: String, in table: inout [String]) -> Int {
    if let index = table.firstIndex(of: key) { return index }
    table.append(key)
    return table.count - 1
  }
}

@Suite("A record that a producer packed", .sharesMachine)
struct AggregatedRecordTests {
  struct Content: Equatable {
    var number: UInt64
    var key: String
    var explicitHashKey: String?
    var data: [UInt8]
  }

  private func unpacked(_ data: [UInt8]) -> [Content]? {
    data.withUnsafeBytes { bytes in
      AggregatedRecord(in: bytes)?.records.map { record in
        Content(
          number: record.subSequenceNumber,
          key: String(decoding: bytes[record.partitionKey], as: UTF8.self),
          explicitHashKey: record.explicitHashKey.map { String(decoding: bytes[$0], as: UTF8.self) },
          data: Array(bytes[record.data])
        )
      }
    }
  }

  private var three: RecordPacker {
    var packer = RecordPacker()
    packer.add([1], key: "a")
    packer.add([], key: "b", explicitHashKey: "7")
    packer.add([2, 3], key: "a")
    return packer
  }

  @Test("a packed record comes apart into user records with their keys, numbered from 0")
  func unpacking() {
    #expect(
      unpacked(three.packed()) == [
        Content(number: 0, key: "a", data: [1]), Content(number: 1, key: "b", explicitHashKey: "7", data: []),
        Content(number: 2, key: "a", data: [2, 3]),
      ]
    )
  }

  /// Made with `RecordAggregator` of aws-kinesis-agg 1.2.3 (PyPI).
  @Test("a packed record comes apart if another library has packed it")
  func otherLibrary() throws {
    let text =
      "84mawgoFYWxwaGEKBGJldGEKBWdhbW1hEiczNDAyODIzNjY5MjA5Mzg0NjM0NjMzNzQ2MDc0MzE3NjgyMTE0NTUSATAaCQgAGgVm"
      + "aXJzdBoECAEaABoNCAAaCXNlY29uZCD/ABoNCAIQABoHZ3LDtsOfZRoJCAEQARoDeHl66BqzRGkEqq4GOJLJaP240w=="
    let data = try #require(Data(base64Encoded: text))
    #expect(
      unpacked(Array(data)) == [
        Content(number: 0, key: "alpha", data: Array("first".utf8)),
        Content(number: 1, key: "beta", data: []),
        Content(number: 2, key: "alpha", data: Array("second ".utf8) + [0xFF, 0]),
        Content(
          number: 3,
          key: "gamma",
          explicitHashKey: "340282366920938463463374607431768211455",
          data: Array("größe".utf8)
        ),
        Content(number: 4, key: "beta", explicitHashKey: "0", data: Array("xyz".utf8)),
      ]
    )
  }

  @Test("a packed record knows which user records have a hash key that the shard has not")
  func otherShard() {
    // MD5 of "a" is 0cc1…, of "b" 92eb….
    let half = UInt128(1) << 127
    var packer = RecordPacker()
    packer.add([1], key: "a")
    packer.add([2], key: "b")
    packer.add([3], key: "a", explicitHashKey: "\(UInt128.max)")
    packer.add([4], key: "b", explicitHashKey: "0")
    packer.add([5], key: "b", explicitHashKey: "what?")
    func foreign(in range: Shard.HashRange?) -> [UInt64]? {
      packer.packed().withUnsafeBytes { bytes in
        AggregatedRecord(in: bytes, hashRange: range)?.records.filter(\.isForeign).map(\.subSequenceNumber)
      }
    }
    #expect(foreign(in: Shard.HashRange(start: 0, end: half - 1)) == [1, 2])
    #expect(foreign(in: Shard.HashRange(start: half, end: .max)) == [0, 3])
    #expect(foreign(in: .all) == [])
    #expect(foreign(in: nil) == [])
  }

  @Test("a packed record is read though it has fields that nobody knows")
  func unknownFields() {
    let extra =
      RecordPacker.field(9, varint: .max) + RecordPacker.field(10, bytes: [1, 2])
      + RecordPacker.varint(11 << 3 | 1) + Array(repeating: 0, count: 8) + RecordPacker.varint(12 << 3 | 5)
      + Array(repeating: 0, count: 4) + RecordPacker.field(1, varint: 3)
    #expect(unpacked(three.packed(extra: extra)) == unpacked(three.packed()))
  }

  @Test(
    "a packed record is a plain record where it is not what it seems",
    arguments: [
      [], [0xF3, 0x89, 0x9A, 0xC2], Array("hello, world, this is plain text".utf8), RecordPacker.sealed([]),
      // No partition key, a key that the table has not, no data, an explicit hash key that the table has not.
      RecordPacker.sealed(RecordPacker.field(3, bytes: RecordPacker.field(3, bytes: [1]))),
      RecordPacker.sealed(
        RecordPacker.field(3, bytes: RecordPacker.field(1, varint: 0) + RecordPacker.field(3, bytes: [1]))
      ),
      RecordPacker.sealed(
        RecordPacker.field(1, bytes: [97]) + RecordPacker.field(3, bytes: RecordPacker.field(1, varint: 0))
      ),
      RecordPacker.sealed(
        RecordPacker.field(1, bytes: [97])
          + RecordPacker.field(
            3,
            bytes: RecordPacker.field(1, varint: 0) + RecordPacker.field(2, varint: .max)
              + RecordPacker.field(3, bytes: [1])
          )
      ),
      // A length beyond the end, a group, a varint of eleven bytes, field number 0.
      RecordPacker.sealed([0x0A, 0x05, 1]), RecordPacker.sealed([0x0B]),
      RecordPacker.sealed([0x08] + Array(repeating: 0xFF, count: 10) + [0]), RecordPacker.sealed([0x02, 0]),
    ] as [[UInt8]]
  )
  func plain(data: [UInt8]) {
    #expect(unpacked(data) == nil)
  }

  @Test("a packed record is a plain record when any bit of it is wrong or its end is missing")
  func damage() {
    let whole = three.packed()
    for bit in 0..<(whole.count * 8) {
      var damaged = whole
      damaged[bit / 8] ^= 1 << (bit % 8)
      #expect(unpacked(damaged) == nil)
    }
    for count in whole.indices { #expect(unpacked(Array(whole[..<count])) == nil) }
  }

  @Test(
    "a packed record never has a user record outside its data, whatever message a right digest stands under"
  )
  func fuzz() {
    var random = SystemRandomNumberGenerator()
    let message = three.packed().dropFirst(4).dropLast(16)
    var readable = 0
    for _ in 0..<20_000 {
      var damaged = Array(message)
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        damaged[Int.random(in: damaged.indices, using: &random)] = .random(in: 0...255, using: &random)
      }
      let data = RecordPacker.sealed(damaged)
      data.withUnsafeBytes { bytes in
        guard let records = AggregatedRecord(in: bytes, hashRange: .init(start: 1, end: .max))?.records else {
          return
        }
        readable += 1
        for record in records {
          for range in [record.partitionKey, record.data, record.explicitHashKey ?? 0..<0] {
            #expect(range.lowerBound >= 0 && range.upperBound <= bytes.count - 16)
          }
        }
      }
    }
    #expect(readable > 0)
  }
}
#endif
