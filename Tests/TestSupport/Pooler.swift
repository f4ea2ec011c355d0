import Foundation
import LibPQ
import LocalPostgres
import Logging
import Testing

/// PgBouncer in front of a private server, giving each transaction another of the server's sessions. It ends with
/// this reference, and with this process, however that ends.
package final class Pooler: Sendable {
  /// Where the program is; `nil` if it is not installed.
  package static let program = ["/usr/sbin", "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"]
    .map { "\($0)/pgbouncer" }.first(where: FileManager.default.isExecutableFile(atPath:))

  /// The libpq URL of the pooler's databases, which are the server's.
  package let url: String
  private let directory: TemporaryDirectory
  private let lifeline: FileHandle

  /// Starts a pooler in front of a server that listens on a unix socket, and waits until it does so itself.
  package static func start(inFrontOf server: LocalPostgres) async throws -> Pooler {
    let pooler = try Pooler(inFrontOf: server)
    let configuration = try PQConfiguration(url: pooler.url)
    // Its socket is there for a moment before it listens.
    try await eventually("the pooler listens") {
      guard let connection = try? await PQConnection.connect(configuration, logger: Logger(label: "pooler"))
      else { return false }
      await connection.close()
      return true
    }
    return pooler
  }

  private init(inFrontOf server: LocalPostgres) throws {
    directory = try TemporaryDirectory()
    let files = FileManager.default
    // PgBouncer refuses to be root as the server does, and the server's socket is for the server's user alone.
    let owner = try files.attributesOfItem(atPath: server.dataDirectory)[.ownerAccountName] as? String ?? ""
    let path = directory.path
    try Self.configuration(of: server, directory: path)
      .write(toFile: "\(path)/pgbouncer.ini", atomically: true, encoding: .utf8)
    var arguments = ["-q", "\(path)/pgbouncer.ini"]
    if geteuid() == 0 {
      try files.setAttributes([.ownerAccountName: owner, .posixPermissions: 0o700], ofItemAtPath: path)
      arguments = ["-u", owner] + arguments
    }
    let pipe = Pipe()
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    // The end of standard input is the end of this process. SIGKILL, because Dispatch's threads have the others blocked,
    // and a process that one of them starts inherits that.
    process.arguments =
      ["-c", "\"$0\" \"$@\" </dev/null & cat >/dev/null; kill -s KILL $!", Self.program ?? "pgbouncer"]
      + arguments
    process.standardInput = pipe
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    lifeline = pipe.fileHandleForWriting
    url = "postgresql://postgres@\(Self.encoded(path)):6432/postgres"
  }

  deinit { try? lifeline.close() }

  /// In turn, so that no client finds twice in a row the session that it had.
  private static func configuration(of server: LocalPostgres, directory: String) throws -> String {
    guard let address = server.url().split(separator: "@").last?.split(separator: "/").first,
      let port = address.split(separator: ":").last,
      let host = address.dropLast(port.count + 1).removingPercentEncoding
    else { throw CocoaError(.coderInvalidValue) }
    return """
      [databases]
      * = host=\(host) port=\(port) user=postgres
      [pgbouncer]
      pool_mode = transaction
      server_round_robin = 1
      auth_type = any
      listen_port = 6432
      unix_socket_dir = \(directory)
      logfile = \(directory)/log
      pidfile = \(directory)/pid
      max_client_conn = 500
      default_pool_size = 40
      """
  }

  private static func encoded(_ path: String) -> String {
    path.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? path
  }
}

extension Substring {
  fileprivate var removingPercentEncoding: String? { String(self).removingPercentEncoding }
}
