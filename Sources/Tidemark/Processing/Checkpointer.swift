import Synchronization

/// Moves the checkpoint of one lease. A processor gets it with every call that may use it.
///
/// Every call carries the lease's epoch. Once the lease is somebody else's, each of them throws
/// ``TidemarkError/Code/leaseLost`` and changes nothing. Calls return when the store has committed.
public final class Checkpointer: Sendable {
  /// Where the checkpoints go.
  package protocol Sink: Sendable {
    func write(_ write: CheckpointWrite) async throws
    func prepare(_ pending: Lease.PendingCheckpoint, for grant: LeaseGrant, from: Checkpoint) async throws
  }

  private struct Positions {
    /// The last accepted checkpoint, as far as known here.
    var committed: Checkpoint
    /// The last record that the processor was given and has not failed on.
    var handedOut: Checkpoint
    /// How far the call that is under way has asked to move the checkpoint in transactions of its own, and how far
    /// calls that have returned did. Whether those have committed is not known here.
    var asked: Checkpoint?
    var passed: Checkpoint?
  }

  /// The lease and the epoch under which it was granted. Pass the epoch on to systems that can refuse what
  /// carries an older one.
  public let grant: LeaseGrant
  private let sink: any Sink
  private let lost: @Sendable () -> Void
  private let setWakeUp: WakeUpRequest
  private let positions: Mutex<Positions>

  /// - Parameter lost: called when a write is refused for the lease's sake. The processor gets an error, but
  ///   may go on in spite of it, and the lease may be this worker's still and only not be as far as it was.
  package init(
    grant: LeaseGrant,
    committed: Checkpoint,
    sink: any Sink,
    lost: @escaping @Sendable () -> Void = {},
    setWakeUp: @escaping WakeUpRequest = { _ in }
  ) {
    self.grant = grant
    self.sink = sink
    self.lost = lost
    self.setWakeUp = setWakeUp
    self.positions = Mutex(Positions(committed: committed, handedOut: committed))
  }

  /// The last checkpoint that was accepted through this object.
  public var committed: Checkpoint {
    positions.withLock { $0.committed }
  }

  /// The last record that the processor was given: what ``checkpoint()`` stands for.
  public var handedOut: Checkpoint {
    positions.withLock { $0.handedOut }
  }

  /// Everything that the processor was given so far is handled.
  public func checkpoint() async throws {
    try await checkpoint(at: handedOut)
  }

  /// Everything up to and including `record` is handled.
  public func checkpoint(at record: Record) async throws {
    try await checkpoint(at: record.checkpoint)
  }

  /// Everything up to and including this position is handled.
  public func checkpoint(at sequenceNumber: SequenceNumber, subSequenceNumber: UInt64 = 0) async throws {
    try await checkpoint(at: .record(sequenceNumber, subSequenceNumber: subSequenceNumber))
  }

  /// Stores a checkpoint together with a note to whoever owns the lease next, without committing to it: the
  /// first phase of an effect that the store cannot take part in. If this owner dies between the effect and
  /// ``PreparedCheckpoint/commit()``, the next one finds both in ``ShardContext/pendingCheckpoint`` and can tell
  /// whether the effect happened.
  ///
  /// - Parameter record: the last record of the effect; by default the last one that was given.
  public func prepareCheckpoint(
    at record: Record? = nil,
    state: [UInt8] = []
  ) async throws -> PreparedCheckpoint {
    let checkpoint = record?.checkpoint ?? handedOut
    try validate(checkpoint)
    let pending = Lease.PendingCheckpoint(checkpoint: checkpoint, state: state)
    try await notingLoss { try await sink.prepare(pending, for: grant, from: committed) }
    return PreparedCheckpoint(checkpoint: checkpoint, checkpointer: self)
  }

  /// Asks for a call of ``RecordProcessor/wokenUp(checkpointer:)`` after this time, or as soon after it as no other call is
  /// under way; with zero, as soon as the present one has returned.
  ///
  /// One is set at a time: another takes its place.
  public func wakeUp(after time: Duration) { setWakeUp(time) }

  /// Takes back what ``wakeUp(after:)`` has asked for.
  public func cancelWakeUp() { setWakeUp(nil) }

  func commit(_ checkpoint: Checkpoint) async throws {
    try await self.checkpoint(at: checkpoint, evenIfUnchanged: true)
  }

