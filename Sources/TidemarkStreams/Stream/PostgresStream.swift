import LibPQ
import Logging
import Synchronization
import Tidemark
import TidemarkPostgres
import Waiting

/// A change stream, or a stream of records that were put, in PostgreSQL.
///
/// A stream that was disabled and enabled again is another one, with a label of its own. Its short name stands for all
/// of that name that still exist, one after the other: the last shards of one are the parents of the first shards of the
/// next, so that a reader drains the old one and goes on with the new one. A full name, `name/label`, stands for
/// that one alone.
///
/// A reader works without ``run()``: it then advances the stream itself whenever it finds nothing. With many
/// shards ``run()`` is what makes one statement serve them all; and a stream that is captured by logical decoding
/// moves only while somebody runs it.
public final class PostgresStream: StreamSource {
  let pool: PQPool
  let name: String
  let pollInterval: Duration
  let batchingInterval: Duration
  let maintenanceInterval: Duration
  let clock: any MonotonicClock
  let logger: Logger
  /// The application whose snapshot comes first, if it has one.
  let application: String?
  private let generations = Mutex<[Int32: StreamGeneration]>([:])
  private let listed = Mutex<StreamGeneration?>(nil)
  private let isSchemaChecked = Mutex(false)

  /// - Parameters:
  ///   - pool: The database that has the stream. ``run()`` keeps one of its connections.
  ///   - name: The stream's short name, or its full one, `name/label`.
  ///   - pollInterval: How long ``run()`` sleeps at most when nothing wakes it. Wake-ups are hints; this bounds
  ///     the delay when one is lost.
  ///   - batchingInterval: How long ``run()`` gathers changes at most, where many come. Those of a pool that is used for
  ///     several streams are all moved by one of their runs, with that one's intervals.
  ///   - maintenanceInterval: How often ``run()`` looks after all streams of the database: retention, shards, expiry.
  ///   - clock: What waits are measured with.
  public convenience init(
    _ name: String,
    pool: PQPool,
    pollInterval: Duration = .milliseconds(50),
    batchingInterval: Duration = .milliseconds(10),
    maintenanceInterval: Duration = .seconds(30),
    clock: any MonotonicClock = ContinuousClock(),
    logger: Logger = Logger(label: "tidemark.stream")
  ) {
    self.init(
      name,
      application: nil,
      pool: pool,
      pollInterval: pollInterval,
      batchingInterval: batchingInterval,
      maintenanceInterval: maintenanceInterval,
      clock: clock,
      logger: logger
    )
  }

  private init(
    _ name: String,
    application: String?,
    pool: PQPool,
    pollInterval: Duration,
    batchingInterval: Duration,
    maintenanceInterval: Duration,
    clock: any MonotonicClock,
    logger: Logger
  ) {
    self.name = name
    self.application = application
    self.pool = pool
    self.pollInterval = pollInterval
    self.batchingInterval = batchingInterval
    self.maintenanceInterval = maintenanceInterval
    self.clock = clock
    self.logger = logger
  }

  /// The same stream as an application sees it that has a snapshot.
  func seen(by application: String) -> PostgresStream {
    PostgresStream(
      name,
      application: application,
      pool: pool,
      pollInterval: pollInterval,
      batchingInterval: batchingInterval,
      maintenanceInterval: maintenanceInterval,
      clock: clock,
      logger: logger
    )
  }

  public func streamName() async throws -> String {
    let newest = try await listedOrIdentified()
    return name.contains("/") ? newest.fullName : newest.name
  }

  public func shards() async throws -> [Shard] {
    let shards = try await reading(.stream, on: pool) {
      try await Shard.list(of: name, for: application, on: pool)
    }
    guard !shards.isEmpty else {
      throw TidemarkError(
        .streamNotFound,
        "The stream \(try await identified().fullName) was disabled and is older than its retention: it is gone."
      )
    }
    return shards
  }

  public func reader(of shardID: String, after checkpoint: Checkpoint) async throws -> any ShardReader {
    if checkpoint == .latest {
      // What is committed already and only waits for its number is not later.
      _ = try await advance(try await identified())
    }
    return try await PostgresShardReader.open(shardID, after: checkpoint, in: self)
  }

  /// Returns once everything that was committed before this call has its place in a shard, so that a reader need
  /// not wait for it. Readers see to that by themselves; this is for a program that reads what there is and then stops.
  public func sequenceCommitted() async throws {
    let newest = try await identified()
    if newest.capture == .logical { try await captureCommitted(newest) }
    var delay = DoublingDelay(from: .milliseconds(1), to: pollInterval)
    try await StreamAdvance.advanceFully(
      newest.id,
      from: { newest.heads.streamHead },
      on: pool,
      answered: newest.heads.apply,
      waitForTurn: { [clock] in try await clock.sleep(for: delay.next()) }
    )
  }

  /// The newest stream of the name: the only one that can have records that are still without a place.
  func identified() async throws -> StreamGeneration {
    if !isSchemaChecked.withLock(\.self) {
      try await Migrator(pool, schema: .streams, logger: logger).check()
      isSchemaChecked.withLock { $0 = true }
    }
    let rows = try await reading(.stream, on: pool) {
      try await pool.query(
        """
        SELECT s.stream_id, s.name, s.label, s.uid, s.view_type, s.capture
        FROM tidemark.stream s WHERE s.stream_id = tidemark.find_stream(\(name))
        """
      )
    }
    return known(try StreamGeneration(rows[0]))
  }

  /// Takes over what a catalog has found of many streams at once.
  func noteListed(_ newest: StreamGeneration) {
    listed.withLock { $0 = known(newest) }
    isSchemaChecked.withLock { $0 = true }
  }

  /// The newest stream of the name as it was listed, or as it is now. A later one is found when that one has ended.
  func listedOrIdentified() async throws -> StreamGeneration {
    if let listed = listed.withLock(\.self) { return listed }
    return try await identified()
  }

  /// What is known here of a stream, the same object each time.
  func known(_ found: StreamGeneration) -> StreamGeneration {
    generations.withLock { known in
      if let earlier = known[found.id] { return earlier }
      known[found.id] = found
      return found
    }
  }
}
