/// A stream that workers can consume: what it is called, which shards it has, and how to read one.
public protocol StreamSource: Sendable {
  /// The stream's name as it appears in leases. It must not change while the stream lives. A stream that was disabled and
  /// enabled again has another one, unless the source lists the shards of both as one lineage.
  ///
  /// - Throws: ``TidemarkError/Code/streamNotFound`` if there is no such stream.
  func streamName() async throws -> String

  /// All shards that the stream still has, open and closed. The list need not be atomic: a child may be listed
  /// while its parent still looks open, or the other way round.
  func shards() async throws -> [Shard]

  /// Opens a reader after `checkpoint`: the first record that it returns is the one after it.
  ///
  /// - Throws: ``TidemarkError/Code/shardNotFound``, or ``TidemarkError/Code/recordsTrimmed`` if records after
  ///   `checkpoint` are already gone. `trimHorizon` is never trimmed.
  func reader(of shardID: String, after checkpoint: Checkpoint) async throws -> any ShardReader

  /// What the source has to do beside its readers, such as waiting for wake-ups, until the task is cancelled.
  /// A worker runs it for as long as it lives; one source may serve several workers.
  func run() async throws

  /// The stream as an application sees it that starts with a snapshot (``InitialPosition/snapshot``): shards with a
  /// record for all that exists at some moment, then, as their children, the shards with the changes after it, and
  /// nothing from before. All workers of the application get the same, however many ask at once.
  ///
  /// Called when a worker starts. It may take as long as a snapshot takes to make, and is called again if it fails with
  /// an error that may be retried.
  ///
  /// - Parameter isNew: the application has no leases yet. One that has some, but no snapshot, is given the stream as
  ///   it is.
  /// - Throws: ``TidemarkError/Code/unsupported`` if the source has no snapshots.
  func startingWithSnapshot(for application: String, isNew: Bool) async throws -> any StreamSource
}

extension StreamSource {
  public func run() async throws {}

  public func startingWithSnapshot(for application: String, isNew: Bool) async throws -> any StreamSource {
    throw TidemarkError(
      .unsupported,
      "This source has no snapshots to start with.",
      advice: "Start at TRIM_HORIZON, or with a PostgreSQL stream that has a table."
    )
  }
}
