import LibPQ
import Tidemark

extension Lease {
  /// The columns that ``init(_:)`` reads, of `tidemark_leases.lease AS l` and its measurements.
  static let columns = """
    l.stream, l.shard_id, l.parent_shard_ids, l.child_shard_ids, l.hash_range_start::text, l.hash_range_end::text,
    l.owner, l.last_owner, l.last_epoch, l.epoch, l.checkpoint, l.sub_sequence_number,
    l.pending_checkpoint, l.pending_sub_sequence_number, l.pending_state, l.handoff_to, l.stopped_reason,
    m.processing, m.bytes_per_second, m.millis_behind_latest
    """

  /// Where those columns are from. The limit makes the server look each lease's measurement up by its key: while
  /// it has no statistics it expects one lease, and a plain join then reads all measurements once for each.
  static let tables = tables("lease", "lease_load")

  /// The same as whoever may only look sees it: without what a processor has noted.
  static let visibleTables = tables("visible_lease", "visible_load")

  private static func tables(_ leases: String, _ loads: String) -> String {
    """
    tidemark_leases.\(leases) AS l LEFT JOIN LATERAL (
      SELECT * FROM tidemark_leases.\(loads) AS o
      WHERE (o.application, o.stream, o.shard_id) = (l.application, l.stream, l.shard_id) LIMIT 1) AS m ON true
    """
  }

  init(_ row: PQRow) throws {
    let (
      stream, shardID, parents, children, rangeStart, rangeEnd, owner, lastOwner, lastEpoch, epoch,
      checkpoint, sub,
      pendingCheckpoint, pendingSub, pendingState, handoffTo, stoppedReason, processing, bytes, behind
    ) = try row.decode(
      (
        String, String, [String], [String], String?, String?, Int64?, Int64?, Int64?, Int64, String, Int64,
        String?, Int64?, [UInt8]?, Int64?, String?, Double?, Double?, Int64?
      ).self
    )
    self.init(
      key: LeaseKey(stream: stream, shardID: shardID),
      parentShardIDs: parents,
      childShardIDs: children,
      owner: owner.map { WorkerIncarnation($0) },
      lastOwner: lastOwner.map { WorkerIncarnation($0) },
      lastEpoch: lastEpoch.map { Epoch($0) },
      epoch: Epoch(epoch),
      checkpoint: try Checkpoint(stored: checkpoint, sub, of: shardID),
      handoffTo: handoffTo.map { WorkerIncarnation($0) },
      stoppedReason: stoppedReason,
      millisBehindLatest: behind
    )
    if let start = rangeStart.flatMap({ UInt128($0) }), let end = rangeEnd.flatMap({ UInt128($0) }) {
      hashRange = Shard.HashRange(start: start, end: end)
    }
    if let processing, let bytes { load = Load(processing: processing, bytesPerSecond: bytes) }
    if let pendingCheckpoint {
      self.pendingCheckpoint = PendingCheckpoint(
        checkpoint: try Checkpoint(stored: pendingCheckpoint, pendingSub ?? 0, of: shardID),
        state: pendingState ?? []
      )
    }
  }
}
