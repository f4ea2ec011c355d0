/// The base class for processors that handle one record at a time and leave the checkpoints to the framework.
///
/// Override ``handle(_:)``. A checkpoint is taken at the end of each batch, when the lease is handed off and
/// when the shard ends. If `handle` throws, the records before are checkpointed and the failing one goes to the
/// ``FailurePolicy``; the ones before it are not repeated.
open class CheckpointingProcessor: RecordProcessor {
  /// The shard, once ``initialize(_:)`` was called.
  public private(set) var shard: ShardContext?

  public init() {}

  /// Handles one record.
  open func handle(_ record: Record) async throws {}

  open func initialize(_ shard: ShardContext) async throws {
    self.shard = shard
  }

  open func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
    var last: Record?
    for record in batch {
      do {
        try Task.checkCancellation()
        try await handle(record)
      } catch {
        if let last { try await checkpointer.checkpoint(at: last) }
        throw RecordFailure(record, underlying: error)
      }
      last = record
    }
    try await checkpointer.checkpoint()
  }

  open func wokenUp(checkpointer: Checkpointer) async throws {}

  open func leaseLost() async {}

  open func shardEnded(checkpointer: Checkpointer) async throws {
    try await checkpointer.checkpoint()
  }

  open func shutdownRequested(checkpointer: Checkpointer) async throws {
    try await checkpointer.checkpoint()
  }
}
