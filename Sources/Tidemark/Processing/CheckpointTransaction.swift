/// An open transaction of the database that has the leases: what ``Checkpointer/checkpoint(in:)`` writes to.
///
/// A database library that conforms its transactions gives its users effects that happen exactly once. Whatever the
/// transaction writes besides commits together with the checkpoint, or not at all. `CheckpointTransactionConformance` in
/// TidemarkTestKit holds the tests that every conforming type must pass.
public protocol CheckpointTransaction: Sendable {
  /// Makes a checkpoint part of the transaction. Until that ends, the lease changes hands for nobody; or else the
  /// transaction cannot commit any more.
  ///
  /// A transaction in which a write was refused must not commit, whatever its user does next.
  ///
  /// - Parameter mustAdvance: whether a checkpoint that is there already is refused as going back. What else the
  ///   transaction writes is not harmless to repeat, so an earlier attempt that commits after all must stop the next one.
  func write(_ write: CheckpointWrite, mustAdvance: Bool) async throws -> WriteOutcome

  /// Performs `action` once the COMMIT is confirmed, and never if it fails or nobody knows.
  ///
  /// A library that cannot tell leaves this out. What that costs: a call to the processor that makes many transactions
  /// looks as if it made no progress (``WorkerConfiguration/Stall``), and a database that comes back without such a
  /// transaction is not known by it to have lost something.
  func onCommit(_ action: @escaping @Sendable () -> Void)
}

extension CheckpointTransaction {
  public func onCommit(_ action: @escaping @Sendable () -> Void) {}
}
