import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkStreams

/// Sequencing under time-outs that somebody has set.
@Suite("Sequencing under time-outs", .sharesMachine)
struct StepSizeTests {
  @Test("Steps shrink to one row, and grow to all they may move again")
  func sizes() {
    var size = StepSize()
    let whole = size
    for _ in 1...20 { size.shrink() }
    #expect(size.rows == 1 && size.bytes == 1)
    var steps = 0
    while size != whole {
      size.grow()
      steps += 1
    }
    #expect(steps < 200)
    size.grow()
    #expect(size == whole)
  }

  @Test("The time-outs of the role do not end what a session of ours does, nor the session")
  func roleTimeouts() async throws {
    let database = try await StreamDatabase.make()
    let roles = StreamRoles(database: database)
    try await roles.create("worker")
    let role = roles.name("worker")
    try await database.run(
      """
      ALTER ROLE \(role) SET statement_timeout = '20ms';
      ALTER ROLE \(role) SET lock_timeout = '20ms';
      ALTER ROLE \(role) SET idle_session_timeout = '20ms'
      """
    )
    var configuration = try PQConfiguration(url: roles.url("worker"))
    let pool = PQPool(configuration, maximumConnections: 1, logger: StreamDatabase.logger)
    let settings = try await pool.query(
      """
      SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),
        current_setting('idle_session_timeout')
      """
    )[0].decode((String, String, String).self)
    #expect(settings == ("0", "0", "0"))
    try await pool.execute("SELECT pg_sleep(0.1)")
    await pool.close()
    // What the user of a pool sets counts.
    configuration.settings["statement_timeout"] = "123ms"
    let own = PQPool(configuration, maximumConnections: 1, logger: StreamDatabase.logger)
    #expect(
      try await own.query("SELECT current_setting('statement_timeout')")[0].decode(String.self) == "123ms"
    )
    await own.close()
    try await roles.drop("worker")
  }

  @Test(
    "A backlog is sequenced in steps that fit where statements are cancelled",
    arguments: [
      // Many small rows, and few large ones.
      (rows: "SELECT n, '' FROM generate_series(1, 4000) n", pause: 0.001),
      (rows: "SELECT n, repeat('x', 1000000) FROM generate_series(1, 12) n", pause: 0.2),
    ]
  )
  func cancelledSteps(rows: String, pause: Double) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, v text)")
    try await database.admin.enable(table: "item", viewType: .newImage, shardCount: 1)
    // So slow that no whole step fits.
    try await database.run(
      """
      CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN PERFORM pg_sleep(\(pause)); RETURN NEW; END $$;
      CREATE TRIGGER pause BEFORE INSERT ON tidemark.log_1 FOR EACH ROW EXECUTE FUNCTION pause();
      INSERT INTO item \(rows)
      """
    )
    let count = try await database.number("SELECT count(*) FROM item")
    // As behind a pooler, where no session sets its own.
    let pool = try StreamDatabase.makePool(
      database.url,
      connections: 4,
      settings: ["statement_timeout": "700ms"]
    )
    let stream = PostgresStream("item", pool: pool, logger: StreamDatabase.logger)
    try await pumping(stream) {
      try await eventually("all of it is sequenced") {
        try await database.number(
          "SELECT coalesce(sum(c), 0)::bigint FROM tidemark.step p CROSS JOIN unnest(p.shard_counts) AS c"
        ) == count
      }
    }
    await pool.close()
  }
}
