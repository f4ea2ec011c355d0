import Tidemark

/// Everything that was ever put into the simulated stream, and what became of it: known to the checkers alone.
final class StreamTruth {
  struct Shard {
    var id: String
    var parents: [String]
    var records: [Int] = []
    var isClosed = false
    /// Up to here in `records` everything is settled.
    var settled = 0
  }

  struct Record {
    var sequence: UInt64
    var shard: String
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
  var leased: Set<String> = []
  private var removed: Set<String> = []
  private(set) var shards: [String: Shard] = [:]
  private(set) var records: [Record] = []
  private var bySequence: [UInt64: Int] = [:]
  private var lastOfItem: [Int: Int] = [:]

  var unsettled: Int { records.count { !$0.isSettled } }

  func open(_ shard: Tidemark.Shard) {
    shards[shard.id] = Shard(id: shard.id, parents: shard.parentIDs)
  }

  /// Retention has forgotten the shard and all that was in it.
  func remove(_ shardID: String) {
    removed.insert(shardID)
    excuse(shardID, through: .max)
  }

  func isRemoved(_ shardID: String) -> Bool { removed.contains(shardID) }

  func close(_ shardID: String) { shards[shardID]?.isClosed = true }

  func put(_ record: Tidemark.Record, item: Int, in shardID: String) {
    guard let sequence = record.sequenceNumber.uint64Value else { return }
    let index = records.count
    records.append(
      Record(
        sequence: sequence,
        shard: shardID,
        item: item,
        previousOfItem: lastOfItem[item],
        previousOfShard: shards[shardID]?.records.last
      )
    )
    bySequence[sequence] = index
    lastOfItem[item] = index
    shards[shardID]?.records.append(index)
  }

  /// How much there was at one moment.
  struct Moment {
    fileprivate var records: Int
    fileprivate var open: Set<String>
    fileprivate var shards: Set<String>
  }

  var moment: Moment {
    Moment(
      records: records.count,
      open: Set(shards.values.filter { !$0.isClosed }.map(\.id)),
      shards: Set(shards.keys)
    )
  }

  /// The stream has lost what came after that: nobody has to read it, and shards that were closed are open again.
  func lose(since moment: Moment) {
    for index in moment.records..<max(moment.records, records.count) { records[index].isExcused = true }
    for shardID in shards.keys where !moment.shards.contains(shardID) { remove(shardID) }
    for shardID in moment.open { shards[shardID]?.isClosed = false }
  }

  func index(of record: Tidemark.Record) -> Int? {
    record.sequenceNumber.uint64Value.flatMap { bySequence[$0] }
  }

  func handle(_ index: Int) { records[index].isHandled = true }
  func deadLetter(_ index: Int) { records[index].isDeadLettered = true }

  /// The store has lost all dead letters but these: the records of the others are nowhere.
  func loseLetters(except left: Set<Int>) {
    for index in records.indices where records[index].isDeadLettered && !left.contains(index) {
      records[index].isDeadLettered = false
      records[index].isLetterLost = true
    }
    for shardID in shards.keys { shards[shardID]?.settled = 0 }
  }

  /// Excuses the records of a shard up to and including a sequence number.
  func excuse(_ shardID: String, through sequence: UInt64) {
    for index in shards[shardID]?.records ?? [] where records[index].sequence <= sequence {
      records[index].isExcused = true
    }
  }

  /// The first record of a shard, at or before a sequence number, that is not settled.
  func firstUnsettled(in shardID: String, through sequence: UInt64) -> Record? {
    guard var shard = shards[shardID] else { return nil }
    while shard.settled < shard.records.count, records[shard.records[shard.settled]].isSettled {
      shard.settled += 1
    }
    shards[shardID] = shard
    guard shard.settled < shard.records.count else { return nil }
    let record = records[shard.records[shard.settled]]
    return record.sequence <= sequence ? record : nil
  }
}
