import Foundation
import LocalPostgres
import TestSupport
import Testing
import TidemarkStreams

@Suite("What the program says when it fails", .sharesMachine)
struct FailureTests {
  @Test("A stream that does not exist is an error with advice")
  func unknownStream() async throws {
    let tidemark = try await CommandDatabase.make().tidemark
    for arguments in [["describe", "nope"], ["tail", "nope"], ["put", "nope", "--key", "k"]] {
      let outcome = try await tidemark.start(["stream"] + arguments).outcome
      #expect(outcome.status == 1)
      #expect(outcome.output.isEmpty)
      let lines = outcome.errors.split(separator: "\n")
      #expect(lines.count == 2)
      #expect(lines[0].hasPrefix("Error: there is no stream"))
      #expect(lines[1].hasPrefix("Help: ") && lines[1].contains("tidemark stream list"))
    }
  }

  @Test("A table without a primary key is refused, with how to add one")
  func noPrimaryKey() async throws {
    let database = try await CommandDatabase.make()
    try await database.run("CREATE TABLE bare (id int)")
    let outcome = try await database.tidemark.run("stream", "enable", "bare")
    #expect(outcome.status == 1)
    #expect(outcome.errors.contains("Error: public.bare has no primary key."))
    #expect(outcome.errors.contains("ALTER TABLE public.bare ADD PRIMARY KEY"))
    let missing = try await database.tidemark.run("stream", "enable", "missing")
    #expect(missing.status == 1)
    #expect(missing.errors.contains("There is no table missing."))
  }

  @Test("A database that cannot be reached is exit code 69, with advice and without the password")
  func unreachable() async throws {
    let tidemark = CommandLineTool(databaseURL: "postgresql://u:s3cret@127.0.0.1:1/x")
    let outcome = try await tidemark.run("stream", "list")
    #expect(outcome.status == 69)
    #expect(outcome.errors.split(separator: "\n").count == 2)
    #expect(outcome.errors.contains("127.0.0.1"))
    #expect(!outcome.errors.contains("?"))
    #expect(outcome.errors.contains("Help: Check that the server runs"))
    #expect(!outcome.errors.contains("s3cret"))
  }

  @Test("A database or a host that there is not is exit code 69, with what to correct")
  func noSuchDatabase() async throws {
    let url = try await TestServer.shared().url(database: "no_such_database")
    for (url, name) in [(url, "no_such_database"), ("postgresql://no..such..host/x", "no..such..host")] {
      let outcome = try await CommandLineTool(databaseURL: url).run("workers", "list")
      #expect(outcome.status == 69)
      let lines = outcome.errors.split(separator: "\n")
      #expect(lines.count == 2 && lines[0].contains(name))
      #expect(lines[1].hasPrefix("Help: Check the ") && lines[1].contains("URL"))
    }
  }

  @Test("A wrong password is exit code 69, and is not shown")
  func wrongPassword() async throws {
    var server = LocalPostgresConfiguration()
    server.listensOnTCP = true
    try await withLocalPostgres(server) { local in
      let address = try #require(local.url().split(separator: "@").last)
      let tidemark = CommandLineTool(databaseURL: "postgresql://postgres:s3cret@\(address)")
      let outcome = try await tidemark.run("stream", "list")
      #expect(outcome.status == 69)
      let lines = outcome.errors.split(separator: "\n")
      #expect(lines.count == 2 && lines[0].contains("refused the login"))
      #expect(lines[1].hasPrefix("Help: Check the user and the password"))
      #expect(!outcome.errors.contains("s3cret"))
    }
  }

  @Test("A right that is missing is exit code 1, with the command that gives it")
  func noRights() async throws {
    let database = try await CommandDatabase.make()
    let role = "stranger_" + UUID().uuidString.lowercased().prefix(8)
    try await database.run("CREATE ROLE \(role) LOGIN PASSWORD 'secret'")
    let url = database.url.replacing(/\/\/[^@\/]*@/, with: "//\(role):secret@")
    let tidemark = CommandLineTool(databaseURL: url)
    let asked = [
      (["leases", "list"], "consumer"), (["stream", "put", "s", "--key", "k", "--data", "d"], "producer"),
      (["stream", "create", "s"], "administrator"),
    ]
    for (arguments, rights) in asked {
      let outcome = try await tidemark.start(arguments).outcome
      #expect(outcome.status == 1)
      let lines = outcome.errors.split(separator: "\n")
      #expect(lines.count == 2 && lines[0].contains("permission denied for"), "\(outcome.errors)")
      #expect(lines.last == "Help: Run as the schema's owner: tidemark grant \(rights) \(role)")
    }
    try await database.run("DROP OWNED BY \(role); DROP ROLE \(role)")
  }

