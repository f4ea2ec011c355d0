import CLibPQ
import Foundation

/// Where the server is, and what a session on it looks like.
///
/// What the URL does not say libpq takes from where it always does: `PGHOST` and its like, `.pgpass`, service
/// files. TLS is configured there as well: `sslmode`, `sslrootcert`, ….
public struct PQConfiguration: Sendable, CustomStringConvertible, CustomReflectable {
  /// libpq's connection parameters, by keyword.
  private(set) var parameters: [String: String]
  private var clientEncoding = "UTF8"

  /// Shown in `pg_stat_activity`.
  public var applicationName: String
  /// How long to try, for each host of the URL.
  public var connectTimeout: Duration = .seconds(5)
  /// Server settings of each session. By default those that make the server notice within seconds that a client
  /// has vanished: keepalives for an idle session, `tcp_user_timeout` for one with data in flight. Neither
  /// covers the other's case. Through a pooler none is set: the session is not this client's alone.
  ///
  /// Time-outs that the role, the database or the server has do not count: what takes long here takes as long as the work
  /// does, and a session waits for its next statement as long as there is none.
  ///
  /// A session whose role or server has `synchronous_commit` at `off` or `local` sets that to `on`, unless it is set
  /// here: what has been answered must not be lost in a crash or a promotion.
  public var settings: [String: String] = [
    // A statement by itself runs as in `transaction`, whatever the database's default is.
    "default_transaction_isolation": "read committed",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "3000",
  ]
  /// Whether statements are prepared once and then run by name. Never through a pooler, which is noticed.
  public var usesPreparedStatements = true
  /// How many prepared statements a connection keeps; the one used least recently goes first.
  public var preparedStatementLimit = 256

  /// - Parameter url: A URL or `key=value` pairs:
  ///   https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
  /// - Throws: ``PQError`` with ``PQError/Code/invalidConfiguration``.
  public init(url: String) throws {
    try Self.checkSeparators(of: url)
    parameters = try Self.parse(url)
    applicationName = parameters["application_name"] ?? ""
    for (keyword, value) in Self.defaults where parameters[keyword] == nil {
      parameters[keyword] = value
    }
    if hostCount > 1, parameters["target_session_attrs"] == nil {
      parameters["target_session_attrs"] = "read-write"
    }
  }

  /// The client's side of what ``settings`` does on the server's.
  private static let defaults = [
    "keepalives_idle": "1",
    "keepalives_interval": "1",
    "keepalives_count": "3",
    "tcp_user_timeout": "3000",
  ]

  /// With an application name that no other process has: `name`, cut where it is too long, and a random token.
  public func namingProcess(_ name: String) -> PQConfiguration {
    // The server keeps 63 bytes, and of them only what is printable in ASCII.
    let printable = String(name.unicodeScalars.map { $0.value >= 32 && $0.value < 127 ? Character($0) : "?" })
    var configuration = self
    configuration.applicationName =
      "\(printable.prefix(46)) \(String(UInt64.random(in: 0...UInt64.max), radix: 16))"
    return configuration
  }

  /// Without the password and other secrets.
  public var description: String {
    shown.map { "\($0.keyword)=\($0.value)" }.joined(separator: " ")
  }

  /// What a debugger sees: without secrets as well.
  public var customMirror: Mirror {
    Mirror(self, children: shown.map { ($0.keyword, $0.value) } + [("application_name", applicationName)])
  }

  private var shown: [(keyword: String, value: String)] {
    ["host", "hostaddr", "port", "dbname", "user", "sslmode", "target_session_attrs"].compactMap { keyword in
      parameters[keyword].map { (keyword, $0) }
    }
  }

  var isReplicating: Bool { parameters["replication"] != nil }

  /// For a session that replicates, which can be given settings only as it connects.
  func replicating(with settings: [String: String]) -> PQConfiguration {
    var configuration = self
    configuration.parameters["replication"] = "database"
    configuration.clientEncoding = settings["client_encoding"] ?? clientEncoding
    var settings = self.settings.merging(settings) { $1 }
    // Warnings end the session, and must not be hidden by its role's setting.
    settings["client_min_messages"] = "warning"
    let options = settings.sorted { $0.key < $1.key }.map { name, value in
      // The server splits the text at spaces.
      "-c \(name)=\(value.replacing("\\", with: "\\\\").replacing(" ", with: "\\ "))"
    }
    configuration.parameters["options"] =
      ([parameters["options"]].compactMap { $0 } + options).joined(separator: " ")
    return configuration
  }

