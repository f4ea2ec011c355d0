/// What a user writes: the code that handles the records of one shard.
///
/// An instance belongs to one shard for as long as this worker owns its lease, and is never called
/// concurrently, so it need not be `Sendable`: a struct, a class or an actor will do. The calls come in this
/// order: `initialize`, then any number of `process`, then at most one of `shardEnded`, `shutdownRequested` and
/// `leaseLost`. All but `process` have defaults that do nothing. They are the KCL's five.
public protocol RecordProcessor {
  /// Called once, before the first batch. Throwing makes the worker try again after a pause.
  mutating func initialize(_ shard: ShardContext) async throws

  /// Handles a batch. Returning means that every record of it is handled or safely kept; it says nothing about
  /// the checkpoint, which moves only when ``Checkpointer`` is told to.
  ///
  /// Throwing hands the batch to the ``FailurePolicy``: it is given again, from the first record that is not
  /// handled. What was checkpointed is handled; throw ``RecordFailure`` to say that all records before a certain
  /// one are handled as well.
  ///
  /// When the lease is lost meanwhile, the task is cancelled: stop soon, nothing can be checkpointed any more.
  mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws

  /// The lease is somebody else's. Clean up; nothing can be checkpointed.
  mutating func leaseLost() async

  /// The shard has ended and all its records were given to `process`. Returning says that all of them are
  /// handled: the lease becomes `SHARD_END` and the children start. Throwing makes the worker try again.
  mutating func shardEnded(checkpointer: Checkpointer) async throws

  /// The lease is about to be handed to another worker, which starts right behind the last checkpoint: the
  /// moment to flush and checkpoint.
  mutating func shutdownRequested(checkpointer: Checkpointer) async throws
}

extension RecordProcessor {
  public mutating func initialize(_ shard: ShardContext) async throws {}
  public mutating func leaseLost() async {}
  public mutating func shardEnded(checkpointer: Checkpointer) async throws {}
  public mutating func shutdownRequested(checkpointer: Checkpointer) async throws {}
}
