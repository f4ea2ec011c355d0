import Logging
import PostgresClient
import Synchronization
import Tidemark

/// A change stream, or a stream of records that were put, in PostgreSQL.
///
/// A reader works without ``run()``: it then advances the stream itself whenever it finds nothing. With many
/// shards ``run()`` is what makes one statement serve them all; and a stream that is captured by logical decoding
/// moves only while somebody runs it.
public final class PostgresStream: StreamSource {
  /// A stream that was found. Its id and full name never change.
  struct Identity: Sendable {
    var id: Int32
    var fullName: String
    var capture: StreamCapture
  }

  let pool: PostgresPool
  let name: String
  let pollInterval: Duration
  let maintenanceInterval: Duration
  let clock: any MonotonicClock
  let logger: Logger
  let heads = StreamHeads()
  private let identity = Mutex<Identity?>(nil)

  /// - Parameters:
  ///   - pool: The database that has the stream. ``run()`` keeps one of its connections.
  ///   - name: The stream's short name, which means the enabled stream or else the newest of that name, or its
  ///     full one, `name/label`. What was found first is kept for this value's life.
  ///   - pollInterval: How long ``run()`` sleeps at most when nothing wakes it. Wake-ups are hints; this bounds
  ///     the delay when one is lost.
  ///   - maintenanceInterval: How often ``run()`` sees to the retention of all streams of the database.
  ///   - clock: What waits are measured with.
  public init(
    _ name: String,
    pool: PostgresPool,
    pollInterval: Duration = .milliseconds(50),
    maintenanceInterval: Duration = .seconds(30),
    clock: any MonotonicClock = ContinuousClock(),
    logger: Logger = Logger(label: "tidemark.stream")
  ) {
    self.pool = pool
    self.name = name
    self.pollInterval = pollInterval
    self.maintenanceInterval = maintenanceInterval
    self.clock = clock
    self.logger = logger
  }

  public func streamName() async throws -> String {
    try await identified().fullName
  }

  public func shards() async throws -> [Shard] {
    let stream = try await identified()
    let shards = try await mappingStreamErrors { try await Shard.list(of: stream.id, on: pool) }
    guard !shards.isEmpty else {
      throw TidemarkError(
        .streamNotFound,
        "The stream \(stream.fullName) was disabled and is older than its retention: it is gone."
      )
    }
    return shards
  }

  public func reader(of shardID: String, after checkpoint: Checkpoint) async throws -> any ShardReader {
    let stream = try await identified()
    if checkpoint == .latest {
      // What is committed already and only waits for its number is not later.
      heads.apply(try await StreamAdvance.advance(stream.id, from: heads.streamHead, on: pool))
    }
    return try await PostgresShardReader.open(shardID, after: checkpoint, of: stream, in: self)
  }

  /// Returns once everything that was committed before this call has its place in a shard, so that a reader need
  /// not wait for it. Readers see to that by themselves; this is for who wants to read what there is, and stop.
  public func sequenceCommitted() async throws {
    let stream = try await identified()
    if stream.capture == .logical { try await captureCommitted(stream) }
    var delay = DoublingDelay(from: .milliseconds(1), to: pollInterval)
    while true {
      let (answer, isComplete) = try await StreamAdvance.advanceFully(
        stream.id,
        from: heads.streamHead,
        on: pool
      )
      heads.apply(answer)
      if isComplete { return }
      if answer.isBusy { try await clock.sleep(for: delay.next()) }
    }
  }

  func identified() async throws -> Identity {
    if let known = identity.withLock({ $0 }) { return known }
    let found = try await mappingStreamErrors {
      let rows = try await pool.query(
        """
        SELECT s.stream_id, s.name || '/' || s.label, s.capture
        FROM tidemark.stream s WHERE s.stream_id = tidemark.find_stream(\(name))
        """
      )
      let (id, fullName, capture) = try rows[0].decode((Int32, String, String).self)
      return Identity(id: id, fullName: fullName, capture: StreamCapture(rawValue: capture) ?? .trigger)
    }
    return identity.withLock { known in
      if let known { return known }
      known = found
      return found
    }
  }
}
