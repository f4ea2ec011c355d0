/// A checkpoint that is stored but not in force yet.
public struct PreparedCheckpoint: Sendable {
  public let checkpoint: Checkpoint
  let checkpointer: Checkpointer

  /// Puts it in force.
  public func commit() async throws {
    try await checkpointer.commit(checkpoint)
  }
}
