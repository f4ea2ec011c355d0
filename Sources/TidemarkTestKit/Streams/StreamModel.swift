import Tidemark

/// A change stream as the migrations `streams`, `sequencing`, `shards`, `maintenance` and `snapshots` keep it: inbox, log
/// partitions, steps, shards, snapshots and histories, and the numbers that are given out for them.
///
/// A value: a copy of it is a backup. Time is what its caller says, in seconds. A test runs the same operations on this
/// and on a real stream, and compares the numbers.
public struct StreamModel: Sendable {
  public struct Shard: Sendable, Equatable {
    public var ordinal: Int
    public var parents: [String]
    public var starting: Int64
    public var ending: Int64?
    public var trimmedThrough: Int64 = 0
    /// The application whose snapshot it is.
    public var application: String?
    public var closedAt: Double?

    /// An ordinal may be another shard's once this one is gone; a number never is.
    public var id: String { "\(ordinal)-\(starting)" }
  }

  public struct Partition: Sendable, Equatable {
    public var ordinal: Int64
    public var createdAt: Double
    public var closedAt: Double?
  }

  public struct Record: Sendable, Equatable {
    public var shard: Int
    public var number: Int64
    public var payload: Int
  }

  public struct Snapshot: Sendable, Equatable {
    public var application: String
    public var partition: Int64
    public var createdAt: Double
    public var isComplete = false
  }

  public struct Jump: Sendable, Equatable {
    public var from: Int64
    public var to: Int64
  }

  public let retention: Double
  public let partitionInterval: Double
  public private(set) var head: Int64 = 0
  public private(set) var partitions: [Partition] = []
  public private(set) var shards: [Shard] = []
  public private(set) var snapshots: [Snapshot] = []
  public private(set) var jumps: [Jump] = []
  public private(set) var log: [Record] = []
  private var inbox: [(ordinal: Int, payload: Int)] = []
  private var reserved: [Int64: [Record]] = [:]
  private var writtenAt: Double = 0
  /// The histories that the database knows, by what tells them from others, and the one on which numbers were given out.
  private var histories: [Int: Int64]
  private var history: Int64 = 0

  /// - Parameter server: what tells this start of the server from others.
  public init(shardCount: Int, retention: Double, partitionInterval: Double, server: Int) {
    self.retention = retention
    self.partitionInterval = partitionInterval
    histories = [server: 0]
    shards = (0..<shardCount).map { Shard(ordinal: $0, parents: [], starting: 1) }
  }

  /// What is committed and has no number yet.
  public var unsequenced: [Int] { inbox.map(\.payload) }

  public var openShards: [Shard] { shards.filter { $0.ending == nil } }

  // MARK: Writers and steps

  /// A change that is committed, for the open shard that has this place among the open ones.
  public mutating func put(_ payload: Int, at place: Int) { inbox.append((place, payload)) }

  /// `tidemark.follow_history`
  /// - Parameter clock: the number that a history has that begins now.
  public mutating func followHistory(server: Int, clock: Int64, now: Double) {
    let current = histories[server] ?? max((histories.values.max() ?? -1) + 1, clock)
    histories[server] = current
    if current == history { return }
    let latest = partitions.map(\.ordinal).max() ?? -1
    // What survives says nothing of what was lost; the history does.
    let floor = current
    let target = max((head + 1) >> 32 + 1, latest + 1, floor) << 32 - 1
    jumps.append(Jump(from: head, to: target))
    head = target
    history = current
  }

  /// `tidemark.current_log_partition`
  private mutating func currentPartition(_ head: Int64, now: Double) throws -> Int64 {
    let latest = partitions.last { $0.closedAt == nil }
    if let latest, head - latest.ordinal << 32 < 1 << 31, latest.createdAt + partitionInterval > now {
      return latest.ordinal
    }
    let next = max(head >> 32 + 1, (latest?.ordinal ?? -1) + 1)
    if partitions.contains(where: { $0.ordinal == next }) || reserved[next] != nil {
      throw TidemarkError(.unsupported, "The log partition \(next) exists already.")
    }
    for index in partitions.indices where partitions[index].closedAt == nil {
      partitions[index].closedAt = now
    }
    partitions.append(Partition(ordinal: next, createdAt: now))
    return next
  }

  /// Moves all that is committed to the log.
  public mutating func step(server: Int, clock: Int64, now: Double) throws {
    if inbox.isEmpty { return }
    followHistory(server: server, clock: clock, now: now)
    var number = max(head, try currentPartition(head, now: now) << 32)
    let open = openShards
    for (place, payload) in inbox {
      number += 1
      log.append(Record(shard: open[place % open.count].ordinal, number: number, payload: payload))
    }
    inbox = []
    head = number
    writtenAt = now
  }

  // MARK: Shards

  /// `tidemark.close_shards`
  private mutating func close(_ ordinals: [Int], server: Int, clock: Int64, now: Double) -> Int64 {
    followHistory(server: server, clock: clock, now: now)
    head += 1
    for index in shards.indices where ordinals.contains(shards[index].ordinal) {
      shards[index].ending = head
      shards[index].closedAt = now
    }
    return head + 1
  }

