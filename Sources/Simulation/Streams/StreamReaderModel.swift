import Tidemark
import TidemarkStreams
import TidemarkTestKit

/// An application that reads the model of a stream: its leases, which the database keeps, and what its processes remember.
///
/// It decides with production code what is leased (`ShardSync`), where a reader stands and what it has missed
/// (`ShardPosition`).
struct ReadingApplication {
  let name: String
  let startsWithSnapshot: Bool
  /// What the database keeps: the lease of each shard.
  var leases: [String: Lease] = [:]
  /// What the process that reads a shard remembers.
  private(set) var positions: [String: ShardPosition] = [:]
  private(set) var handled: Set<Int> = []
  /// Payloads that it has heard are gone, and those that were gone before it came.
  var excused: Set<Int> = []
  /// Readers that have seen what was lost since, and do not know of it.
  private(set) var unaware: Set<String> = []
  private(set) var hasBegun = false

  init(_ name: String, startsWithSnapshot: Bool) {
    self.name = name
    self.startsWithSnapshot = startsWithSnapshot
  }

  func isDone(with payload: Int) -> Bool { handled.contains(payload) || excused.contains(payload) }

  /// Whether a shard that it has not read to its end is gone.
  func isCutOff(from stream: StreamModel) -> Bool {
    let there = Set(stream.shards.map(\.id))
    return leases.contains { !$0.value.isEnded && !there.contains($0.key) }
  }

  /// A shard sync: adds the leases that are missing.
  mutating func sync(_ stream: StreamModel) {
    if startsWithSnapshot, !stream.snapshots.contains(where: { $0.application == name && $0.isComplete }),
      leases.isEmpty
    {
      return
    }
    hasBegun = true
    let shards = listed(stream)
    for lease in ShardSync.missingLeases(
      shards: shards,
      leases: Array(leases.values),
      position: startsWithSnapshot ? .snapshot : .trimHorizon
    ) {
      leases[lease.shardID] = Lease(
        shardID: lease.shardID,
        parentShardIDs: lease.parentShardIDs,
        checkpoint: lease.checkpoint
      )
    }
  }

  /// The shards as a real source lists them for the application.
  private func listed(_ stream: StreamModel) -> [Shard] {
    let snapshot = stream.snapshots.first { $0.application == name && $0.isComplete }
    let start = snapshot.map { ($0.partition + 1) << 32 } ?? 0
    let own = stream.shards.filter { $0.application == name }
    return stream.shards.filter { shard in
      shard.application == nil ? shard.starting >= start : shard.application == name && snapshot != nil
    }.map { shard in
      var parents = shard.parents
      if shard.application == nil, let snapshot, shard.starting == (snapshot.partition + 1) << 32 {
        // Its own part of the snapshot, instead of what was closed for that.
        let siblings = stream.shards.filter { $0.application == nil && $0.starting == shard.starting }
        let index = siblings.firstIndex { $0.ordinal == shard.ordinal } ?? 0
        parents = index < own.count ? [own[index].id] : []
      }
      let bounds = Self.bounds(of: shard, stream)
      var listed = Shard(
        id: shard.id,
        parentIDs: parents,
        startingSequenceNumber: SequenceNumber(UInt64(shard.starting)),
        endingSequenceNumber: shard.ending.map { SequenceNumber(UInt64($0)) }
      )
      listed.beginning = .record(SequenceNumber(UInt64(bounds.beginning)))
      listed.horizon = .record(SequenceNumber(UInt64(bounds.horizon)))
      return listed
    }
  }

  private static func bounds(of shard: StreamModel.Shard, _ stream: StreamModel) -> ShardPosition.Bounds {
    ShardPosition.Bounds(
      startingSequence: shard.starting,
      endingSequence: shard.ending,
      trimmedThrough: shard.trimmedThrough,
      streamHead: stream.head
    )
  }

  /// The shards that may be read now: their parents' leases have ended, or there are none.
  var readable: [String] {
    leases.filter { _, lease in
      !lease.isEnded
        && lease.parentShardIDs.allSatisfy { leases[$0]?.isEnded ?? true }
    }.map(\.key).sorted()
  }

