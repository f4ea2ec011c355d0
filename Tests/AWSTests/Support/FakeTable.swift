#if AWS
import Foundation
import Tidemark

/// The state of a ``FakeDynamoDBStreams``: a table of four partitions, the streams that it had, and iterators.
struct FakeTable {
  struct FakeRecord {
    var sequenceNumber: String
    var createdAt: Timestamp
    var json: String
  }

  struct FakeShard {
    var id: String
    var parent: String?
    /// The items whose hash ends with these bits.
    var partition: (mask: Int, bits: Int)
    var start: String
    var end: String?
    var records: [FakeRecord] = []
    /// How many of the records are older than the retention.
    var trimmed = 0
    /// How many calls still do not hear of it.
    var hiddenFor = 0
  }

  struct FakeStream {
    var label: String
    var isEnabled = true
    var shards: [FakeShard] = []
  }

  struct FakeIterator {
    var stream: Int
    var shardID: String
    var position: Int
    var issuedAt: Timestamp
    /// Whether the next page has no records.
    var isEmpty = false
  }

  var options: FakeDynamoDBStreams.Options
  let now: @Sendable () -> Timestamp
  private(set) var streams: [FakeStream] = []
  var iterators: [String: FakeIterator] = [:]
  private var items: [String: Int] = [:]
  private var count = 0
  private var shardCount = 0

  init(_ options: FakeDynamoDBStreams.Options, _ now: @escaping @Sendable () -> Timestamp) {
    (self.options, self.now) = (options, now)
    enable()
  }

  // MARK: The table

  /// Numbers grow, and so do their lengths: 21 digits at first, 40 at last; some have zeros before them.
  private mutating func nextNumber() -> String {
    count += 1
    let digits = String(count) + String(repeating: "0", count: min(19 + shardCount / 2, 33)) + "7"
    let padding = max(0, 21 - digits.count) + (count % 3 == 0 ? min(2, max(0, 40 - digits.count)) : 0)
    return String(repeating: "0", count: padding) + digits
  }

  mutating func put(_ id: String, _ value: Int) {
    let old = items.updateValue(value, forKey: id)
    // What changes nothing has no record.
    if old != value { add(old == nil ? "INSERT" : "MODIFY", id, old: old, new: value) }
  }

  mutating func delete(_ id: String, isExpired: Bool = false) {
    guard let old = items.removeValue(forKey: id) else { return }
    add("REMOVE", id, old: old, new: nil, isExpired: isExpired)
  }

  private mutating func add(_ event: String, _ id: String, old: Int?, new: Int?, isExpired: Bool = false) {
    let hash = id.utf8.reduce(5381) { ($0 &* 33 &+ Int($1)) & 0xffff_ffff }
    guard let stream = streams.indices.last, streams[stream].isEnabled,
      let shard = streams[stream].shards.firstIndex(where: {
        $0.end == nil && hash & $0.partition.mask == $0.partition.bits
      })
    else { return }
    let number = nextNumber()
    let view = options.viewType
    func image(_ name: String, _ value: Int?, _ views: Set<StreamViewType>) -> String {
      guard let value, views.contains(view) else { return "" }
      return #""\#(name)":{"id":{"S":"\#(id)"},"value":{"N":"\#(value)"}},"#
    }
    let json = """
      {"eventID":"\(String(format: "%032x", count))","eventName":"\(event)","eventVersion":"1.1",\
      "eventSource":"aws:dynamodb","awsRegion":"eu-central-1","dynamodb":{"ApproximateCreationDateTime":\
      \(now().microsecondsSinceEpoch / 1_000_000),"Keys":{"id":{"S":"\(id)"}},\
      \(image("NewImage", new, [.newImage, .newAndOldImages]))\(image("OldImage", old, [.oldImage, .newAndOldImages]))\
      "SequenceNumber":"\(number)","SizeBytes":40,"StreamViewType":"\(view.rawValue)"}\
      \(isExpired ? #","userIdentity":{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}"# : "")}
      """
    streams[stream].shards[shard].records.append(
      FakeRecord(sequenceNumber: number, createdAt: now(), json: json)
    )
    if streams[stream].shards[shard].records.count >= options.recordsPerShard { rotate(shard) }
  }

  // MARK: Shards

  private mutating func addShard(_ parent: FakeShard?, _ partition: (mask: Int, bits: Int)) {
    shardCount += 1
    let created = now().microsecondsSinceEpoch / 1000 + Int64(shardCount)
    let id = String(format: "shardId-%020ld-%08x", Int(created), shardCount)
    var shard = FakeShard(id: id, parent: parent?.id, partition: partition, start: nextNumber())
    shard.hiddenFor = parent == nil ? 0 : options.callsWithoutChildren
    streams[streams.count - 1].shards.append(shard)
  }

  /// Closes a shard of the newest stream, which goes on in one child, or in two when its partition splits.
  mutating func rotate(_ shard: Int, splits: Bool = false) {
    let stream = streams.count - 1
    guard streams[stream].shards[shard].end == nil else { return }
    streams[stream].shards[shard].end = nextNumber()
    let closed = streams[stream].shards[shard]
    let (mask, bits) = closed.partition
    if splits {
      addShard(closed, (mask << 1 | 1, bits))
      addShard(closed, (mask << 1 | 1, bits | (mask + 1)))
    } else {
      addShard(closed, (mask, bits))
    }
  }

  mutating func rotateAll(splits: Bool = false) {
    for shard in streams[streams.count - 1].shards.indices { rotate(shard, splits: splits) }
  }

  mutating func disable() {
    let stream = streams.count - 1
    streams[stream].isEnabled = false
    for shard in streams[stream].shards.indices where streams[stream].shards[shard].end == nil {
      streams[stream].shards[shard].end = nextNumber()
    }
  }

  mutating func enable() {
    // Two streams never have the same label.
    let second = String(format: "%02d", streams.count)
    streams.append(FakeStream(label: "2026-06-01T12:00:\(second).000"))
    for bits in 0..<4 { addShard(nil, (3, bits)) }
  }

  /// Takes away what is older than a day, and closed shards that nothing is left of.
  mutating func trim() {
    let oldest = now().microsecondsSinceEpoch - 24 * 3600 * 1_000_000
    for stream in streams.indices {
      for shard in streams[stream].shards.indices {
        let records = streams[stream].shards[shard].records
        streams[stream].shards[shard].trimmed =
          records.firstIndex { $0.createdAt.microsecondsSinceEpoch >= oldest } ?? records.count
      }
      streams[stream].shards.removeAll { $0.end != nil && $0.trimmed == $0.records.count }
    }
  }

  mutating func countDown(_ shard: Int, in stream: Int) {
    streams[stream].shards[shard].hiddenFor -= 1
  }
}
#endif
