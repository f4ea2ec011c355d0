/// On what a shard's end rests: without it there, the store refuses the end.
public struct ShardEnding: Sendable, Hashable {
  /// A place that the writer knows the lease has come to; see ``CheckpointWrite/from``.
  public var from: Checkpoint
  /// The number of the history that the worker knew of before it read the end; `nil` if that does not matter. What was
  /// read on another history may be lost with it, and the shard be open again.
  public var history: Int64?

  /// - Parameter from: by default wherever the lease is.
  public init(from: Checkpoint = .latest, history: Int64? = nil) {
    self.from = from
    self.history = history
  }
}
