import LibPQ
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres

@testable import TidemarkStreams

@Suite("Going to another version of the schemas and back", .sharesMachine)
struct UpgradeTests {
  private static let schemas = [TidemarkSchema.nextLeases, .nextStreams]

  private func migrate(_ database: StreamDatabase, to version: Int) async throws {
    for schema in Self.schemas {
      var migrator = Migrator(database.pool, schema: schema, logger: StreamDatabase.logger)
      migrator.patience = .seconds(120)
      try await migrator.migrate(to: version)
    }
  }

  /// A snapshot of the table `other` that has begun, and has no rows yet.
  private struct BegunSnapshot {
    var connection: PQConnection
    var stream: Int32
    var application: String
    var partition: Int64
    var starts: [Int64]
    var ordinals: [Int32]

    static func begin(for application: String, in database: StreamDatabase) async throws -> BegunSnapshot {
      let connection = try await PQConnection.connect(
        PQConfiguration(url: database.url),
        logger: StreamDatabase.logger
      )
      let stream = try await database.stream("other").identified().id
      try await connection.execute("SELECT tidemark.begin_making(\(stream), \(application))")
      let (partition, starts, ordinals) = try await connection.transaction(isolation: .repeatableRead) {
        try await $0.execute(
          "LOCK TABLE tidemark.\(identifier: "turn_\(stream)") IN SHARE UPDATE EXCLUSIVE MODE"
        )
        return try await $0.query(
          "SELECT partition_ordinal, starts, ordinals FROM tidemark.begin_snapshot(\(stream), \(application))"
        )[0].decode((Int64, [Int64], [Int32]).self)
      }
      return BegunSnapshot(
        connection: connection,
        stream: stream,
        application: application,
        partition: partition,
        starts: starts,
        ordinals: ordinals
      )
    }

    func finish() async throws {
      let copied = try await connection.query(
        "SELECT tidemark.\(identifier: "copy_\(stream)")(\(partition), \(starts), \(ordinals), 0, 'other', 0, 1000)"
      )[0].decode(Int64.self)
      let complete: PQStatement =
        "SELECT tidemark.complete_snapshot(\(stream), \(application), \(copied))"
      while try await !connection.query(complete)[0].decode(Bool.self) {}
      await connection.close()
    }
  }

  /// The functions that streams have of their own: how they are made, whose they are, and who may call them.
  private func functions(of database: StreamDatabase) async throws -> String? {
    try await database.text(
      """
      SELECT string_agg(format('%s %s %s %s', p.oid::regprocedure, p.proowner::regrole, p.proacl, p.proconfig), E'\\n'
        ORDER BY p.proname)
      FROM pg_proc p WHERE p.pronamespace = 'tidemark'::regnamespace AND p.proname ~ '_[0-9]+$'
      """
    )
  }

  /// How many functions a generator of this version has made, and how many streams say so.
  private func made(by version: Int, in database: StreamDatabase) async throws -> [Int64] {
    [
      try await database.number(
        """
        SELECT count(*) FROM pg_proc p WHERE p.pronamespace = 'tidemark'::regnamespace AND p.proname ~ '_[0-9]+$'
          AND (p.prosrc LIKE '%generator 2%') = (\(version) = 2)
        """
      ),
      try await database.number(
        "SELECT count(*) FROM tidemark.stream s WHERE s.generator_version = \(version)"
      ),
    ]
  }

