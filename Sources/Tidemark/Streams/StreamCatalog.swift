/// The streams that an application consumes, where these come and go while its workers run.
public protocol StreamCatalog: Sendable {
  /// The streams as they are now.
  ///
  /// A worker asks when it starts and at each shard sync. It begins to read those that are new and hands off the leases
  /// of those that are gone, which stay as they are until the stream comes back or an operator deletes them. So a list
  /// that came back short costs a pause, and no records.
  ///
  /// A source that is an object should be the same one each time: its name is then asked for once.
  func streams() async throws -> [any StreamSource]
}

/// Streams that stay the same.
struct FixedStreams: StreamCatalog {
  var sources: [any StreamSource]

  func streams() -> [any StreamSource] { sources }
}
