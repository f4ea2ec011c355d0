import Foundation
import LibPQ
import LocalPostgres
import TestSupport
import Testing
import TidemarkPostgres
import TidemarkStreams

@Suite("Programs that cannot start", .needsMachineAlone)
struct StartFailureTests {
  /// The only line that a program writes, before it ends with exit code 1.
  private func lastWords(of program: ExampleProcess) async throws -> String {
    #expect(try await program.waitUntilExit() == .init(status: 1, isSignal: false))
    let lines = program.output.split(separator: "\n")
    #expect(lines.count == 1 && lines[0].hasPrefix("error: "), "\(program.output)")
    return program.output
  }

  private func withServer(_ body: (ServerOnTCP) async throws -> Void) async throws {
    var configuration = LocalPostgresConfiguration()
    configuration.listensOnTCP = true
    configuration.settings = ["fsync": "off", "full_page_writes": "off"]
    try await withLocalPostgres(configuration) { try await body(ServerOnTCP(server: $0)) }
  }

  @Test("the README's end with one line that says what is wrong and what to do, until nothing is")
  func readme() async throws {
    try await withServer { server in
      func start(password: String? = "right") throws -> ExampleProcess {
        // What its URL, postgresql://localhost/shop, leaves open.
        let environment = ["PGPORT": "\(server.port)", "PGUSER": "app", "PGPASSWORD": password ?? ""]
        return try ExampleProcess("OrderProjector", database: nil, environment: environment)
      }
      try await server.run("CREATE ROLE app LOGIN PASSWORD 'right'")
      var words = try await lastWords(of: start())
      #expect(words.contains(#"database "shop" does not exist. Check the name"#))
      try await server.run("CREATE DATABASE shop")
      words = try await lastWords(of: start(password: "wrong"))
      #expect(
        words.contains(#"password authentication failed for user "app". Check the user and the password"#)
      )
      words = try await lastWords(of: start(password: nil))
      #expect(words.contains("no password supplied. Check the user and the password"))
      words = try await lastWords(of: start())
      #expect(words.contains("The database has no schema tidemark. Run: tidemark migrate"))
      let shop = try server.pool("shop")
      try await Migrator.migrateAll(shop, logger: quietLogger)
      words = try await lastWords(of: start())
      #expect(
        words.contains(
          "permission denied for schema tidemark. Run as the schema's owner: tidemark grant consumer app"
        )
      )
      try await PostgresStreamAdmin(shop).grant(.consumer, to: "app")
      try await PostgresLeaseStore(
        PQConfiguration(url: server.url(user: "app", password: "right")),
        pool: shop,
        logger: quietLogger
      )
      .grant(.consumer, to: "app", application: "order-projector")
      words = try await lastWords(of: start())
      #expect(words.contains(#"there is no stream "orders". Enable one"#))
      try await PostgresStreamAdmin(shop).create("orders", shardCount: 1)
      let program = try start()
      try await eventually("it works") {
        try await shop.query("SELECT count(owner) FROM tidemark_leases.lease")[0].decode(Int.self) == 1
      }
      program.send(SIGTERM)
      #expect(try await program.waitUntilExit() == .init(status: 0, isSignal: false))
      await shop.close()
    }
  }

  @Test(
    "the examples end with one line that says what is wrong and what to do",
    arguments: ["FirstProcessor", "CustomProcessor", "CustomerTotals"]
  )
  func examples(name: String) async throws {
    try await withServer { server in
      try await server.run("CREATE ROLE app LOGIN PASSWORD 'right'")
      let wrong: [(url: String, words: String)] = [
        (server.url(user: "app", password: "wrong"), "Check the user and the password"),
        (server.url(user: "app", password: "right", database: "nothing"), "Check the name of the database"),
        ("postgresql://no..such..host/shop", "Check the host"),
        (server.url(user: "app", password: "right"), #"GRANT CREATE ON DATABASE "postgres" TO "app"."#),
      ]
      for (url, words) in wrong {
        #expect(try await lastWords(of: ExampleProcess(name, database: url)).contains(words))
      }
    }
  }

  @Test("the README shows the program that these tests run")
  func readmeText() throws {
    let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    func text(_ path: String) throws -> String {
      try String(contentsOf: package.appending(path: path), encoding: .utf8)
    }
    #expect(try text("README.md").contains("```swift\n" + text("Examples/OrderProjector/main.swift") + "```"))
  }
}

/// A server that asks for passwords.
private struct ServerOnTCP {
  var server: LocalPostgres

  private var address: String { server.url().split(separator: "@").last.map(String.init) ?? "" }
  var port: String { address.firstMatch(of: /:(\d+)\//).map { String($0.1) } ?? "" }

  func url(user: String, password: String, database: String = "postgres") -> String {
    "postgresql://\(user):\(password)@127.0.0.1:\(port)/\(database)"
  }

  func pool(_ database: String = "postgres") throws -> PQPool {
    PQPool(try PQConfiguration(url: server.url(database: database)), logger: quietLogger)
  }

  func run(_ sql: String) async throws {
    let pool = try pool()
    try await pool.withConnection { try await $0.executeScript(sql) }
    await pool.close()
  }
}
