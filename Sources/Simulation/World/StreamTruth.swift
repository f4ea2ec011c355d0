import Tidemark

/// Everything that was ever put into the simulated streams, and what became of it: known to the checkers alone.
final class StreamTruth {
  struct Shard {
    var key: LeaseKey
    var parents: [LeaseKey]
    var records: [Int] = []
    var isClosed = false
    /// Up to here in `records` everything is settled.
    var settled = 0
  }

  struct Record {
    var sequence: UInt64
    var shard: LeaseKey
    var item: Int
    /// The record of the same item before this one.
    var previousOfItem: Int?
    /// The record of the same shard before this one.
    var previousOfShard: Int?
    var isHandled = false
    var isDeadLettered = false
    /// It was dead-lettered, and the store has lost that: it has to come again, but what follows may have begun.
    var isLetterLost = false
    /// It need not be handled: it was there before reading began at LATEST, or retention has dropped it.
    var isExcused = false

    var isSettled: Bool { isHandled || isDeadLettered || isExcused }
    var wasSettled: Bool { isSettled || isLetterLost }
  }

  /// The shards that ever had a lease.
  var leased: Set<LeaseKey> = []
  private var removed: Set<LeaseKey> = []
  private(set) var shards: [LeaseKey: Shard] = [:]
  private(set) var records: [Record] = []
  private var bySequence: [Place: Int] = [:]
  private var lastOfItem: [Item: Int] = [:]

  /// Each stream counts its own sequence numbers, and has its own items.
  private struct Place: Hashable {
    var stream: String
    var sequence: UInt64
  }

  private struct Item: Hashable {
    var stream: String
    var number: Int
  }

  var unsettled: Int { records.count { !$0.isSettled } }

  func open(_ shard: Tidemark.Shard, of stream: SimulatedStream) {
    let key = stream.key(shard.id)
    shards[key] = Shard(key: key, parents: shard.parentIDs.map(stream.key))
  }

  /// Retention has forgotten the shard and all that was in it.
  func remove(_ key: LeaseKey) {
    removed.insert(key)
    excuse(key, through: .max)
  }

  func isRemoved(_ key: LeaseKey) -> Bool { removed.contains(key) }

  func close(_ key: LeaseKey) { shards[key]?.isClosed = true }

  func put(_ record: Tidemark.Record, item: Int, in key: LeaseKey) {
    guard let sequence = record.sequenceNumber.uint64Value else { return }
    let index = records.count
    records.append(
      Record(
        sequence: sequence,
        shard: key,
        item: item,
        previousOfItem: lastOfItem[Item(stream: key.stream, number: item)],
        previousOfShard: shards[key]?.records.last
      )
    )
    bySequence[Place(stream: key.stream, sequence: sequence)] = index
    lastOfItem[Item(stream: key.stream, number: item)] = index
    shards[key]?.records.append(index)
  }

  /// How much there was at one moment.
  struct Moment {
    fileprivate var records: Int
    fileprivate var open: Set<LeaseKey>
    fileprivate var shards: Set<LeaseKey>
  }

  var moment: Moment {
    Moment(
      records: records.count,
      open: Set(shards.values.filter { !$0.isClosed }.map(\.key)),
      shards: Set(shards.keys)
    )
  }

  /// The stream has lost what came after that: nobody has to read it, and shards that were closed are open again.
  func lose(since moment: Moment) {
    for index in moment.records..<max(moment.records, records.count) { records[index].isExcused = true }
    for key in shards.keys where !moment.shards.contains(key) { remove(key) }
    for key in moment.open { shards[key]?.isClosed = false }
  }

  func index(of record: Tidemark.Record, in stream: String) -> Int? {
    record.sequenceNumber.uint64Value.flatMap { bySequence[Place(stream: stream, sequence: $0)] }
  }

  func handle(_ index: Int) { records[index].isHandled = true }
  func deadLetter(_ index: Int) { records[index].isDeadLettered = true }

  /// The store has lost all dead letters but these: the records of the others are nowhere.
  func loseLetters(except left: Set<Int>) {
    for index in records.indices where records[index].isDeadLettered && !left.contains(index) {
      records[index].isDeadLettered = false
      records[index].isLetterLost = true
    }
    for key in shards.keys { shards[key]?.settled = 0 }
  }

  /// Excuses the records of a shard up to and including a sequence number.
  func excuse(_ key: LeaseKey, through sequence: UInt64) {
    for index in shards[key]?.records ?? [] where records[index].sequence <= sequence {
      records[index].isExcused = true
    }
  }

  /// The first record of a shard, at or before a sequence number, that is not settled.
  func firstUnsettled(in key: LeaseKey, through sequence: UInt64) -> Record? {
    guard var shard = shards[key] else { return nil }
    while shard.settled < shard.records.count, records[shard.records[shard.settled]].isSettled {
      shard.settled += 1
    }
    shards[key] = shard
    guard shard.settled < shard.records.count else { return nil }
    let record = records[shard.records[shard.settled]]
    return record.sequence <= sequence ? record : nil
  }
}
