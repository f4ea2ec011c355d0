/// What a user writes: the code that handles the records of one shard.
///
/// An instance belongs to one shard for as long as this worker owns its lease, and is never called
/// concurrently, so it need not be `Sendable`: a struct, a class or an actor will do. The calls come in this
/// order: `initialize`, then any number of `process` and `wokenUp`, then at most one of `shardEnded`,
/// `shutdownRequested` and `leaseLost`. All but `process` have defaults that do nothing. They are the KCL's five, and
/// one for when time has passed.
public protocol RecordProcessor {
  /// Called once, before the first batch. Throwing makes the worker try again after a pause.
  mutating func initialize(_ shard: ShardContext) async throws

  /// Handles a batch. Returning means that every record of it is handled, safely kept, or kept until
  /// ``wokenUp(checkpointer:)``; it says nothing about the checkpoint, which moves only through ``Checkpointer``.
  ///
  /// Throwing hands the batch to the ``FailurePolicy``: it is given again, from the first record that is not
  /// handled. What was checkpointed is handled; throw ``RecordFailure`` to say that all records before a certain
  /// one are handled as well.
  ///
  /// When the lease is lost meanwhile, the task is cancelled: stop soon, nothing can be checkpointed any more.
  mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws

  /// The time is over that ``Checkpointer/wakeUp(after:)`` asked for, whether records have come meanwhile or not. Not called
  /// unless that was asked for, and once for each time that it was.
  ///
  /// It is for processors that gather records: `process` only keeps them and asks to be woken, after a time or, when it has
  /// enough, after zero; this call handles what is kept, and checkpoints it. So do `shardEnded` and `shutdownRequested`, after which it does not come any more. What is
  /// kept when the lease is lost, the next owner is given again.
  ///
  /// It comes early before records go to the dead-letter queue, because the checkpoint that passes those passes what is
  /// kept of earlier batches, too.
  ///
  /// Throwing makes the worker call again after a pause, and hand out no record before that. ``FailurePolicy`` gives up
  /// only what `process` throws for.
  mutating func wokenUp(checkpointer: Checkpointer) async throws

  /// The lease is somebody else's. Clean up; nothing can be checkpointed.
  mutating func leaseLost() async

  /// The shard has ended and all its records were given to `process`. Returning says that all of them are
  /// handled: the lease becomes `SHARD_END` and the children start. Throwing makes the worker try again.
  mutating func shardEnded(checkpointer: Checkpointer) async throws

  /// The lease is about to be handed to another worker, which starts right after the last checkpoint: the
  /// moment to flush and checkpoint.
  mutating func shutdownRequested(checkpointer: Checkpointer) async throws
}

extension RecordProcessor {
  public mutating func initialize(_ shard: ShardContext) async throws {}
  public mutating func wokenUp(checkpointer: Checkpointer) async throws {}
  public mutating func leaseLost() async {}
  public mutating func shardEnded(checkpointer: Checkpointer) async throws {}
  public mutating func shutdownRequested(checkpointer: Checkpointer) async throws {}
}
