import Tidemark
import Waiting

extension InMemoryStream {
  /// A shard and its records. Positions count all records that it ever had, also the trimmed ones.
  struct ShardLog {
    var shard: Shard
    var records: [Record] = []
    /// The position of the first record that is still there.
    var firstIndex = 0
    var lastTrimmed: Checkpoint?

    var endIndex: Int { firstIndex + records.count }

    /// The last position that is taken: that of the last record, or the one before the first that can come.
    var head: Checkpoint {
      if let last = records.last?.checkpoint ?? lastTrimmed { return last }
      return .record(SequenceNumber((shard.startingSequenceNumber?.uint64Value ?? 1) - 1))
    }

    /// The position after `checkpoint`; `nil` if records after it are gone.
    func cursor(after checkpoint: Checkpoint) -> Int? {
      switch checkpoint {
      case .trimHorizon: return firstIndex
      case .latest, .shardEnd: return endIndex
      case .atTimestamp(let time):
        return firstIndex + (records.firstIndex { $0.approximateCreationTime >= time } ?? records.count)
      case .record:
        if let lastTrimmed, checkpoint < lastTrimmed { return nil }
        return firstIndex + (records.firstIndex { $0.checkpoint > checkpoint } ?? records.count)
      }
    }

    mutating func trim(through sequenceNumber: SequenceNumber) {
      let gone = records.prefix { $0.sequenceNumber <= sequenceNumber }
      guard let last = gone.last else { return }
      lastTrimmed = last.checkpoint
      firstIndex += gone.count
      records.removeFirst(gone.count)
    }
  }

  struct State {
    var shards: [String: ShardLog] = [:]
    /// Shard ids, oldest first.
    var order: [String] = []
    private var lastSequenceNumber: UInt64 = 0
    private var lastShardNumber = -1
    private var waiting: [String: [OneShotSignal]] = [:]
    /// How often it has lost its tail: readers from before have positions that mean nothing any more.
    private(set) var losses = 0

    init(shardCount: Int) {
      let width = shardCount > 1 ? UInt128.max / UInt128(shardCount) + 1 : 0
      for index in 0..<shardCount {
        let isLast = index == shardCount - 1
        let start = width * UInt128(index)
        open([], Shard.HashRange(start: start, end: isLast ? .max : start + width - 1))
      }
    }

    @discardableResult
    private mutating func open(_ parents: [String], _ range: Shard.HashRange) -> Shard {
      lastShardNumber += 1
      let digits = String(lastShardNumber)
      let id = "shard-" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
      let shard = Shard(
        id: id,
        parentIDs: parents,
        hashRange: range,
        startingSequenceNumber: SequenceNumber(lastSequenceNumber + 1)
      )
      shards[id] = ShardLog(shard: shard)
      order.append(id)
      return shard
    }

    mutating func close(_ shardID: String, at time: Timestamp) {
      shards[shardID]?.shard.endingSequenceNumber = SequenceNumber(lastSequenceNumber)
      shards[shardID]?.shard.closedAt = time
    }

    mutating func replace(
      _ parents: [String],
      by ranges: ([Shard]) -> [Shard.HashRange],
      at time: Timestamp
    ) -> [Shard] {
      let open = parents.compactMap { shards[$0]?.shard }.filter(\.isOpen)
      guard open.count == parents.count else { return [] }
      let ranges = ranges(open)
      guard !ranges.isEmpty else { return [] }
      for parent in parents { close(parent, at: time) }
      return ranges.map { self.open(parents, $0) }
    }

    func children(of shardID: String) -> [Shard] {
      order.compactMap { shards[$0]?.shard }.filter { $0.parentIDs.contains(shardID) }
    }

    func openShard(taking partitionKey: String) -> String? {
      let hash = Self.hash(partitionKey)
      return order.first { shardID in
        guard let shard = shards[shardID]?.shard, shard.isOpen, let range = shard.hashRange else {
          return false
        }
        return range.start <= hash && hash <= range.end
      }
    }

    /// The same on every run, and spread over all bits: shards are ranges of the highest ones.
    private static func hash(_ key: String) -> UInt128 {
      // FNV-1a, and then the mixer of SplitMix64 for each half.
      let sum = key.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) {
        ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3
      }
      return UInt128(mix(sum)) << 64 | UInt128(mix(~sum))
    }

    private static func mix(_ value: UInt64) -> UInt64 {
      var mixed = value &+ 0x9e37_79b9_7f4a_7c15
      mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
      mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
      return mixed ^ mixed >> 31
    }

    mutating func append(
      _ payloads: [[UInt8]],
      partitionKey: String,
      to shardID: String,
      at time: Timestamp
    ) -> [Record] {
      lastSequenceNumber += 1
      let records = payloads.enumerated().map { index, payload in
        Record(
          sequenceNumber: SequenceNumber(lastSequenceNumber),
          subSequenceNumber: UInt64(index),
          partitionKey: partitionKey,
          approximateCreationTime: time,
          body: .data(RecordBytes(payload))
        )
      }
      shards[shardID]?.records += records
      return records
    }

    // MARK: Histories

    /// Goes on from a number that no lost record can have had.
    mutating func enterHistory(_ number: Int64) {
      lastSequenceNumber = max(lastSequenceNumber, UInt64(number) << 32)
    }

    /// Forgets what came after `kept` was taken. Shards are never named like lost ones.
    mutating func lose(since kept: State) {
      (shards, order, lastSequenceNumber) = (kept.shards, kept.order, kept.lastSequenceNumber)
      losses += 1
    }

    // MARK: Waiting readers

    /// - Returns: whether there is something to wait for.
    mutating func wait(_ news: OneShotSignal, for shardID: String, at cursor: Int) -> Bool {
      guard let log = shards[shardID], log.shard.isOpen, cursor >= log.endIndex else { return false }
      waiting[shardID, default: []].append(news)
      return true
    }

    mutating func takeWaiting(_ shardID: String) -> [OneShotSignal] {
      waiting.removeValue(forKey: shardID) ?? []
    }

    mutating func takeAllWaiting() -> [OneShotSignal] {
      waiting.keys.sorted().flatMap { takeWaiting($0) }
    }

    mutating func remove(_ news: OneShotSignal, of shardID: String) {
      waiting[shardID]?.removeAll { $0 === news }
    }
  }
}