  /// In a password they end it, and what follows is taken for a host, a port or a database, which messages show.
  private static func checkSeparators(of url: String) throws {
    guard let scheme = ["postgresql://", "postgres://"].first(where: url.hasPrefix) else { return }
    let (at, slash, question) = (UInt8(ascii: "@"), UInt8(ascii: "/"), UInt8(ascii: "?"))
    var rest = url.utf8.dropFirst(scheme.utf8.count)
    if let end = rest.firstIndex(where: { $0 == at || $0 == slash }), rest[end] == at {
      rest = rest[end...].dropFirst()
    }
    if !rest.prefix(while: { $0 != question }).contains(at) { return }
    throw PQError(
      .invalidConfiguration,
      "Cannot read the connection URL: it has an @ too many, or a / before it.",
      hint: "Write @ and / in a password, a user's or a database's name as %40 and %2F."
    )
  }

  private static func parse(_ url: String) throws -> [String: String] {
    var message: UnsafeMutablePointer<CChar>?
    guard !url.contains("\0"), let options = PQconninfoParse(url, &message) else {
      defer { PQfreemem(message) }
      let reason = message.map { withoutValue(trimmed(String(cString: $0))) } ?? ""
      throw PQError(.invalidConfiguration, "Cannot read the connection URL: \(reason)")
    }
    defer { PQconninfoFree(options) }
    var parameters: [String: String] = [:]
    var option = options
    while let keyword = option.pointee.keyword {
      if let value = option.pointee.val { parameters[String(cString: keyword)] = String(cString: value) }
      option += 1
    }
    return parameters
  }

  /// libpq quotes the part of the URL that it does not understand, and the password may be in it.
  private static func withoutValue(_ message: String) -> String {
    // In another language it may be quoted in another way.
    if !message.utf8.allSatisfy({ $0 < 0x80 }) { return "" }
    return message.replacing(#/"(?s:.*)"/#, with: "\"…\"")
  }

  var hosts: String { parameters["hostaddr"] ?? parameters["host"] ?? "" }

  private var hostCount: Int {
    hosts.split(separator: ",", omittingEmptySubsequences: false).count
  }

  var totalConnectTimeout: Duration { connectTimeout * hostCount }

  func connectTimeoutError(lastMessage: String?) -> PQError {
    var text = "No connection to \(self) within \(totalConnectTimeout)."
    if let lastMessage, !lastMessage.isEmpty { text += " \(lastMessage)" }
    return PQError(.connectionFailed, text)
  }

  /// Messages of libpq and of servers never quote a password. But it may be given where something else is expected, and
  /// then libpq quotes what it cannot use.
  static func withoutMisplacedValue(_ message: String) -> String {
    let refusal = #/((?:^|failed: )invalid [^"\n]*)".*?"( for connection option "\w+")?$/#
    return message.replacing(refusal.anchorsMatchLineEndings()) { "\($0.1)\"…\"\($0.2 ?? "")" }
  }

  /// Begins to connect. Looks up the host's name, which blocks.
  func startConnecting() -> OpaquePointer? {
    var parameters = parameters
    parameters["client_encoding"] = clientEncoding
    if !applicationName.isEmpty { parameters["application_name"] = applicationName }
    let pairs = Array(parameters)
    return withCStrings(pairs.map(\.key)) { keywords in
      withCStrings(pairs.map(\.value)) { values in
        PQconnectStartParams(keywords, values, 0)
      }
    }
  }
}

/// Calls `body` with a NULL-terminated array of C strings.
private func withCStrings<R>(
  _ strings: [String],
  _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> R
) -> R {
  let copies = strings.map { strdup($0) }
  defer { for copy in copies { free(copy) } }
  return body(copies.map { UnsafePointer($0) } + [nil])
}