  @Test(
    "Output that cannot be written is an error",
    .enabled(if: FileManager.default.fileExists(atPath: "/dev/full")),
    arguments: [["stream", "list"], ["stream", "list", "--json"], ["stream", "tail", "s", "--no-follow"]]
  )
  func fullDisk(_ arguments: [String]) async throws {
    let database = try await CommandDatabase.make()
    let stream = try await PostgresStreamAdmin(database.pool).create("s")
    try await PostgresStreamAdmin(database.pool).put([65], partitionKey: "k", to: stream.name)
    let outcome = try await database.tidemark.start(arguments, output: "/dev/full").outcome
    #expect(outcome.status == 1)
    #expect(outcome.errors.hasPrefix("Error: Cannot write to standard output"))
  }

  @Test("A URL that cannot be read is a usage error, which does not repeat it")
  func badURL() async throws {
    let outcome = try await CommandLineTool().run(
      "stream",
      "list",
      "--database-url",
      "postgresql://u:s3cret@[::1/x"
    )
    #expect(outcome.status == 64)
    #expect(outcome.errors.contains("postgresql://USER@HOST:PORT/DATABASE"))
    #expect(!outcome.errors.contains("s3cret"))
  }

  @Test(
    "A database without the schema is an error that says how to get it",
    arguments: [
      ["stream", "list"], ["stream", "put", "s", "--key", "k", "--data", "d"], ["leases", "list"],
      ["workers", "list"],
    ]
  )
  func unmigrated(_ arguments: [String]) async throws {
    let tidemark = try await CommandDatabase.make(migrated: false).tidemark
    let outcome = try await tidemark.start(arguments).outcome
    #expect(outcome.status == 1)
    #expect(
      outcome.errors
        == "Error: The database has no schema \(arguments[0] == "stream" ? "tidemark" : "tidemark_leases").\nHelp: Run: tidemark migrate\n"
    )
  }

  @Test("A schema that is too old or too new says which, and what to do")
  func otherVersions() async throws {
    let database = try await CommandDatabase.make(migrated: false)
    _ = try await database.tidemark.run("migrate")
    _ = try await database.tidemark.run("migrate", "--to", "0", "--yes", "--schema", "streams")
    let old = try await database.tidemark.run("stream", "list")
    #expect(
      old.status == 1 && old.errors.contains("no schema tidemark.") && old.errors.contains("tidemark migrate")
    )
    _ = try await database.tidemark.run("migrate")
    try await database.run(
      "INSERT INTO tidemark.migration (version, name, oldest_program) VALUES (99, 'later', 99)"
    )
    let new = try await database.tidemark.run("stream", "list")
    #expect(new.status == 1 && new.errors.contains("version 99") && new.errors.contains("Update"))
  }

  @Test("A command that runs while the schema is removed says so")
  func removedMeanwhile() async throws {
    let database = try await CommandDatabase.make()
    _ = try await database.tidemark.run("stream", "create", "s")
    _ = try await database.tidemark.run("stream", "put", "s", "--key", "k", input: "hello\n")
    let tail = try database.tidemark.start(["stream", "tail", "s"], input: nil)
    try await eventually("the record is printed") { tail.output.contains("hello") }
    // It may be in the way.
    try await eventually("the schema is gone") {
      (try? await database.run("DROP SCHEMA tidemark CASCADE")) != nil
    }
    let outcome = await tail.outcome
    #expect(outcome.status == 1)
    #expect(outcome.errors == "Error: The database has no schema tidemark.\nHelp: Run: tidemark migrate\n")
  }

  @Test(
    "Arguments that make no sense are usage errors",
    arguments: [
      ["stream", "create", "s", "--retention", "24x"], ["stream", "create", "s", "--retention", "-1s"],
      ["stream", "enable", "t", "--view-type", "ALL"], ["stream", "tail", "s", "--from", "yesterday"],
      ["stream", "tail", "s", "--limit", "0"], ["migrate", "--status", "--to", "1"],
      ["stream", "put", "s", "--key", "k", "--data", "d", "--file", "f"],
      ["stream", "list", "--log-level", "loud"],
    ]
  )
  func usage(_ arguments: [String]) async throws {
    let outcome = try await CommandLineTool().start(arguments).outcome
    #expect(outcome.status == 64)
    #expect(outcome.errors.hasPrefix("Error: "))
  }
}
