/// What happens inside a worker, for logs, metrics and tests. All calls have defaults that do nothing.
///
/// Calls come from the tasks that do the work, so return soon.
public protocol WorkerEvents: Sendable {
  /// The worker is registered under this number; after having been declared dead, under a new one.
  func workerRegistered(_ incarnation: WorkerIncarnation)
  /// Others have declared the worker dead; its leases are theirs.
  func workerDeclaredDead(_ incarnation: WorkerIncarnation)
  /// The lease store has come back without commits that this worker had seen. Reported once per loss.
  func historyLost(_ loss: HistoryLoss)
  /// A lease cannot change hands, because a session has locked its row and cannot or must not be ended.
  func leaseBlocked(_ blockage: LeaseBlockage)
  /// The lease store did not answer a heartbeat.
  func heartbeatFailed(_ error: any Error)
  /// A lease was granted; its shard is being read.
  func leaseStarted(_ shard: ShardContext)
  /// A consumer has ended, and how.
  func leaseEnded(_ grant: LeaseGrant, how: LeaseEnd)
  /// A batch was handled.
  func batchProcessed(
    _ grant: LeaseGrant,
    records: Int,
    bytes: Int,
    duration: Duration,
    millisBehindLatest: Int64
  )
  /// The processor threw. `nextAttempt` is the pause until it is tried again; `nil` if it is not.
  func processingFailed(_ grant: LeaseGrant, error: any Error, attempt: Int, nextAttempt: Duration?)
  /// The source did not answer; reading is tried again after the pause.
  func readingFailed(_ grant: LeaseGrant, error: TidemarkError, nextAttempt: Duration)
  /// Records after `position` are gone unread.
  func recordsTrimmed(_ grant: LeaseGrant, after position: Checkpoint, error: TidemarkError)
  /// Records that this lease's reader had seen are lost to the source: it has come back without its newest commits.
  func recordsLost(_ grant: LeaseGrant, _ loss: ShardPage.Loss)
  /// Records were given up on and are in the dead-letter queue.
  func recordsDeadLettered(_ grant: LeaseGrant, _ letters: [DeadLetter])
  /// A call to the processor has neither returned nor checkpointed for ``WorkerConfiguration/Stall/timeout``. This is
  /// reported once per call.
  func processorStalled(_ grant: LeaseGrant, call: ProcessorCall, givesLeaseAway: Bool)
  /// These streams have leases to read, and no worker of the application serves them: they have vanished, or the workers
  /// that read them are gone. Reported when it changes.
  func streamsUnserved(_ streams: [String])
  /// A planning round of this worker changed something.
  func planApplied(_ assignments: [Assignment], dead: [WorkerIncarnation])
}

extension WorkerEvents {
  public func workerRegistered(_ incarnation: WorkerIncarnation) {}
  public func workerDeclaredDead(_ incarnation: WorkerIncarnation) {}
  public func historyLost(_ loss: HistoryLoss) {}
  public func leaseBlocked(_ blockage: LeaseBlockage) {}
  public func heartbeatFailed(_ error: any Error) {}
  public func leaseStarted(_ shard: ShardContext) {}
  public func leaseEnded(_ grant: LeaseGrant, how: LeaseEnd) {}
  public func batchProcessed(
    _ grant: LeaseGrant,
    records: Int,
    bytes: Int,
    duration: Duration,
    millisBehindLatest: Int64
  ) {}
  public func processingFailed(_ grant: LeaseGrant, error: any Error, attempt: Int, nextAttempt: Duration?) {}
  public func readingFailed(_ grant: LeaseGrant, error: TidemarkError, nextAttempt: Duration) {}
  public func recordsTrimmed(_ grant: LeaseGrant, after position: Checkpoint, error: TidemarkError) {}
  public func recordsLost(_ grant: LeaseGrant, _ loss: ShardPage.Loss) {}
  public func recordsDeadLettered(_ grant: LeaseGrant, _ letters: [DeadLetter]) {}
  public func processorStalled(_ grant: LeaseGrant, call: ProcessorCall, givesLeaseAway: Bool) {}
  public func streamsUnserved(_ streams: [String]) {}
  public func planApplied(_ assignments: [Assignment], dead: [WorkerIncarnation]) {}
}
