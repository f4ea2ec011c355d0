/// Compares what a source lists with what is leased.
///
/// All missing leases of a lineage are added at once; which of them may *start* is decided when leases are
/// assigned (``Lease`` gating: a child waits for all its parents). The rules are the KCL's
/// (`HierarchicalShardSyncer`), restated so that they do not depend on the order in which shards were found,
/// and without its defect of replaying all history before a lease that is already further on.
public enum ShardSync {
  /// What a sync of all streams of an application adds and deletes.
  public struct Changes: Sendable {
    public var missing: [NewLease] = []
    /// One generation after the other: a store keeps a lease for as long as it has one of a parent's.
    public var deletable: [[LeaseKey]] = []
  }

  /// Compares all streams at once.
  ///
  /// A stream that is not in `shards` may have vanished, or only not have been listed: its leases are left alone, also
  /// the ended ones. Should it come back, they say how far it was read.
  public static func changes(
    shards: [String: [Shard]],
    leases: [Lease],
    position: InitialPosition
  ) -> Changes {
    let leases = Dictionary(grouping: leases, by: \.stream)
    var changes = Changes()
    for stream in Set(shards.keys).union(leases.keys).sorted() {
      guard let listed = shards[stream] else { continue }
      let leased = leases[stream] ?? []
      changes.missing += missingLeases(of: stream, shards: listed, leases: leased, position: position)
      for (index, keys) in deletableLeases(leases: leased, listed: Set(listed.map(\.id))).enumerated() {
        if index == changes.deletable.count { changes.deletable.append([]) }
        changes.deletable[index] += keys
      }
    }
    return changes
  }

  /// The leases to add for a stream, oldest first, so that a crash in between leaves the oldest.
  ///
  /// - A listed shard without a lease was *handled before* if a leased shard descends from it while none of its
  ///   own ancestors is leased: leases are deleted oldest first. It needs no lease.
  /// - Any other is new. With a leased ancestor it starts at its beginning, since everything in it came after
  ///   something this application reads; without one it starts at `position`. Where that is the horizon and the shard
  ///   descends from another that is new, it is the horizon of this moment: what is trimmed while the other is read
  ///   is missed. With a snapshot it is the beginning: what is trimmed while the snapshot is made is missed, too.
  /// - A shard that was closed before `position` begins holds nothing to read, and gets no lease.
  ///
  /// A parent that still looks open although its child is listed is no error: listings are not atomic, and the
  /// child waits for it anyway.
  public static func missingLeases(
    of stream: String,
    shards: [Shard],
    leases: [Lease],
    position: InitialPosition
  ) -> [NewLease] {
    let leased = Set(leases.map(\.shardID))
    let listed = Set(shards.map(\.id))
    let graph = LineageGraph(shards, leases)
    let descendantsOfLeased = graph.descendants(of: leased)
    let ancestorsOfLeased = graph.ancestors(of: leased)
    return
      shards
      .filter { !leased.contains($0.id) }
      .compactMap { shard -> NewLease? in
        if descendantsOfLeased.contains(shard.id) {
          return NewLease(stream: stream, shard: shard, checkpoint: shard.beginning)
        }
        if ancestorsOfLeased.contains(shard.id) { return nil }
        let isFirst = shard.parentIDs.allSatisfy { !listed.contains($0) }
        return position.checkpoint(in: shard).map { checkpoint in
          NewLease(
            stream: stream,
            shard: shard,
            checkpoint: checkpoint == .trimHorizon
              ? horizon(of: shard, isFirst: isFirst, position) : checkpoint
          )
        }
      }
      .sorted(by: olderFirst(shards))
  }

  /// What the trim horizon means in a shard of a new lineage.
  private static func horizon(of shard: Shard, isFirst: Bool, _ position: InitialPosition) -> Checkpoint {
    // A snapshot and all that comes after it is one whole, whatever was trimmed while the snapshot was made.
    if position == .snapshot { return shard.beginning }
    return isFirst ? .trimHorizon : shard.horizon
  }

  /// The ended leases of a stream that may be deleted: no parent lease is left (so the oldest go first), every child has a
  /// lease with progress of its own, and the source lists the shard no more (else the next sync would add it
  /// again). Nor may it list a parent, which would say that the listing is older than the shard. A shard that nothing
  /// descends from, such as the last of a disabled stream, goes only when the source lists nothing more: its lease is all
  /// that keeps the shard from being read from its beginning again, should the listing only have left it out.
  ///
  /// - Returns: one generation after the other, each without a parent's lease once those before it are deleted.
  public static func deletableLeases(leases: [Lease], listed: Set<String>) -> [[LeaseKey]] {
    let byID = Dictionary(leases.map { ($0.shardID, $0) }, uniquingKeysWith: { first, _ in first })
    let parents = Set(leases.flatMap(\.parentShardIDs))
    var left = leases.filter { lease in
      let isLast = lease.childShardIDs.isEmpty && !parents.contains(lease.shardID)
      return lease.isEnded && (!isLast || listed.isEmpty)
        && !listed.contains(lease.shardID)
        && lease.parentShardIDs.allSatisfy { !listed.contains($0) }
        && lease.childShardIDs.allSatisfy { byID[$0].map(hasProgress) ?? false }
    }
    var remaining = Set(byID.keys)
    var generations: [[LeaseKey]] = []
    while true {
      let next = left.filter { $0.parentShardIDs.allSatisfy { !remaining.contains($0) } }.map(\.key)
      if next.isEmpty { return generations }
      generations.append(next)
      remaining.subtract(next.map(\.shardID))
      left.removeAll { !remaining.contains($0.shardID) }
    }
  }

  private static func hasProgress(_ lease: Lease) -> Bool {
    switch lease.checkpoint {
    case .record, .shardEnd: true
    case .atTimestamp, .trimHorizon, .latest: false
    }
  }

  private static func olderFirst(_ shards: [Shard]) -> (NewLease, NewLease) -> Bool {
    let starts = Dictionary(
      shards.map { ($0.id, $0.startingSequenceNumber ?? 0) },
      uniquingKeysWith: { first, _ in first }
    )
    return { left, right in
      let (a, b) = (starts[left.shardID] ?? 0, starts[right.shardID] ?? 0)
      return a == b ? left.shardID < right.shardID : a < b
    }
  }
}
