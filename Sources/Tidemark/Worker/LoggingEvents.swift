import Logging

/// Logs what happens and passes it on.
struct LoggingEvents: WorkerEvents {
  var logger: Logger
  var next: (any WorkerEvents)?

  private func metadata(_ grant: LeaseGrant) -> Logger.Metadata {
    ["stream": "\(grant.stream)", "shard": "\(grant.shardID)", "epoch": "\(grant.epoch)"]
  }

  func workerRegistered(_ incarnation: WorkerIncarnation) {
    logger.info("worker registered", metadata: ["incarnation": "\(incarnation)"])
    next?.workerRegistered(incarnation)
  }

  func workerDeclaredDead(_ incarnation: WorkerIncarnation) {
    logger.warning(
      "this worker was declared dead, its leases are other workers' now",
      metadata: ["incarnation": "\(incarnation)"]
    )
    next?.workerDeclaredDead(incarnation)
  }

  func historyLost(_ loss: HistoryLoss) {
    logger.warning(
      "the lease store has lost commits that this worker had seen; records may be given again",
      metadata: ["lost": "\(loss)"]
    )
    next?.historyLost(loss)
  }

  func leaseBlocked(_ blockage: LeaseBlockage) {
    logger.warning(
      blockage.leases.isEmpty
        ? "a session of a dead worker has not ended"
        : "leases cannot change hands, a session has locked them",
      metadata: [
        "leases": "\(blockage.leaseNames)", "session": "\(blockage.holder)",
        "advice": "\(blockage.advice)",
      ]
    )
    next?.leaseBlocked(blockage)
  }

  func heartbeatFailed(_ error: any Error) {
    logger.warning("heartbeat failed", metadata: ["error": "\(error)"])
    next?.heartbeatFailed(error)
  }

  func leaseStarted(_ shard: ShardContext) {
    logger.info(
      "lease started",
      metadata: metadata(shard.grant).merging(["checkpoint": "\(shard.checkpoint)"]) { $1 }
    )
    next?.leaseStarted(shard)
  }

  func leaseEnded(_ grant: LeaseGrant, how: LeaseEnd) {
    logger.info("lease ended", metadata: metadata(grant).merging(["how": "\(how.rawValue)"]) { $1 })
    next?.leaseEnded(grant, how: how)
  }

  func batchProcessed(
    _ grant: LeaseGrant,
    records: Int,
    bytes: Int,
    duration: Duration,
    millisBehindLatest: Int64
  ) {
    next?.batchProcessed(
      grant,
      records: records,
      bytes: bytes,
      duration: duration,
      millisBehindLatest: millisBehindLatest
    )
  }

  func processingFailed(_ grant: LeaseGrant, error: any Error, attempt: Int, nextAttempt: Duration?) {
    var metadata = metadata(grant)
    metadata["error"] = "\(error)"
    metadata["attempt"] = "\(attempt)"
    metadata["next-attempt"] = nextAttempt.map { "in \($0)" } ?? "none"
    logger.error("the record processor failed", metadata: metadata)
    next?.processingFailed(grant, error: error, attempt: attempt, nextAttempt: nextAttempt)
  }

  func readingFailed(_ grant: LeaseGrant, error: TidemarkError, nextAttempt: Duration) {
    logger.warning(
      "reading failed",
      metadata: metadata(grant).merging(["error": "\(error)", "next-attempt": "in \(nextAttempt)"]) { $1 }
    )
    next?.readingFailed(grant, error: error, nextAttempt: nextAttempt)
  }

  func recordsTrimmed(_ grant: LeaseGrant, after position: Checkpoint, error: TidemarkError) {
    logger.critical(
      "records are gone unread",
      metadata: metadata(grant).merging(["after": "\(position)", "error": "\(error)"]) { $1 }
    )
    next?.recordsTrimmed(grant, after: position, error: error)
  }

  func recordsLost(_ grant: LeaseGrant, _ loss: ShardPage.Loss) {
    logger.critical(
      "the source has lost records that were read before; what was derived from them may be ahead of it",
      metadata: metadata(grant).merging(["after": "\(loss.after)", "through": "\(loss.through)"]) { $1 }
    )
    next?.recordsLost(grant, loss)
  }

  func recordsDeadLettered(_ grant: LeaseGrant, _ letters: [DeadLetter]) {
    logger.error(
      "records moved to the dead-letter queue",
      metadata: metadata(grant).merging(["records": "\(letters.count)"]) { $1 }
    )
    next?.recordsDeadLettered(grant, letters)
  }

  func processorStalled(_ grant: LeaseGrant, call: ProcessorCall, givesLeaseAway: Bool) {
    var metadata = metadata(grant)
    metadata["call"] = "\(call.rawValue)"
    logger.error(
      givesLeaseAway
        ? "the record processor makes no progress, its lease is given away"
        : "the record processor makes no progress, nobody else may read its shard meanwhile",
      metadata: metadata
    )
    next?.processorStalled(grant, call: call, givesLeaseAway: givesLeaseAway)
  }

  func streamsUnserved(_ streams: [String]) {
    logger.warning(
      "no worker serves these streams, their leases wait",
      metadata: ["streams": "\(streams.joined(separator: ", "))"]
    )
    next?.streamsUnserved(streams)
  }

  func planApplied(_ assignments: [Assignment], dead: [WorkerIncarnation]) {
    logger.debug("plan applied", metadata: ["steps": "\(assignments.count)", "dead": "\(dead)"])
    next?.planApplied(assignments, dead: dead)
  }
}
