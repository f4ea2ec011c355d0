import Foundation
import LibPQ
import ServiceLifecycle
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres

@testable import LocalPostgres
@testable import TidemarkStreams

/// What becomes of a whole server, and that workers go on with what comes of it.
@Suite("A server that is brought back", .sharesMachine)
struct BroughtBackTests {
  /// The binaries of an earlier version than the machine's, for `pg_upgrade`.
  private static let earlier = ProcessInfo.processInfo.environment["TIDEMARK_EARLIER_POSTGRES_BIN"] ?? ""

  private static func start(_ change: (inout LocalPostgresConfiguration) -> Void) async throws
    -> LocalPostgres
  {
    var configuration = LocalPostgresConfiguration()
    configuration.settings = ["wal_level": "logical", "fsync": "off"]
    change(&configuration)
    return try await LocalPostgres.start(configuration)
  }

  private func open(_ url: String) throws -> StreamDatabase {
    let pool = try StreamDatabase.makePool(url, connections: 6)
    return StreamDatabase(url: url, pool: pool, admin: PostgresStreamAdmin(pool))
  }

  private func working(on database: StreamDatabase, _ log: DeliveryLog, until isDone: () -> Bool) async throws
  {
    let group = ServiceGroup(services: [try log.worker(of: database)], logger: StreamDatabase.logger)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await group.run() }
      try await eventually("the worker has handled them") { isDone() }
      await group.triggerGracefulShutdown()
      try await tasks.waitForAll()
    }
  }

  /// A stream by trigger with the items 1 to 19, of which a worker has handled ten, with a snapshot of those and one that
  /// was never finished, and a stream by decoding.
  private func fill(_ url: String) async throws -> StreamDatabase {
    let database = try await StreamDatabase.make(at: url)
    try await database.run(
      "CREATE TABLE item (id int PRIMARY KEY, n int, ends timestamptz); CREATE TABLE decoded (id int PRIMARY KEY)"
    )
    try await database.admin.enable(table: "item", shardCount: 2, expiryColumn: "ends")
    try await database.admin.enable(table: "decoded", capture: .logical, shardCount: 1)
    try await database.run("INSERT INTO item SELECT i, 1 FROM generate_series(1, 10) AS i")
    let log = DeliveryLog()
    try await working(on: database, log) { log.count == 10 }
    _ = try await database.stream("item").startingWithSnapshot(for: "finished", isNew: true)
    try await database.run(
      "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT tidemark.begin_snapshot(1, 'half'); COMMIT"
    )
    try await database.run(
      "INSERT INTO item SELECT i, 1 FROM generate_series(11, 19) AS i; INSERT INTO decoded VALUES (1)"
    )
    return database
  }

  private func numbers(in database: StreamDatabase) async throws -> Set<Int64> {
    Set(
      try await database.pool.query("SELECT sequence_number FROM tidemark.log_1")
        .map { try $0.decode(Int64.self) }
    )
  }

  private func afterRestore(_ database: StreamDatabase) async throws -> [DatabaseProblem] {
    var problems: [DatabaseProblem] = []
    for schema in [TidemarkSchema.leases, .streams] {
      problems += try await Migrator(database.pool, schema: schema, logger: StreamDatabase.logger)
        .afterRestore()
    }
    return problems
  }

  /// Has it made ready, which says what is missing, and goes on with all the rest.
  private func expectToGoOn(_ database: StreamDatabase, withSlots: Bool = false) async throws {
    let problems = try await afterRestore(database)
    #expect(problems.contains { $0.problem.contains("\"half\"") })
    #expect(problems.contains { $0.problem.contains("no replication slot") } == !withSlots)
    #expect(problems.count == (withSlots ? 1 : 2), "\(problems)")
    #expect(try await afterRestore(database).isEmpty)
    try await database.run(
      """
      INSERT INTO item SELECT i, 2 FROM generate_series(21, 30) AS i;
      INSERT INTO item VALUES (31, 2, now() - interval '1 minute')
      """
    )
    #expect(try await database.expireRows() == 1)
    let log = DeliveryLog()
    try await working(on: database, log) {
      log.all.contains { $0.change.userIdentity != nil } && log.count >= 22
    }
    let inserted = log.all.filter { $0.change.eventName == .insert }.map(\.item)
    #expect(inserted.sorted() == Array(11...31))
    #expect(log.count == 22)
    let view = try await database.stream("item").startingWithSnapshot(for: "finished", isNew: false)
    #expect(try await (view as? PostgresStream)?.readAll().count == 10 + 22)
    #expect(try await database.number("SELECT min(epoch) FROM tidemark_leases.lease") > 1 << 32)

    if !withSlots {
      let ended = try await database.admin.describe("decoded")
      #expect(ended.captureFailure?.contains("no replication slot") == true)
      try await database.admin.enable(table: "decoded", capture: .logical, shardCount: 1)
    }
    try await database.run("INSERT INTO decoded VALUES (2)")
    let decoded = try database.stream(try await database.admin.describe("decoded").fullName)
    let keys = try await decoded.readAll().map(\.partitionKey)
    #expect(keys == (withSlots ? [#"{"id":1}"#, #"{"id":2}"#] : [#"{"id":2}"#]))
  }

  private func run(_ command: [String], as user: ServerUser? = nil) async throws {
    let outcome = try await ChildProcess.run(user?.command(command) ?? command)
    try #require(outcome.status == 0, "\(command[0]): \(outcome.output)")
  }

  private func touch(_ file: String, for user: ServerUser) throws {
    try Data().write(to: URL(filePath: file))
    try user.own(file)
  }

  /// A directory that a server can be started on once it has data.
  private func makeServerDirectory(
    _ name: String,
    in parent: TemporaryDirectory,
    for user: ServerUser
  ) throws -> String {
    let base = "\(parent.path)/\(name)"
    try FileManager.default.createDirectory(
      atPath: base,
      withIntermediateDirectories: false,
      attributes: [.posixPermissions: 0o700]
    )
    for file in ["log", "password"] { try touch("\(base)/\(file)", for: user) }
    try user.own(base)
    return base
  }

  @Test("A base backup that is recovered to a moment has what was committed by then, and goes on from there")
  func recovered() async throws {
    let user = try ServerUser.current()
    let server = try await Self.start {
      $0.settings["archive_mode"] = "on"
      $0.settings["archive_command"] = "mkdir -p ../archive && cp %p ../archive/%f"
    }
    let source = try await fill(server.url())
    let parent = try TemporaryDirectory()
    let base = try makeServerDirectory("server", in: parent, for: user)
    try await run(
      [
        "\(server.installation.binaryDirectory)/pg_basebackup", "--pgdata=\(base)/data", "--checkpoint=fast",
        "--no-sync", "--dbname=\(server.socketURL())",
      ],
      as: user
    )
    // After the backup and before the moment: this comes from the archive.
    try await source.run("INSERT INTO item VALUES (20, 1)")
    let stream = try source.stream("item")
    try await stream.sequenceCommitted()
    let kept = try await numbers(in: source)
    let moment = try #require(try await source.text("SELECT clock_timestamp()::text"))
    try await eventually("the moment is over") {
      try await source.number("SELECT (clock_timestamp() > '\(moment)')::int") == 1
    }
    try await source.run("INSERT INTO item SELECT i, 1 FROM generate_series(101, 110) AS i")
    try await stream.sequenceCommitted()
    let lost = try await numbers(in: source).subtracting(kept)
    #expect(lost.count == 10)
    let segment = try #require(try await source.text("SELECT pg_walfile_name(pg_switch_wal())"))
    try await eventually("the log is archived") {
      try await source.text("SELECT last_archived_wal FROM pg_stat_archiver").map { $0 >= segment } == true
    }

    try touch("\(base)/data/recovery.signal", for: user)
    let archive = URL(filePath: server.dataDirectory).deletingLastPathComponent().path + "/archive"
    let recovered = try await Self.start {
      $0.directory = base
      $0.settings["restore_command"] = "cp \(archive)/%f %p"
      $0.settings["recovery_target_time"] = moment
      $0.settings["recovery_target_action"] = "promote"
    }
    let database = try open(recovered.url())
    try await eventually("the recovery is over") {
      try await database.number("SELECT pg_is_in_recovery()::int") == 0
    }
    #expect(try await database.number("SELECT count(*) FROM item") == 20)
    #expect(try await numbers(in: database) == kept)
    try await expectToGoOn(database)
    #expect(try await numbers(in: database).isDisjoint(with: lost))
    for pool in [database.pool, source.pool] { await pool.close() }
    await recovered.stop()
    await server.stop()
  }

  @Test(
    "One that pg_upgrade has made of an earlier version goes on from there",
    .enabled(
      if: !earlier.isEmpty,
      "TIDEMARK_EARLIER_POSTGRES_BIN has to name the binaries of an earlier version, with pg_upgrade in both."
    )
  )
  func upgraded() async throws {
    let user = try ServerUser.current()
    let parent = try TemporaryDirectory()
    let (old, new) = (
      try makeServerDirectory("old", in: parent, for: user),
      try makeServerDirectory("new", in: parent, for: user)
    )
    let oldBinaries = Self.earlier
    let newBinaries = try await PostgresInstallation.find().binaryDirectory
    let server = try await Self.start {
      $0.directory = old
      $0.binaryDirectory = oldBinaries
    }
    let source = try await fill(server.url())
    try await source.run("INSERT INTO item VALUES (20, 1)")
    let kept = try await numbers(in: source)
    // From 17 on slots are moved, if nothing is left for them.
    let withSlots = try await source.number("SELECT current_setting('server_version_num')::bigint") >= 170000
    if withSlots {
      let decoded = try source.stream("decoded")
      try await decoded.sequenceCommitted()
      let place = try #require(try await source.text("SELECT pg_current_wal_lsn()::text"))
      try await pumping(decoded) {
        try await eventually("the slot is past what was captured") {
          try await source.number(
            "SELECT count(*) FROM pg_replication_slots WHERE confirmed_flush_lsn >= '\(place)'"
          ) == 1
        }
      }
    }
    await source.pool.close()
    await server.stop()

    let checksums = try await ChildProcess.run(["\(newBinaries)/initdb", "--help"]).output
      .contains("--no-data-checksums")
    try await run(
      [
        "\(newBinaries)/initdb", "--pgdata=\(new)/data", "--username=postgres", "--encoding=UTF8",
        "--locale=C",
      ]
        + ["--auth=trust", "--no-sync"] + (checksums ? ["--no-data-checksums"] : []),
      as: user
    )
    try await run(
      [
        "/bin/sh", "-c", #"cd "$0" && { "$@" >upgrade.log 2>&1 || { tail -n 20 upgrade.log; exit 1; }; }"#,
        new, "\(newBinaries)/pg_upgrade", "--username=postgres", "--old-bindir=\(oldBinaries)",
        "--new-bindir=\(newBinaries)", "--old-datadir=\(old)/data", "--new-datadir=\(new)/data",
        // What is in no file of the data's: a server with logical slots does not start otherwise.
        "--old-options=-c wal_level=logical", "--new-options=-c wal_level=logical",
      ],
      as: user
    )
    let upgraded = try await Self.start { $0.directory = new }
    let database = try open(upgraded.url())
    #expect(try await numbers(in: database) == kept)
    try await expectToGoOn(database, withSlots: withSlots)
    await database.pool.close()
    await upgraded.stop()
  }

  @Test("A database that pg_restore has filled with its triggers disabled goes on from there")
  func restored() async throws {
    let source = try await fill(try await TestServer.shared().makeDatabase())
    try await source.run("INSERT INTO item VALUES (20, 1)")
    let parent = try TemporaryDirectory()
    let binaries = try await PostgresInstallation.find().binaryDirectory
    let dump = "\(parent.path)/dump"
    try await run(["\(binaries)/pg_dump", "-Fc", "-f", dump, "-d", source.url])
    let database = try open(try await TestServer.shared().makeDatabase())
    for part in [["--schema-only"], ["--data-only", "--disable-triggers"]] {
      try await run(["\(binaries)/pg_restore", "--exit-on-error", "-d", database.url] + part + [dump])
    }
    try await expectToGoOn(database)
    for database in [source, database] {
      _ = try await database.admin.dropAll()
      await database.pool.close()
    }
  }
}
