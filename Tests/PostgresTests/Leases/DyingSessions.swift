import LibPQ
import LocalPostgres
import TestSupport
import Testing

/// A private server on which sessions can be killed in the middle of their COMMIT, on either side of it.
struct DyingSessions {
  enum Death: CaseIterable {
    /// A trigger that runs in the COMMIT holds it up: nothing of the transaction will be there.
    case beforeCommit
    /// The COMMIT waits for a standby that does not exist: all of it is there, but nobody knows.
    case afterCommit
  }

  private static let name = "victim"

  let url: String
  let pool: PQPool

  static func with(_ body: (DyingSessions) async throws -> Void) async throws {
    var configuration = LocalPostgresConfiguration()
    configuration.settings = [
      "fsync": "off", "synchronous_standby_names": "*", "synchronous_commit": "local",
    ]
    try await withLocalPostgres(configuration) { server in
      let pool = PQPool(try calm(server.url()), logger: LeaseDatabase.logger)
      try await body(DyingSessions(url: server.url(), pool: pool))
      await pool.close()
    }
  }

  /// How to connect without waiting for the standby that there is not.
  static func calm(_ url: String) throws -> PQConfiguration {
    var configuration = try PQConfiguration(url: url)
    configuration.settings["synchronous_commit"] = "local"
    return configuration
  }

  /// Makes the sessions of victims wait in a COMMIT that has changed a lease.
  func prepareLeases() async throws {
    try await prepare("UPDATE ON tidemark_leases.lease")
  }

  /// Makes the sessions of victims wait in a COMMIT after such a change.
  func prepare(_ change: String) async throws {
    try await pool.withConnection {
      try await $0.executeScript(
        """
        CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF current_setting('test.hold', true) = 'on' THEN PERFORM pg_sleep(600); END IF;
          RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER hold AFTER \(change) DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW EXECUTE FUNCTION hold();
        """
      )
    }
  }

  /// How to connect to be killed so.
  func victim(_ death: Death) throws -> PQConfiguration {
    var configuration = try Self.calm(url)
    configuration.applicationName = Self.name
    switch death {
    case .beforeCommit: configuration.settings["test.hold"] = "on"
    case .afterCommit: configuration.settings["synchronous_commit"] = "on"
    }
    return configuration
  }

  func waitForCommit() async throws {
    try await eventually("the victim is in its COMMIT") {
      try await pool.value(
        """
        SELECT count(*) FROM pg_stat_activity
        WHERE application_name = \(Self.name) AND wait_event IN ('PgSleep', 'SyncRep')
        """,
        as: Int.self
      ) == 1
    }
  }

  func kill() async throws {
    try await pool.execute(
      "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = \(Self.name)"
    )
  }
}
