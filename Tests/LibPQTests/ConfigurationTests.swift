import Foundation
import LibPQ
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
    let error = try await postgresError { _ = try PQConfiguration(url: url) }
    #expect(error.code == .invalidConfiguration)
    #expect(!"\(error)".contains("hush"))
  }

  @Test("a port that is none is refused when connecting, without the password")
  func badPort() async throws {
    let configuration = try PQConfiguration(url: "password=hush-hush host=127.0.0.1 port=hush-hush")
    let error = try await postgresError { _ = try await connect(configuration) }
    #expect(error.code == .connectionFailed)
    #expect(!"\(error)".contains("hush"))
  }

  @Test(
    "a value that libpq cannot use is not shown, for it may be the password in the wrong place",
    arguments: ["sslmode", "target_session_attrs", "keepalives_idle", "channel_binding", "gssencmode"]
  )
  func misplaced(keyword: String) async throws {
    let configuration = try PQConfiguration(
      url: "password=hush-hush host=127.0.0.1 port=1 \(keyword)=hush-hush"
    )
    let error = try await postgresError { _ = try await connect(configuration) }
    #expect(error.code == .connectionFailed && error.message.contains("invalid "))
    #expect(error.message.contains(keyword))
    #expect(!"\(error)".contains("hush"))
  }

  @Test(
    "a URL in which a password's separators are not encoded is refused, since parts of it would pass for other things",
    arguments: [
      "postgres://user:hush@hush@host/db", "postgresql://user:hush/hush@host/db",
      "postgres://user:1/hush@host:2/db", "postgres://user:hush@one,user:hush@two/db",
    ]
  )
  func separators(url: String) async throws {
    let error = try await postgresError { _ = try PQConfiguration(url: url) }
    #expect(error.code == .invalidConfiguration && error.hint?.contains("%40 and %2F") == true)
    #expect(!"\(error)".contains("hush"))
  }

  @Test("separators are no trouble where they are encoded, or where they mean nothing")
  func encodedSeparators() throws {
    for url in [
      "postgres://user:a%40b%2Fc@host/db", "postgres://us%40er@host/d%40b",
      "postgres://host/db?application_name=a@b/c",
      "postgres://user:a?b@host/db", "host=a dbname=b@c/d password=e@f/g", "postgres:///db", "postgres://",
    ] {
      _ = try PQConfiguration(url: url)
    }
  }

  @Test(
    "a password is shown in none of the ways to write or to print it",
    arguments: [
      "postgres://user:hush%40hush%2Fhush%22hush%27@127.0.0.1:1/db",
      "postgres://user@127.0.0.1:1/db?password=hush%40hush%2Fhush%22hush%27&sslpassword=hush",
      #"host=127.0.0.1 port=1 user=user dbname=db password='hush@hush/hush"hush\'' sslpassword=hush"#,
    ]
  )
  func printed(url: String) async throws {
    let configuration = try PQConfiguration(url: url)
    let error = try await postgresError { _ = try await connect(configuration) }
    #expect(error.message.contains("127.0.0.1"))
    struct Holder {
      var configuration: PQConfiguration
    }
    let pool = PQPool(configuration, logger: quietLogger)
    var shown =
      "\(error) \(configuration) \(String(reflecting: configuration)) \(Holder(configuration: configuration))"
    for value in [error, configuration, Holder(configuration: configuration), pool] as [Any] {
      dump(value, to: &shown)
    }
    #expect(!shown.contains("hush"))
    #expect(shown.contains("127.0.0.1"))
  }

  @Test(
    "a password that is a word of messages leaves them as they are",
    arguments: ["a", "postgres", "o", "\""]
  )
  func commonPassword(password: String) async throws {
    func messages(_ password: String?) async throws -> [String] {
      func configuration(_ url: String) throws -> PQConfiguration {
        guard let password else { return try PQConfiguration(url: url) }
        let encoded = password.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
        return try PQConfiguration(url: url + (url.contains("?") ? "&" : "?") + "password=\(encoded)")
      }
      let server = try await TestServer.shared()
      let missing = try configuration(server.url(database: "no_such_database_of_postgres"))
      let connection = try await connect(configuration(server.makeDatabase()))
      return [
        try await postgresError { _ = try await connect(missing) }.message,
        try await postgresError { try await connection.execute(#"SELECT "a" FROM "postgres""#) }.message,
      ]
    }
    let shown = try await messages(password)
    #expect(shown == (try await messages(nil)))
    #expect(shown[0].contains(#""no_such_database_of_postgres""#) && shown[1].contains(#""postgres""#))
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
