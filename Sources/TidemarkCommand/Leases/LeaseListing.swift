import Tidemark
import TidemarkPostgres

/// Leases of an application with their owners' names.
struct LeaseListing: Sendable {
  var scope: LeaseScope
  var leases: [Lease]
  /// Also dead workers that are not forgotten yet.
  var workers: [WorkerIncarnation: WorkerRecord]

  static func of(_ scope: LeaseScope, stream: String?, in database: Database) async throws -> LeaseListing {
    let store = database.leases
    // The leases first: whoever owns one then is registered already.
    let leases = try await store.visibleLeases(in: scope).filter { isStream($0.stream, named: stream) }
    let workers = try await store.workers(in: scope)
    return LeaseListing(
      scope: scope,
      leases: leases,
      workers: Dictionary(workers.map { ($0.incarnation, $0) }, uniquingKeysWith: { _, last in last })
    )
  }

  var json: [JSON] { leases.map(json) }

  var table: Table {
    var table = Table([
      ("STREAM", .left), ("SHARD", .left), ("OWNER", .left), ("EPOCH", .right), ("CHECKPOINT", .left),
      ("HANDOFF TO", .left), ("MILLIS BEHIND", .right), ("LOAD", .right), ("STOPPED", .left),
    ])
    for lease in leases {
      table.add([
        lease.stream, lease.shardID, name(lease.owner), "\(lease.epoch)",
        "\(PositionArgument(lease.checkpoint))", name(lease.handoffTo),
        lease.millisBehindLatest.map(String.init) ?? "-", lease.load?.summary ?? "-",
        lease.stoppedReason ?? "-",
      ])
    }
    return table
  }

  private func name(_ incarnation: WorkerIncarnation?) -> String {
    guard let incarnation else { return "-" }
    return (workers[incarnation].map { "\($0.registration.workerID) " } ?? "") + "#\(incarnation)"
  }

  private func json(_ lease: Lease) -> JSON {
    .object([
      "application": JSON(scope.application),
      "stream": JSON(lease.stream),
      "shard_id": JSON(lease.shardID),
      "parent_shard_ids": JSON(lease.parentShardIDs),
      "child_shard_ids": JSON(lease.childShardIDs),
      "owner": json(lease.owner),
      "epoch": JSON(lease.epoch.number),
      "checkpoint": JSON("\(PositionArgument(lease.checkpoint))"),
      "pending_checkpoint": JSON(lease.pendingCheckpoint.map { "\(PositionArgument($0.checkpoint))" }),
      "handoff_to": json(lease.handoffTo),
      "stopped_reason": JSON(lease.stoppedReason),
      "is_ended": JSON(lease.isEnded),
      "millis_behind_latest": JSON(lease.millisBehindLatest),
      "load": lease.load.map {
        .object(["processing": JSON($0.processing), "bytes_per_second": JSON($0.bytesPerSecond)])
      } ?? .null,
    ])
  }

  private func json(_ incarnation: WorkerIncarnation?) -> JSON {
    guard let incarnation else { return .null }
    return .object([
      "worker_id": JSON(workers[incarnation]?.registration.workerID),
      "incarnation": JSON(incarnation.number),
    ])
  }
}

extension Lease.Load {
  /// The part of the time that is spent processing, and the rate of payload.
  fileprivate var summary: String {
    "\(Int((processing * 100).rounded()))% \(Int(bytesPerSecond.rounded())) B/s"
  }
}
