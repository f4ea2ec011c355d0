#if AWS
import Crypto
import Tidemark

/// The user records that a producer packed into one record of Kinesis, as views into its data.
///
/// The format is the Kinesis Producer Library's: https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md.
struct AggregatedRecord: Equatable, Sendable {
  /// One of them. The ranges are offsets in the data.
  struct UserRecord: Equatable, Sendable {
    /// The position in the aggregated record, from 0, so that a user record has the same number whatever is left out.
    var subSequenceNumber: UInt64
    var partitionKey: Range<Int>
    /// Decimal digits.
    var explicitHashKey: Range<Int>?
    var data: Range<Int>
    /// Whether it is known that another shard has its hash key.
    var isForeign: Bool
  }

  private(set) var records: [UserRecord] = []
  /// From the lowest to the highest of the user records' hash keys, if this has read them.
  private var hashSpan: ClosedRange<UInt128>?

  private static let magic: [UInt8] = [0xF3, 0x89, 0x9A, 0xC2]
  private static let digestSize = Insecure.MD5.byteCount

  /// - Parameters:
  ///   - data: a record's data.
  ///   - hashRange: the shard's, if it is known.
  /// - Returns: `nil` for a record that is to be taken as it is: not aggregated, with another digest than its own, or
  ///   not readable.
  init?(in data: UnsafeRawBufferPointer, hashRange: Shard.HashRange? = nil) {
    let end = data.count - Self.digestSize
    guard end > Self.magic.count, data.starts(with: Self.magic) else { return nil }
    let message = Self.magic.count..<end
    let digest = Insecure.MD5.hash(data: UnsafeRawBufferPointer(rebasing: data[message]))
    guard digest.elementsEqual(data[end...]) else { return nil }
    do throws(ProtobufReader.Malformed) {
      try read(data, in: message, belongingTo: hashRange)
    } catch {
      return nil
    }
  }

  /// Whether the Kinesis Producer Library packed this, as far as one can tell. It packs for one shard. What ends up in
  /// another one than it belongs to, because that was split, it sends again, or says to its user that it failed:
  /// https://github.com/awslabs/amazon-kinesis-producer/blob/master/aws/kinesis/core/retrier.cc.
  ///
  /// It puts an aggregated record under the key "a" and the hash key of the first user record (`kinesis_record.cc` there).
  /// aws-kinesis-agg and its like pack whatever comes for any shard, send nothing again, and put it under one of the packed
  /// keys. Where that is "a" nobody can tell, and a record twice is better than none.
  ///
  /// - Parameters:
  ///   - partitionKey: the aggregated record's own.
  ///   - ancestors: the hash keys of the shards that it may have been packed for.
  func isOfProducerLibrary(
    under partitionKey: String,
    in data: UnsafeRawBufferPointer,
    packedFor ancestors: [Shard.HashRange]
  ) -> Bool {
    guard partitionKey == "a", records.first?.isForeign == false, let hashSpan else { return false }
    return ancestors.contains { $0.start <= hashSpan.lowerBound && hashSpan.upperBound <= $0.end }
      && !records.contains { data[$0.partitionKey].elementsEqual("a".utf8) }
  }

  private mutating func read(
    _ data: UnsafeRawBufferPointer,
    in message: Range<Int>,
    belongingTo hashRange: Shard.HashRange?
  ) throws(ProtobufReader.Malformed) {
    let tables = try AggregationTables(data, in: message)
    let filter = hashRange == .all ? nil : hashRange
    let hashes = filter == nil ? nil : tables.hashes(in: data)
    records.reserveCapacity(tables.records.count)
    for (position, range) in tables.records.enumerated() {
      let packed = try PackedRecord(data, in: range)
      guard let partitionKey = tables.partitionKeys.element(at: packed.partitionKeyIndex) else {
        throw ProtobufReader.Malformed()
      }
      let explicitHashKey = try packed.explicitHashKeyIndex.map {
        index throws(ProtobufReader.Malformed) in
        guard let key = tables.explicitHashKeys.element(at: index) else { throw ProtobufReader.Malformed() }
        return key
      }
      var isForeign = false
      if let filter, let hash = hashes?.hash(of: packed) {
        isForeign = !(filter.start...filter.end).contains(hash)
        hashSpan = min(hashSpan?.lowerBound ?? hash, hash)...max(hashSpan?.upperBound ?? hash, hash)
      }
      records.append(
        UserRecord(
          subSequenceNumber: UInt64(position),
          partitionKey: partitionKey,
          explicitHashKey: explicitHashKey,
          data: packed.data,
          isForeign: isForeign
        )
      )
    }
  }
}

/// `AggregatedRecord` as it is on the wire.
private struct AggregationTables {
  /// The hash keys of the tables' entries; `nil` for what is no number, which then belongs anywhere.
  struct Hashes {
    var partitionKeys: [UInt128]
    var explicitHashKeys: [UInt128?]

    func hash(of record: PackedRecord) -> UInt128? {
      if let index = record.explicitHashKeyIndex { return explicitHashKeys[Int(index)] }
      return partitionKeys[Int(record.partitionKeyIndex)]
    }
  }

  var partitionKeys: [Range<Int>] = []
  var explicitHashKeys: [Range<Int>] = []
  var records: [Range<Int>] = []

  init(_ data: UnsafeRawBufferPointer, in message: Range<Int>) throws(ProtobufReader.Malformed) {
    var reader = ProtobufReader(data, in: message)
    while let field = try reader.next() {
      switch (field.number, field.value) {
      case (1, .bytes(let range)): partitionKeys.append(range)
      case (2, .bytes(let range)): explicitHashKeys.append(range)
      case (3, .bytes(let range)): records.append(range)
      default: break
      }
    }
  }

  /// Each key once, however many records share it.
  func hashes(in data: UnsafeRawBufferPointer) -> Hashes {
    Hashes(
      partitionKeys: partitionKeys.map { range in
        Insecure.MD5.hash(data: UnsafeRawBufferPointer(rebasing: data[range]))
          .reduce(0) { $0 << 8 | UInt128($1) }
      },
      explicitHashKeys: explicitHashKeys.map { UInt128(String(decoding: data[$0], as: UTF8.self)) }
    )
  }
}

/// `Record` as it is on the wire. Its tags, field 4, were never put to use.
private struct PackedRecord {
  var partitionKeyIndex: UInt64
  var explicitHashKeyIndex: UInt64?
  var data: Range<Int>

  init(_ bytes: UnsafeRawBufferPointer, in message: Range<Int>) throws(ProtobufReader.Malformed) {
    var partitionKeyIndex: UInt64?
    var data: Range<Int>?
    var reader = ProtobufReader(bytes, in: message)
    while let field = try reader.next() {
      switch (field.number, field.value) {
      case (1, .varint(let index)): partitionKeyIndex = index
      case (2, .varint(let index)): explicitHashKeyIndex = index
      case (3, .bytes(let range)): data = range
      default: break
      }
    }
    guard let partitionKeyIndex, let data else { throw ProtobufReader.Malformed() }
    self.partitionKeyIndex = partitionKeyIndex
    self.data = data
  }
}

extension [Range<Int>] {
  fileprivate func element(at index: UInt64) -> Range<Int>? {
    index < UInt64(count) ? self[Int(index)] : nil
  }
}
#endif
