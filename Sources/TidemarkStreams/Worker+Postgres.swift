import LibPQ
import Logging
import Tidemark
import TidemarkPostgres

extension Worker {
  /// A worker that reads a change stream of a PostgreSQL database and keeps its leases in the same database.
  ///
  /// ```swift
  /// let worker = try Worker(
  ///   application: "order-projector", stream: "orders", database: "postgresql://localhost/shop"
  /// ) { _ in OrderProjector() }
  /// try await worker.run()
  /// ```
  ///
  /// - Parameters:
  ///   - application: the name under which leases and checkpoints are kept.
  ///   - stream: the stream's name; see ``PostgresStream``.
  ///   - database: libpq's connection URL or keywords. Give a direct connection, not a transaction pooler's:
  ///     through that a killed worker is noticed only by its heartbeats.
  ///   - maximumConnections: for reading, planning and checkpoints together, one of which is kept for the stream's
  ///     wake-ups; the worker's session has one more.
  /// - Throws: ``TidemarkError/Code/invalidConfiguration`` naming everything that is wrong, the URL too if libpq cannot
  ///   read it.
  public convenience init(
    application: String,
    stream: String,
    database: String,
    maximumConnections: Int = 7,
    configuration: WorkerConfiguration = WorkerConfiguration(),
    identity: WorkerIdentity = .current(),
    events: (any WorkerEvents)? = nil,
    logger: Logger = Logger(label: "tidemark"),
    processor: @escaping ProcessorFactory
  ) throws {
    let (connection, pool) = try Self.connect(
      to: database,
      application: application,
      maximumConnections: maximumConnections,
      logger: logger
    )
    try self.init(
      application: application,
      stream: PostgresStream(stream, pool: pool, logger: logger),
      leases: PostgresLeaseStore(connection, pool: pool, logger: logger, hasOwnSessions: true),
      configuration: configuration,
      identity: identity,
      events: events,
      logger: logger,
      processor: processor
    )
  }

  /// A worker that shares a pool with the rest of the program.
  public convenience init(
    application: String,
    stream: String,
    database: PQConfiguration,
    pool: PQPool,
    configuration: WorkerConfiguration = WorkerConfiguration(),
    identity: WorkerIdentity = .current(),
    events: (any WorkerEvents)? = nil,
    logger: Logger = Logger(label: "tidemark"),
    processor: @escaping ProcessorFactory
  ) throws {
    try self.init(
      application: application,
      stream: PostgresStream(stream, pool: pool, logger: logger),
      leases: PostgresLeaseStore(database, pool: pool, logger: logger),
      configuration: configuration,
      identity: identity,
      events: events,
      logger: logger,
      processor: processor
    )
  }

  /// A worker that reads several change streams of a PostgreSQL database, as they come and go, and keeps its leases in the
  /// same database.
  ///
  /// ```swift
  /// let worker = try Worker(
  ///   application: "search-index", streams: ["shop.*", "reviews"], database: "postgresql://localhost/shop"
  /// ) { shard in SearchIndexer(shard.stream) }
  /// ```
  ///
  /// - Parameter streams: names, or patterns in which `*` stands for any characters; see ``PostgresStreams``.
  public convenience init(
    application: String,
    streams: [String],
    database: String,
    maximumConnections: Int = 7,
    configuration: WorkerConfiguration = WorkerConfiguration(),
    identity: WorkerIdentity = .current(),
    events: (any WorkerEvents)? = nil,
    logger: Logger = Logger(label: "tidemark"),
    processor: @escaping ProcessorFactory
  ) throws {
    let (connection, pool) = try Self.connect(
      to: database,
      application: application,
      maximumConnections: maximumConnections,
      logger: logger
    )
    try self.init(
      application: application,
      catalog: PostgresStreams(matching: streams, pool: pool, logger: logger),
      leases: PostgresLeaseStore(connection, pool: pool, logger: logger, hasOwnSessions: true),
      configuration: configuration,
      identity: identity,
      events: events,
      logger: logger,
      processor: processor
    )
  }

  /// A worker that reads several change streams and shares a pool with the rest of the program.
  public convenience init(
    application: String,
    streams: [String],
    database: PQConfiguration,
    pool: PQPool,
    configuration: WorkerConfiguration = WorkerConfiguration(),
    identity: WorkerIdentity = .current(),
    events: (any WorkerEvents)? = nil,
    logger: Logger = Logger(label: "tidemark"),
    processor: @escaping ProcessorFactory
  ) throws {
    try self.init(
      application: application,
      catalog: PostgresStreams(matching: streams, pool: pool, logger: logger),
      leases: PostgresLeaseStore(database, pool: pool, logger: logger),
      configuration: configuration,
      identity: identity,
      events: events,
      logger: logger,
      processor: processor
    )
  }

  private static func connect(
    to database: String,
    application: String,
    maximumConnections: Int,
    logger: Logger
  ) throws -> (PQConfiguration, PQPool) {
    do {
      let connection = try PQConfiguration(url: database).namingProcess("tidemark \(application)")
      return (connection, PQPool(connection, maximumConnections: maximumConnections, logger: logger))
    } catch let error as PQError {
      throw TidemarkError(error, of: .leaseStore)
    }
  }
}