  private func checkpoint(at checkpoint: Checkpoint, evenIfUnchanged: Bool = false) async throws {
    try validate(checkpoint)
    // Sentinels say that nothing is handled; there is nothing to store.
    guard case .record = checkpoint, evenIfUnchanged || checkpoint > committed else { return }
    let write = CheckpointWrite(grant: grant, checkpoint: checkpoint, from: committed)
    try await notingLoss { try await sink.write(write) }
    noteCommitted(checkpoint)
  }

  private func notingLoss<Result>(_ write: () async throws -> Result) async throws -> Result {
    do {
      return try await write()
    } catch let error as TidemarkError where error.code == .leaseLost {
      lost()
      throw error
    }
  }

  /// Throws unless `checkpoint` lies between the last accepted checkpoint and the last record given.
  private func validate(_ checkpoint: Checkpoint) throws {
    let positions = positions.withLock { $0 }
    guard checkpoint >= positions.committed, checkpoint <= positions.handedOut else {
      throw TidemarkError(
        .checkpointOutOfRange,
        "\(checkpoint) lies outside \(positions.committed) … \(positions.handedOut) of shard \(grant.shardID).",
        advice: "Checkpoint only records that this processor was given, and never go back."
      )
    }
  }

  package func noteCommitted(_ checkpoint: Checkpoint) {
    positions.withLock {
      $0.committed = max($0.committed, checkpoint)
      $0.handedOut = max($0.handedOut, $0.committed)
    }
  }

  /// Set before each batch to its last record, and after a failure back to the last record that is handled, so
  /// that ``checkpoint()`` never passes a record that was given but failed.
  package func noteHandedOut(_ checkpoint: Checkpoint) {
    positions.withLock { $0.handedOut = max($0.committed, checkpoint) }
  }

  // MARK: The processor's own transactions

  /// Moves the checkpoint in the caller's own transaction, to the last record that the processor was given.
  ///
  /// The checkpoint commits with the caller's other writes or not at all, and is refused if the lease has changed hands,
  /// which takes those writes back as well: the effects in this database happen exactly once. The lease cannot change
  /// hands between this call and the end of the transaction.
  ///
  /// The transaction must be in the database that has the leases. Let its error, and this call's, end the transaction and
  /// leave the processor's call: after a COMMIT that was not answered the worker reads the lease before it gives anything
  /// again, and what the transaction has done all the same cannot be done twice.
  ///
  /// - Throws: ``TidemarkError/Code/leaseLost``; ``TidemarkError/Code/checkpointOutOfRange`` if a transaction whose
  ///   outcome was unknown turns out to have passed the record; or the database's own error.
  public func checkpoint(in transaction: some CheckpointTransaction) async throws {
    try await checkpoint(at: handedOut, in: transaction)
  }

  /// Moves the checkpoint to `record` in the caller's own transaction.
  public func checkpoint(at record: Record, in transaction: some CheckpointTransaction) async throws {
    try await checkpoint(at: record.checkpoint, in: transaction)
  }

  private func checkpoint(
    at checkpoint: Checkpoint,
    in transaction: some CheckpointTransaction
  ) async throws {
    try validate(checkpoint)
    // It is noted as committed when the COMMIT is confirmed. Where it is not, the worker asks the store how far the
    // checkpoint got.
    let write = CheckpointWrite(grant: grant, checkpoint: checkpoint, from: committed)
    let isNew = isNew(checkpoint)
    try await notingLoss {
      let outcome = try await transaction.write(write, mustAdvance: isNew)
      guard isNew, outcome == .wouldGoBack else { return try outcome.orThrow(for: grant) }
      throw TidemarkError(
        .checkpointOutOfRange,
        "A transaction of \(grant) whose outcome is unknown passed \(checkpoint) already.",
        advice:
          "Let this error undo the transaction and leave process; the worker goes on after what is done."
      )
    }
    positions.withLock { $0.asked = checkpoint }
    transaction.onCommit { self.noteCommitted(checkpoint) }
  }

  /// Whether no call that has returned has passed `checkpoint`, as far as known here. If the store has it
  /// nevertheless, it is by a transaction whose outcome is unknown, and what is about to be done was done by that.
  private func isNew(_ checkpoint: Checkpoint) -> Bool {
    positions.withLock { checkpoint > max($0.committed, $0.passed ?? $0.committed) }
  }

  /// - Parameter failed: a processor that throws has a transaction that was undone, or does not know.
  func noteCallEnded(failed: Bool) {
    positions.withLock {
      if !failed, let asked = $0.asked { $0.passed = asked }
      $0.asked = nil
    }
  }
}
