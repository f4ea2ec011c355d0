import Logging

/// A place in the write-ahead log, and what a transaction sees there: exactly what committed before it.
///
/// Other sessions of the database see the same by `SET TRANSACTION SNAPSHOT` with the ``name``, as long as this is not
/// closed. A temporary logical slot keeps it.
public struct PQReplicationSnapshot: Sendable {
  public let name: String
  public let place: PQLSN
  private let connection: PQConnection

  /// Waits for all transactions of the server that are under way and have written.
  ///
  /// - Parameters:
  ///   - slot: a name of lowercase letters, digits and underscores that no other slot of the server has.
  ///   - settings: of the server's session. `lock_timeout` bounds the wait for each transaction.
  /// - Throws: ``PQError``: with SQLSTATE 55P03 after `lock_timeout`, 40001 when too many transactions have
  ///   ended meanwhile, 53400 when the server has no slot left.
  public static func take(
    slot: String,
    settings: [String: String] = [:],
    on configuration: PQConfiguration,
    logger: Logger
  ) async throws -> PQReplicationSnapshot {
    let connection = try await PQConnection.connect(
      configuration.replicating(with: settings),
      logger: logger
    )
    do {
      // Without parentheses, as PostgreSQL 14 has it, too.
      let (place, name) = try await connection.makeSlot(
        "CREATE_REPLICATION_SLOT \(quotedIdentifier(slot)) TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT"
      )
      return PQReplicationSnapshot(name: name, place: place, connection: connection)
    } catch {
      await connection.close()
      throw error
    }
  }

  /// Drops the slot. A session that has imported the snapshot keeps it.
  public func close() async {
    await connection.close()
  }
}

extension PQPool {
  /// See ``PQReplicationSnapshot``. The session is not one of the pool's, and does not count among them.
  public func takeReplicationSnapshot(slot: String, settings: [String: String] = [:]) async throws
    -> PQReplicationSnapshot
  {
    try await PQReplicationSnapshot.take(
      slot: slot,
      settings: settings,
      on: configuration,
      logger: logger
    )
  }
}