  public mutating func split(_ ordinal: Int, server: Int, clock: Int64, now: Double) {
    let starting = close([ordinal], server: server, clock: clock, now: now)
    let parents = shards.filter { $0.ordinal == ordinal }.map(\.id)
    for _ in 0..<2 { add(starting, parents) }
  }

  private mutating func add(_ starting: Int64, _ parents: [String]) {
    shards.append(Shard(ordinal: (shards.last?.ordinal ?? -1) + 1, parents: parents, starting: starting))
  }

  // MARK: Snapshots

  /// Whether a snapshot may be begun now: after a jump the ordinals must not get ahead of the number that the next history
  /// would have.
  public func mayBeginSnapshot(clock: Int64) -> Bool {
    jumps.isEmpty || max((head + 2) >> 32 + 1, (partitions.map(\.ordinal).max() ?? -1) + 1) + 1 <= clock
  }

  /// `tidemark.reserve_snapshot`: what is committed goes to the shards that are closed.
  public mutating func beginSnapshot(for application: String, server: Int, clock: Int64, now: Double) throws {
    discardSnapshot(of: application)
    try step(server: server, clock: clock, now: now)
    let closing = openShards
    let starting = close(closing.map(\.ordinal), server: server, clock: clock, now: now)
    let partition = max(starting >> 32 + 1, (partitions.map(\.ordinal).max() ?? -1) + 1)
    head = (partition + 1) << 32 - 1
    _ = try currentPartition(head, now: now)
    reserved[partition] = []
    for shard in closing { add(head + 1, [shard.id]) }
    for _ in closing {
      add(partition << 32, [])
      shards[shards.count - 1].application = application
      shards[shards.count - 1].ending = head
      shards[shards.count - 1].closedAt = .infinity
    }
    snapshots.append(Snapshot(application: application, partition: partition, createdAt: now))
  }

  /// Copies rows, a record for each, to the snapshot's shards that have their places.
  public mutating func copy(_ rows: [(payload: Int, place: Int)], for application: String) {
    guard let snapshot = snapshots.first(where: { $0.application == application }) else { return }
    let targets = shards.filter { $0.application == application }
    for row in rows {
      let number = snapshot.partition << 32 + Int64(reserved[snapshot.partition]?.count ?? 0) + 1
      reserved[snapshot.partition, default: []].append(
        Record(shard: targets[row.place % targets.count].ordinal, number: number, payload: row.payload)
      )
    }
  }

  /// `tidemark.complete_snapshot`
  public mutating func completeSnapshot(of application: String, now: Double) {
    guard let index = snapshots.firstIndex(where: { $0.application == application && !$0.isComplete }) else {
      return
    }
    let ordinal = snapshots[index].partition
    snapshots[index].isComplete = true
    log += reserved.removeValue(forKey: ordinal) ?? []
    partitions.append(Partition(ordinal: ordinal, createdAt: snapshots[index].createdAt, closedAt: now))
    partitions.sort { $0.ordinal < $1.ordinal }
    for shard in shards.indices where shards[shard].application == application {
      shards[shard].closedAt = now
    }
  }

  private mutating func discardSnapshot(of application: String) {
    guard let snapshot = snapshots.first(where: { $0.application == application }) else { return }
    snapshots.removeAll { $0.application == application }
    reserved[snapshot.partition] = nil
    log.removeAll { $0.number >> 32 == snapshot.partition }
    partitions.removeAll { $0.ordinal == snapshot.partition }
    shards.removeAll { $0.application == application }
  }

  // MARK: Retention

  /// `tidemark.maintain_stream`
  public mutating func maintain(server: Int, clock: Int64, now: Double) {
    followHistory(server: server, clock: clock, now: now)
    let horizon = now - retention
    for partition in partitions where (partition.closedAt ?? writtenAt) < horizon {
      for index in shards.indices {
        let last = log.last { $0.shard == shards[index].ordinal && $0.number >> 32 == partition.ordinal }
        if let last { shards[index].trimmedThrough = last.number }
      }
      log.removeAll { $0.number >> 32 == partition.ordinal }
      partitions.removeAll { $0.ordinal == partition.ordinal }
    }
    let oldest = partitions.map(\.ordinal).min().map { $0 << 32 }
    shards.removeAll { shard in
      guard let closedAt = shard.closedAt, let ending = shard.ending, closedAt < horizon else { return false }
      return oldest.map { ending < $0 } ?? true
    }
    snapshots.removeAll { snapshot in
      snapshot.isComplete && !shards.contains { $0.application == snapshot.application }
    }
  }

  // MARK: Reading

  /// The records of a shard after a number, as the log has them.
  public func records(of ordinal: Int, after number: Int64) -> [Record] {
    log.filter { $0.shard == ordinal && $0.number > number }.sorted { $0.number < $1.number }
  }
}
