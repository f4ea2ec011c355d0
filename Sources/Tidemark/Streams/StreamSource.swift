/// A stream that workers can consume: what it is called, which shards it has, and how to read one.
public protocol StreamSource: Sendable {
  /// The stream's name as it stands in leases. It must not change while the stream lives, and a stream that
  /// was disabled and enabled again has another one.
  ///
  /// - Throws: ``TidemarkError/Code/streamNotFound`` if there is no such stream.
  func streamName() async throws -> String

  /// All shards that the stream still has, open and closed. The list need not be atomic: a child may be listed
  /// while its parent still looks open, or the other way round.
  func shards() async throws -> [Shard]

  /// Opens a reader behind `checkpoint`: the first record that it returns is the one after it.
  ///
  /// - Throws: ``TidemarkError/Code/shardNotFound``, or ``TidemarkError/Code/recordsTrimmed`` if records after
  ///   `checkpoint` are already gone. `trimHorizon` is never trimmed.
  func reader(of shardID: String, after checkpoint: Checkpoint) async throws -> any ShardReader

  /// What the source has to do beside its readers, such as waiting for wake-ups, until the task is cancelled.
  /// A worker runs it for as long as it lives; one source may serve several workers.
  func run() async throws
}

extension StreamSource {
  public func run() async throws {}
}
