import Logging

/// A session that streams the changes of a logical replication slot.
///
/// The client tells the server every ``Configuration/statusInterval`` that it lives and how far it has got, also
/// while nobody reads. While nobody reads, the server waits. The slot belongs to one session at a time.
public struct PQReplication: Sendable {
  public struct Configuration: Sendable {
    public var slot: String
    /// The output plugin's options, such as `proto_version`.
    public var options: [String: String]
    /// Where to begin; the slot's own place if that lies further on.
    public var start: PQLSN
    /// Settings of the server's session, which decide how values are written as text. `client_encoding` is `UTF8` if it is
    /// left out; with `SQL_ASCII` texts come as the database has them.
    public var settings: [String: String] = [:]
    /// Must be well below the server's `wal_sender_timeout`.
    public var statusInterval = Duration.seconds(1)

    public init(slot: String, options: [String: String], start: PQLSN = PQLSN(rawValue: 0)) {
      self.slot = slot
      self.options = options
      self.start = start
    }
  }

  private let connection: PQConnection

  /// Connects and begins to stream.
  ///
  /// - Throws: ``PQError``: with SQLSTATE 55006 while another session has the slot, 42704 when there is no
  ///   such slot, 55000 when it has lost its place.
  public static func start(
    _ replication: Configuration,
    on configuration: PQConfiguration,
    logger: Logger
  ) async throws -> PQReplication {
    let connection = try await PQConnection.connect(
      configuration.replicating(with: replication.settings),
      logger: logger
    )
    do {
      try await connection.startReplication(replication.command, statusInterval: replication.statusInterval)
    } catch {
      await connection.close()
      throw error
    }
    return PQReplication(connection: connection)
  }

  /// Waits for messages, and returns all that have come, at most about 1 MiB. For one task at a time. Cancelling it
  /// ends the session.
  ///
  /// - Throws: ``PQError``, which ends the session: with SQLSTATE 42704 when a publication is missing, or was when
  ///   the next change was made. What was sent before an error is returned before it is thrown.
  public func receive() async throws -> PQReplicationChunk {
    try await connection.receiveReplication()
  }

  /// Tells the server that everything before this place is done with for ever. It never goes back.
  public func confirm(_ place: PQLSN) async throws {
    try await connection.confirmReplication(place)
  }

  /// Ends the session; what was confirmed before reaches the server.
  public func close() async {
    await connection.close()
  }
}

extension PQReplication.Configuration {
  fileprivate var command: String {
    let pairs = options.sorted { $0.key < $1.key }.map { option in
      "\(quotedIdentifier(option.key)) '\(option.value.replacing("'", with: "''"))'"
    }
    return "START_REPLICATION SLOT \(quotedIdentifier(slot)) LOGICAL \(start)"
      + (pairs.isEmpty ? "" : " (\(pairs.joined(separator: ", ")))")
  }
}

extension PQPool {
  /// See ``PQReplication``. The session is not one of the pool's, and does not count among them.
  public func startReplication(_ replication: PQReplication.Configuration) async throws
    -> PQReplication
  {
    try await PQReplication.start(replication, on: configuration, logger: logger)
  }
}
