import PostgresClient
import TestSupport
import Testing

@Suite("Connection URLs and session settings", .sharesMachine)
struct ConfigurationTests {
  @Test(
    "a URL that cannot be read is refused without showing its parts",
    arguments: [
      "postgres://user:hush-hush@[::1/db", "postgres://user:hush%zz@host/db",
      "password=hush-hush host", "password='hush-hush",
      "postgres://user@host/db?password=hush-hush&nonsense=1",
      "hush-hush", "postgres://user:hush-hush@host/db\0",
    ]
  )
  func unreadable(url: String) async throws {
    let error = try await postgresError { _ = try PostgresConfiguration(url: url) }
    #expect(error.code == .invalidConfiguration)
    #expect(!"\(error)".contains("hush"))
  }

  @Test("a port that is none is refused when connecting, without the password")
  func badPort() async throws {
    let configuration = try PostgresConfiguration(url: "password=hush-hush host=127.0.0.1 port=hush-hush")
    let error = try await postgresError { _ = try await connect(configuration) }
    #expect(error.code == .connectionFailed)
    #expect(!"\(error)".contains("hush"))
  }

  @Test("the session has the settings and the application name, and keepalives on both sides")
  func settings() async throws {
    let database = try await newDatabase()
    var configuration = database
    configuration.applicationName = "a 'name'"
    configuration.settings["search_path"] = "pg_catalog"
    configuration.settings["work_mem"] = "1234kB"
    let connection = try await connect(configuration)
    for (name, value) in [
      ("application_name", "a 'name'"), ("search_path", "pg_catalog"), ("work_mem", "1234kB"),
    ] {
      #expect(try await connection.value("SELECT current_setting(\(name))") == value)
    }
    #expect(configuration.settings["tcp_user_timeout"] == "3000")
    configuration.settings["no_such_setting"] = "1"
    let error = try await postgresError { [configuration] in _ = try await connect(configuration) }
    #expect(error.sqlState == "42704")
  }

  @Test("a statement by itself is READ COMMITTED, whatever the database's default")
  func isolation() async throws {
    let database = try await newDatabase()
    try await connect(database).executeScript(
      """
      DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database());
      END $$
      """
    )
    #expect(try await connect(database).value("SHOW transaction_isolation") == "read committed")
  }
}