  /// Writes to the table `item` until `body` is over.
  private func writing(to database: StreamDatabase, _ body: () async throws -> Void) async throws {
    let isOver = SharedCounter()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for writer in 0..<3 {
        group.addTask {
          var round = 0
          while isOver.value == 0 {
            round += 1
            let id = Int32(round * 7919 % 100 * 3 + writer)
            try await database.pool.execute(
              round % 5 == 0
                ? "DELETE FROM item WHERE id = \(id)"
                : "INSERT INTO item VALUES (\(id)) ON CONFLICT (id) DO UPDATE SET n = nextval('tick')"
            )
          }
        }
      }
      defer { isOver.add() }
      try await body()
      isOver.add()
      try await group.waitForAll()
    }
  }

  @Test(
    "Streams, leases and snapshots go on in order, up and down, beside writers and a worker",
    arguments: StreamCapture.allCases
  )
  func underTraffic(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make(connections: 10)
    let roles = StreamRoles(database: database)
    for role in ["owner", "reader"] { try await roles.create(role) }
    try await database.run(
      """
      CREATE SEQUENCE tick;
      CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL DEFAULT nextval('tick'));
      CREATE TABLE other AS SELECT i AS id FROM generate_series(1, 100) AS i;
      ALTER TABLE other ADD PRIMARY KEY (id);
      ALTER TABLE other OWNER TO \(roles.name("owner"));
      GRANT USAGE ON SCHEMA public TO \(roles.name("owner"))
      """
    )
    try await database.admin.enable(table: "item", capture: capture)
    try await database.admin.enable(table: "other")
    try await database.admin.grant(.consumer, to: roles.name("reader"))
    let before = try await functions(of: database)
    #expect(before?.contains("copy_") == true && before?.contains(roles.name("reader")) == true)
    let log = DeliveryLog()
    try await running(try log.worker(of: database)) {
      try await writing(to: database) {
        for version in [2, 1, 2, 1] {
          try await eventually("changes are delivered") { [count = log.count] in log.count > count + 100 }
          let snapshot = try await BegunSnapshot.begin(for: "\(version)", in: database)
          try await migrate(database, to: version)
          try await snapshot.finish()
          #expect(try await functions(of: database) == before)
          #expect(try await made(by: version, in: database) == [8, 2])
          let view = try await database.stream("other").startingWithSnapshot(for: "\(version)", isNew: false)
          #expect(try await #require(view as? PostgresStream).readAll().count == 100)
          try await database.admin.dropSnapshots(for: "\(version)")
        }
        try await eventually("changes are delivered") { [count = log.count] in log.count > count + 100 }
      }
      let rows = try await database.pool.query("SELECT id, n FROM item")
      let table = try Dictionary(
        uniqueKeysWithValues: rows.map { try $0.decode((Int32, Int32).self) }.map { (Int($0), Int($1)) }
      )
      try await eventually("the records make up the table") { log.table == table }
    }
    for (item, values) in log.valuesByItem {
      #expect(values == Set(values).sorted(), "item \(item): nothing twice, and in order")
    }
    _ = try await database.admin.dropAll()
    try await roles.drop("owner", "reader")
  }

  @Test("A stream whose table is gone holds up no migration")
  func droppedTable() async throws {
    let database = try await StreamDatabase.make()
    for capture in StreamCapture.allCases {
      try await database.run("CREATE TABLE \(capture) (id int PRIMARY KEY)")
      try await database.admin.enable(table: "\(capture)", capture: capture)
      try await database.run("DROP TABLE \(capture)")
    }
    for version in [2, 1] { try await migrate(database, to: version) }
    try await database.admin.maintain()
    #expect(try await database.admin.list().allSatisfy { $0.status == .disabled })
  }

  @Test("What the older version has not is not taken from a stream that uses it")
  func usedFeature() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE items (id int PRIMARY KEY)")
    let stream = try await database.admin.enable(table: "items").fullName
    try await migrate(database, to: 2)
    try await database.run(
      """
      UPDATE tidemark.stream SET is_quiet = true;
      INSERT INTO tidemark_leases.lease (application, stream, shard_id, parent_shard_ids, checkpoint, note)
        VALUES ('a', '\(stream)', 'x', '{}', 'TRIM_HORIZON', 'a note')
      """
    )
    for schema in Self.schemas {
      let migrator = Migrator(database.pool, schema: schema, logger: StreamDatabase.logger)
      for version in [0, 1] {
        let error = await #expect(throws: TidemarkError.self) { try await migrator.migrate(to: version) }
        #expect(error?.code == .unsupported && error?.message.hasSuffix(": \(stream).") == true)
        #expect(error?.advice?.hasSuffix("first.") == true)
        #expect(try await migrator.currentVersion() == 2)
      }
    }
    try await database.run(
      "UPDATE tidemark.stream SET is_quiet = false; UPDATE tidemark_leases.lease SET note = NULL"
    )
    try await migrate(database, to: 1)
  }

  @Test("A migration names the transaction that it waits for, and lets writers go on meanwhile")
  func longTransaction() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE items (id int PRIMARY KEY)")
    try await database.admin.enable(table: "items")
    let log = CollectedLog()
    let migrator = Migrator(database.pool, schema: .nextStreams, logger: log.logger)
    try await database.pool.transaction { writer in
      try await writer.execute("INSERT INTO items VALUES (1)")
      var migrator = migrator
      migrator.patience = .seconds(1)
      let written = SharedCounter()
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          for id in Int32(2)... {
            try await database.pool.execute("INSERT INTO items VALUES (\(id))")
            written.add()
            try Task.checkCancellation()
          }
        }
        let error = await #expect(throws: TidemarkError.self) { try await migrator.migrate() }
        #expect(error?.code == .sourceUnavailable && error?.isRetryable == true)
        #expect(error?.message.contains("used by the process") == true, "\(String(describing: error))")
        #expect(error?.advice?.contains("nothing has changed") == true)
        let before = written.value
        try await eventually("writers write") { written.value > before }
        group.cancelAll()
        while (try? await group.next()) != nil {}
      }
      #expect(written.value > 1)
      #expect(
        log.lines.count == 1 && log.lines.first?.contains("held by: the process") == true,
        "\(log.lines)"
      )
    }
    try await migrator.migrate()
    #expect(try await migrator.currentVersion() == 2)
  }
}
