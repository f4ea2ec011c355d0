import LibPQ
import Logging
import Synchronization
import Tidemark
import TidemarkPostgres

/// The change streams of a database that an application reads, as they come and go.
///
/// A disabled stream is one of them for as long as it exists: it has records until its retention has passed.
public final class PostgresStreams: StreamCatalog {
  private let pool: PQPool
  private let logger: Logger
  private let isWanted: @Sendable (String) -> Bool
  private let streams = Mutex<[String: PostgresStream]>([:])
  private let isSchemaChecked = Mutex(false)

  /// The streams whose short names a closure chooses.
  ///
  /// - Parameter pool: The database that has the streams; see ``PostgresStream``.
  public init(
    pool: PQPool,
    logger: Logger = Logger(label: "tidemark.stream"),
    where isWanted: @escaping @Sendable (_ name: String) -> Bool
  ) {
    self.pool = pool
    self.logger = logger
    self.isWanted = isWanted
  }

  /// The streams whose short names match one of these.
  ///
  /// - Parameter patterns: Names, or patterns in which `*` stands for any characters. A stream that does not exist yet is
  ///   found once it does.
  public convenience init(
    matching patterns: String...,
    pool: PQPool,
    logger: Logger = Logger(label: "tidemark.stream")
  ) {
    self.init(matching: patterns, pool: pool, logger: logger)
  }

  /// The streams whose short names match one of these.
  public convenience init(
    matching patterns: [String],
    pool: PQPool,
    logger: Logger = Logger(label: "tidemark.stream")
  ) {
    let patterns = patterns.map(NamePattern.init)
    self.init(pool: pool, logger: logger) { name in patterns.contains { $0.matches(name) } }
  }

  /// Returns the same object for a name each time, for as long as there is a stream of that name.
  public func streams() async throws -> [any StreamSource] {
    if !isSchemaChecked.withLock(\.self) {
      try await Migrator(pool, schema: .streams, logger: logger).check()
      isSchemaChecked.withLock { $0 = true }
    }
    let newest = try await reading(.stream, on: pool) {
      try await pool.query(
        """
        SELECT DISTINCT ON (s.name) s.stream_id, s.name, s.label, s.uid, s.view_type, s.capture
        FROM tidemark.stream AS s ORDER BY s.name, s.status = 'ENABLED' DESC, s.created_at DESC
        """
      ).map { try StreamGeneration($0) }
    }
    let wanted = newest.filter { isWanted($0.name) }
    return streams.withLock { known in
      let found = wanted.map { generation in
        let stream = known[generation.name] ?? PostgresStream(generation.name, pool: pool, logger: logger)
        stream.noteListed(generation)
        return (generation.name, stream)
      }
      known = Dictionary(uniqueKeysWithValues: found)
      return found.map(\.1)
    }
  }

  public func shards(of streams: [String: any StreamSource]) async throws -> [String: [Shard]] {
    let ours = streams.compactMapValues { $0 as? PostgresStream }.filter { $0.value.pool === pool }
    return try await reading(.stream, on: pool) {
      try await Shard.list(of: ours.map { ($0.key, $0.value.application) }, on: pool)
    }
  }
}

/// A name, or a pattern in which `*` stands for any characters.
struct NamePattern: Sendable {
  private let parts: [Substring]

  init(_ pattern: String) {
    parts = pattern.split(separator: "*", omittingEmptySubsequences: false)
  }

  func matches(_ name: String) -> Bool {
    guard parts.count > 1, let first = parts.first, let last = parts.last else { return parts == [name[...]] }
    guard name.hasPrefix(first) else { return false }
    var rest = name.dropFirst(first.count)
    for part in parts.dropFirst().dropLast() where !part.isEmpty {
      guard let range = rest.firstRange(of: part) else { return false }
      rest = rest[range.upperBound...]
    }
    return rest.hasSuffix(last)
  }
}