  /// Reads a page of a shard.
  ///
  /// - Parameter keepsCheckpoint: whether the process lives long enough to checkpoint it.
  /// - Returns: what is wrong, if anything.
  mutating func read(
    _ id: String,
    of stream: StreamModel,
    _ truth: StreamLedger,
    records limit: Int,
    keepsCheckpoint: Bool
  ) -> String? {
    guard let lease = leases[id] else { return nil }
    guard let shard = stream.shards.first(where: { $0.id == id }) else {
      return passGoneShard(id, truth)
    }
    let bounds = Self.bounds(of: shard, stream)
    var number: Int64?
    if case .record(let sequence, _) = lease.checkpoint {
      number = sequence.uint64Value.flatMap { Int64(exactly: $0) }
    }
    guard var position = positions[id] ?? ShardPosition(lease.checkpoint, number: number, in: bounds)
    else {
      return nil
    }
    if positions[id] == nil, lease.checkpoint == .trimHorizon,
      !lease.parentShardIDs.contains(where: { leases[$0] != nil })
    {
      // The first of a lineage begins with what is there when it is opened.
      excused.formUnion(truth.trimmed(of: id, through: shard.trimmedThrough))
    }
    if position.hasMissed(trimmedThrough: shard.trimmedThrough) {
      // Told, the operator lets it go on at the horizon.
      excused.formUnion(truth.trimmed(of: id, through: shard.trimmedThrough))
      position = ShardPosition(after: bounds.horizon)
      unaware.remove(id)
    }
    if position.loss(in: stream.jumps.map { .init(fromHead: $0.from, toHead: $0.to) }) != nil {
      unaware.remove(id)
    }
    var (isRead, left) = (false, limit)
    while !isRead {
      let next = stream.partitions.map(\.ordinal).filter { $0 >= position.nextOrdinal }.min()
      let rest = position.partition.map { partition in
        stream.records(of: shard.ordinal, after: position.last).filter { $0.number >> 32 == partition }
      }
      for record in (rest ?? []).prefix(left) {
        if unaware.contains(id) {
          return "\(name) reads on in shard \(id) and does not hear what was lost"
        }
        if let missed = truth.payloads(of: id, before: record.number).first(where: { !isDone(with: $0) }) {
          return "\(name) handles record \(record.number) of shard \(id), and has never heard of \(missed)"
        }
        handled.insert(record.payload)
        position.returned(record.number)
      }
      if let rest, rest.count > left { break }
      left -= rest?.count ?? 0
      isRead = !position.goesOn(in: next, endingSequence: shard.ending)
      if !isRead { position.enter(next) }
    }
    positions[id] = position
    guard keepsCheckpoint else { return nil }
    leases[id]?.checkpoint = .record(SequenceNumber(UInt64(position.last)))
    if shard.ending != nil, isRead {
      if let missed = truth.payloads(of: id, before: .max).first(where: { !isDone(with: $0) }) {
        return "\(name) ends shard \(id), and has never heard of \(missed)"
      }
      end(id)
      // The leases of its children come with its end.
      sync(stream)
    }
    return nil
  }

  /// A shard that is gone as a whole: the application hears of it, and passes it.
  private mutating func passGoneShard(_ id: String, _ truth: StreamLedger) -> String? {
    excused.formUnion(truth.payloads(of: id, before: .max))
    end(id)
    return nil
  }

  private mutating func end(_ id: String) {
    leases[id]?.checkpoint = .shardEnd
    positions[id] = nil
    unaware.remove(id)
  }

  /// Its processes die, and remember nothing.
  mutating func die() {
    positions = [:]
    unaware = []
  }

  /// The database has lost what came after `head`, leases included; the processes live.
  mutating func lose(leases: [String: Lease], head: Int64) {
    self.leases = leases
    // Without any it is new again.
    if leases.isEmpty { hasBegun = false }
    positions = positions.filter { leases[$0.key].map { !$0.isEnded } ?? false }
    unaware = Set(positions.filter { $0.value.last > head }.keys)
  }
}

/// Everything that was ever given a number in the model, known to the judge alone.
struct StreamLedger {
  private var byNumber: [Int64: (shard: String, payload: Int)] = [:]
  /// What is there to be read, or was until retention took it, by shard.
  var numbers: [String: [Int64]] = [:]

  /// - Returns: what is wrong, if anything.
  mutating func note(_ record: StreamModel.Record, in shard: String) -> String? {
    if let known = byNumber[record.number] {
      return known.payload == record.payload && known.shard == shard
        ? nil : "the number \(record.number) is given out twice"
    }
    byNumber[record.number] = (shard, record.payload)
    numbers[shard, default: []].append(record.number)
    return nil
  }

  /// What the database has lost is nobody's to read any more.
  mutating func lose(_ lost: Set<Int64>) {
    if lost.isEmpty { return }
    for shard in numbers.keys { numbers[shard]?.removeAll { lost.contains($0) } }
  }

  func payloads(of shard: String, before number: Int64) -> [Int] {
    (numbers[shard] ?? []).filter { $0 < number }.compactMap { byNumber[$0]?.payload }
  }

  func trimmed(of shard: String, through number: Int64) -> [Int] {
    (numbers[shard] ?? []).filter { $0 <= number }.compactMap { byNumber[$0]?.payload }
  }
}
