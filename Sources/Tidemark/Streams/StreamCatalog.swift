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

  /// The shards of those of these streams that it can list together, which costs less than to ask each. The others, which
  /// it leaves out, are asked themselves.
  ///
  /// - Parameter streams: by their names; some that ``streams()`` has returned, or what
  ///   ``StreamSource/startingWithSnapshot(for:isNew:)`` has made of them.
  /// - Throws: if none can be listed now, also of those that would be left out.
  func shards(of streams: [String: any StreamSource]) async throws -> [String: [Shard]]
}

extension StreamCatalog {
  public func shards(of streams: [String: any StreamSource]) async throws -> [String: [Shard]] { [:] }
}

/// Streams that stay the same.
struct FixedStreams: StreamCatalog {
  var sources: [any StreamSource]

  func streams() -> [any StreamSource] { sources }
}
