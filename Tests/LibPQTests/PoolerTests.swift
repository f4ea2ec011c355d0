import Foundation
import LibPQ
import LocalPostgres
import TestSupport
import Testing

@Suite(
  "The client behind a transaction pooler",
  .enabled(if: Pooler.program != nil, "PgBouncer is not installed: deploy/setup.sh --tests"),
  .sharesMachine
)
struct PoolerTests {
  private func withPooler(
    _ body: (_ direct: PQConfiguration, _ pooled: PQConfiguration) async throws -> Void
  ) async throws {
    try await withLocalPostgres { server in
      let pooler = try await Pooler.start(inFrontOf: server)
      try await body(
        try PQConfiguration(url: server.url()),
        try PQConfiguration(url: pooler.url)
      )
      withExtendedLifetime(pooler) {}
    }
  }

  @Test("it notices the pooler, and does not take a direct connection for one")
  func noticed() async throws {
    try await withPooler { direct, pooled in
      for (configuration, isPooled) in [(direct, false), (pooled, true)] {
        let connection = try await PQConnection.connect(configuration, logger: quietLogger)
        #expect(await connection.isPooled == isPooled)
        await connection.close()
      }
    }
  }

  @Test("it runs each statement as it was written, also when others have run theirs in the same session")
  func statements() async throws {
    try await withPooler { _, pooled in
      let pool = PQPool(pooled, maximumConnections: 8, logger: quietLogger)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for caller in 0..<8 {
          group.addTask {
            for round in 0..<50 {
              // Each caller has texts of its own, which prepared statements of the same name would mix up.
              let sum = try await pool.query("SELECT \(round) + \(caller) * 1000 AS sum")[0]
              #expect(try sum.decode(Int64.self) == Int64(round + caller * 1000))
              let both = try await pool.transaction { transaction in
                let first = try await transaction.query("SELECT pg_backend_pid()")[0].decode(Int32.self)
                let second = try await transaction.query("SELECT pg_backend_pid(), \(caller)")[0]
                return (first, try second.decode((Int32, Int64).self))
              }
              #expect(both.0 == both.1.0, "a transaction has one session")
              #expect(both.1.1 == Int64(caller))
            }
          }
        }
        try await group.waitForAll()
      }
      await pool.close()
    }
  }

  @Test("a statement by itself is READ COMMITTED there as well, and one that fails undoes those before it")
  func isolation() async throws {
    try await withPooler { direct, pooled in
      let administrator = try await PQConnection.connect(direct, logger: quietLogger)
      _ = try await administrator.query(
        "ALTER DATABASE postgres SET default_transaction_isolation = serializable"
      )
      await administrator.close()
      let connection = try await PQConnection.connect(pooled, logger: quietLogger)
      for _ in 0..<3 {
        let rows = try await connection.pipeline([
          "SELECT 1", "SELECT current_setting('transaction_isolation')",
        ])
        #expect(rows.count == 2)
        #expect(try rows[1][0].decode(String.self) == "read committed")
      }
      _ = try await connection.query("CREATE TABLE mark (id integer)")
      await #expect(throws: PQError.self) {
        try await connection.pipeline(["INSERT INTO mark VALUES (1)", "SELECT 1 / 0"])
      }
      #expect(try await connection.query("SELECT count(*) FROM mark")[0].decode(Int.self) == 0)
      let level = try await connection.transaction(isolation: .serializable) {
        try await $0.query("SELECT current_setting('transaction_isolation')")[0].decode(String.self)
      }
      #expect(level == "serializable")
      await connection.close()
    }
  }

  @Test("it leaves no settings in sessions that are others' next")
  func settings() async throws {
    try await withPooler { direct, pooled in
      var configuration = pooled
      configuration.settings["idle_in_transaction_session_timeout"] = "5000"
      let connection = try await PQConnection.connect(configuration, logger: quietLogger)
      for _ in 0..<3 {
        let rows = try await connection.query("SELECT current_setting('idle_in_transaction_session_timeout')")
        #expect(try rows[0].decode(String.self) == "0")
      }
      await connection.close()
    }
  }
}
