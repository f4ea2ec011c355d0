import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkStreams

/// The cut that a snapshot is begun at where the table is captured by decoding.
@Suite("A snapshot of a stream that is captured by decoding", .sharesMachine)
struct LogicalSnapshotTests {
  private func items(_ count: Int) async throws -> StreamDatabase {
    let database = try await StreamDatabase.make(connections: 8)
    try await database.run(
      """
      CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);
      CREATE TABLE other (id int);
      INSERT INTO item SELECT i FROM generate_series(1, \(count)) AS i
      """
    )
    try await database.admin.enable(table: "item", viewType: .newImage, capture: .logical, shardCount: 2)
    return database
  }

  private func snapshot(_ database: StreamDatabase) async throws -> PostgresStream {
    try #require(
      try await database.stream("item").startingWithSnapshot(for: "a", isNew: true) as? PostgresStream
    )
  }

  /// Asks for a cut as the maker of a snapshot does, which the connection is from then on.
  private func requestCut(_ database: StreamDatabase, on maker: PQConnection) async throws -> String {
    let id = try await database.stream("item").identified().id
    try await maker.execute("SELECT tidemark.begin_making(\(id), 'a')")
    return try await maker.query("SELECT tidemark.request_cut(\(id), 'a')::text")[0].decode(String.self)
  }

  /// Gives its maker all the time that a busy machine may need: otherwise it is void 5 s after the last sign of life.
  private func keepCut(_ database: StreamDatabase) async throws {
    try await database.run(
      "UPDATE tidemark.logical_capture SET cut_until = clock_timestamp() + interval '1 h'"
    )
  }

  private func isCut(_ database: StreamDatabase) async throws -> Bool {
    try await database.number("SELECT count(cut_id) FROM tidemark.logical_capture") == 1
  }

  private func captured(_ database: StreamDatabase) async throws -> Int64 {
    let id = try await database.stream("item").identified().id
    return try await database.number("SELECT count(*) FROM tidemark.log_\(id) WHERE cause IS NULL")
  }

  @Test("A table that nobody writes to is copied while another process captures it")
  func idle() async throws {
    let database = try await items(3)
    try await pumping(try database.stream("item")) {
      try await eventually("somebody captures") {
        try await database.admin.describe("item").slot?.isActive == true
      }
      let view = try await snapshot(database)
      #expect(try await view.readAll().count == 3)
      #expect(try await !isCut(database))
    }
  }

  @Test("Nothing is appended while a cut is asked for, and all of it once its maker is dead")
  func deadMaker() async throws {
    let database = try await items(1)
    let stream = try database.stream("item")
    try await pumping(stream) {
      try await database.pool.withConnection { maker in
        _ = try await requestCut(database, on: maker)
        try await keepCut(database)
        try await database.run("UPDATE item SET n = 1")
        let id = try await stream.identified().id
        try await eventually("the capture is held") {
          try await CaptureState.of(id, on: database.pool)?.isHeld == true
        }
        try await eventually("the one that captured has given up its session") {
          try await database.admin.describe("item").slot?.isActive == false
        }
        #expect(try await captured(database) == 0)
        await maker.close()
      }
      try await eventually("the capture goes on") { try await captured(database) == 1 }
      #expect(try await !isCut(database))
    }
  }

  @Test("The stream goes on without a maker that is alive but says nothing, and then refuses it")
  func silentMaker() async throws {
    let database = try await items(1)
    let stream = try database.stream("item")
    try await pumping(stream) {
      try await database.pool.withConnection { maker in
        let cut = try await requestCut(database, on: maker)
        try await database.run("UPDATE item SET n = 1")
        try await eventually("the capture goes on") {
          try await captured(database) == 1
        }
        let error = try await #require(throws: PQError.self) {
          try await maker.execute("SELECT tidemark.place_cut(\(cut)::text::uuid, pg_current_wal_lsn())")
        }
        #expect(error.sqlState == "40001")
        await maker.close()
      }
    }
  }

  @Test("Nothing from after a cut is appended before the snapshot begins, and everything from before it is")
  func exactCut() async throws {
    let database = try await items(1)
    let stream = try database.stream("item")
    try await pumping(stream) {
      try await database.pool.withConnection { maker in
        let cut = try await requestCut(database, on: maker)
        try await keepCut(database)
        try await database.run("UPDATE item SET n = 1; UPDATE item SET n = 2")
        try await maker.execute("SELECT tidemark.place_cut(\(cut)::text::uuid, pg_current_wal_insert_lsn())")
        try await keepCut(database)
        try await database.run("UPDATE item SET n = 3; UPDATE item SET n = 4")
        let id = try await stream.identified().id
        try await eventually("the cut is reached") {
          guard let state = try await CaptureState.of(id, on: database.pool), let end = state.source.end
          else { return false }
          return state.isHeld && state.slot?.confirmed == end && state.slot?.isActive == false
        }
        #expect(try await captured(database) == 2)
        try await maker.execute("SELECT tidemark.end_cut(\(cut)::text::uuid)")
        try await eventually("the rest is appended") { try await captured(database) == 4 }
        await maker.close()
      }
    }
  }

  @Test("A snapshot does not begin before all that stands before its cut is in the log")
  func lateCapture() async throws {
    let database = try await items(1)
    let stream = try database.stream("item")
    let id = try await stream.identified().id
    try await database.pool.withConnection { maker in
      let cut = try await requestCut(database, on: maker)
      try await keepCut(database)
      try await database.run("UPDATE item SET n = 1")
      try await maker.execute("SELECT tidemark.place_cut(\(cut)::text::uuid, pg_current_wal_insert_lsn())")
      @Sendable func begin() async throws -> Int64? {
        try await keepCut(database)
        return try await maker.query(
          """
          SELECT b.partition_ordinal
          FROM tidemark.begin_logical_snapshot(\(id), 'a', \(cut)::text::uuid, pg_current_snapshot()) AS b
          """
        )[0].decode(Int64?.self)
      }
      #expect(try await begin() == nil)
      try await pumping(stream) { try await eventually("it begins") { try await begin() != nil } }
      #expect(try await captured(database) == 1)
      await maker.close()
    }
  }

  @Test("While a long transaction is open the stream goes on, and the snapshot comes after its end")
  func longTransaction() async throws {
    let database = try await items(3)
    let stream = try database.stream("item")
    try await pumping(stream) {
      let view = try await withThrowingTaskGroup(of: PostgresStream.self) { group in
        try await database.pool.transaction { open in
          try await open.execute("INSERT INTO other VALUES (1)")
          try await open.execute("UPDATE item SET n = 9 WHERE id = 1")
          group.addTask { try await snapshot(database) }
          try await eventually("the maker waits") {
            try await database.number(
              "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                + "AND query LIKE '%pg_snapshot_xmin%xid8%' AND pid <> pg_backend_pid()"
            ) == 1
          }
          try await database.run("UPDATE item SET n = 5 WHERE id = 2")
          try await stream.sequenceCommitted()
          #expect(try await captured(database) == 1)
          #expect(try await !isCut(database))
        }
        return try #require(try await group.next())
      }
      try await database.run("UPDATE item SET n = 6 WHERE id = 3")
      let images = try await view.readAll().compactMap { $0.change?.newImage?.description }
      #expect(Set(images.prefix(3)) == [#"{"id":1,"n":9}"#, #"{"id":2,"n":5}"#, #"{"id":3,"n":0}"#])
      #expect(images.dropFirst(3) == [#"{"id":3,"n":6}"#])
    }
  }

  @Test(
    "A long transaction that begins in the wrong moment holds the stream up for seconds, and TRUNCATE not for ever",
    arguments: [false, true]
  )
  func wrongMoment(truncates: Bool) async throws {
    let database = try await items(3)
    let stream = try database.stream("item")
    let id = try await stream.identified().id
    try await pumping(stream) {
      let view = try await withThrowingTaskGroup(of: PostgresStream.self) { group in
        try await database.pool.transaction { open in
          try await database.pool.withConnection { other in
            // The maker has waited for writers already when it waits for this.
            try await other.execute("BEGIN")
            try await other.execute("SELECT tidemark.take_turn(\(id))")
            group.addTask { try await snapshot(database) }
            try await eventually("the maker is about to cut") {
              try await database.number(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                  + "AND query LIKE '%request_cut%' AND wait_event = 'relation'"
              ) == 1
            }
            try await open.execute("INSERT INTO other VALUES (1)")
            await other.close()
          }
          try await eventually("the stream is cut") { try await isCut(database) }
          if truncates {
            try await open.execute("TRUNCATE item")
          } else {
            try await database.run("UPDATE item SET n = 5 WHERE id = 2")
            try await eventually("the stream goes on") {
              try await captured(database) == 1
            }
          }
        }
        return try #require(try await group.next())
      }
      try await database.run("INSERT INTO item VALUES (4, 0)")
      let inserts = try await view.readAll().filter { $0.change?.eventName == .insert }
      #expect(inserts.count == (truncates ? 1 : 4))
    }
  }

  @Test("A role that may not replicate gets an error that says what it lacks")
  func missingRight() async throws {
    let database = try await items(1)
    let roles = StreamRoles(database: database)
    try await roles.create("consumer")
    let name = roles.name("consumer")
    try await database.admin.grant(.consumer, to: name)
    try await database.run("GRANT SELECT ON item TO \(name)")
    let pool = try roles.pool("consumer")
    let stream = PostgresStream("item", pool: pool, logger: StreamDatabase.logger)
    let error = try await #require(throws: TidemarkError.self) {
      _ = try await stream.startingWithSnapshot(for: "a", isNew: true)
    }
    #expect(error.code == .unsupported)
    #expect(error.advice?.contains("ALTER ROLE \(name) REPLICATION") == true)
    #expect(try await !isCut(database))
    try await database.run("ALTER ROLE \(name) REPLICATION")
    let view = try #require(
      try await stream.startingWithSnapshot(for: "a", isNew: true) as? PostgresStream
    )
    #expect(try await view.readAll().count == 1)
    await pool.close()
    try await roles.drop("consumer")
  }
}
