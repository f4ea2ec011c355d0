import Foundation
import LibPQ
import LocalPostgres
import Logging

/// The PostgreSQL server that `tidemark` runs for itself when it is given no database.
///
/// It runs for as long as a command does; its data stay. Commands that run at the same time share the one
/// that the first of them started.
struct PrivateServer: Sendable {
  /// How long another command may take to start the server: that includes initdb.
  private static let startLimit = Duration.seconds(90)
  /// How long the command that runs the server waits for others at its end. It ends those that take longer.
  private static let endLimit = Duration.seconds(5)

  private let home: String

  init(environment: [String: String] = ProcessInfo.processInfo.environment) {
    home = URL(filePath: Self.home(environment)).standardizedFileURL.path(percentEncoded: false)
  }

  private var directory: String { "\(home)/postgres" }

  private static func home(_ environment: [String: String]) -> String {
    func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
    if let home = value("TIDEMARK_HOME") { return home }
    if let data = value("XDG_DATA_HOME") { return "\(data)/tidemark" }
    // The server of a root user runs as another one, to whom root's home is closed.
    if geteuid() == 0 { return "/var/lib/tidemark" }
    return "\(value("HOME") ?? NSHomeDirectory())/.local/share/tidemark"
  }

  /// Runs `body` with the URL of the server, which is stopped afterwards if this process started it.
  func use<Success: Sendable>(
    logger: Logger,
    _ body: @Sendable (String) async throws -> Success
  ) async throws -> Success {
    // One command at a time starts, joins or stops the server.
    let (change, sharing) = try prepareHome()
    defer { withExtendedLifetime((change, sharing)) {} }
    try await change.lock(.exclusive, within: Self.startLimit)
    if let url = await runningServer(logger: logger) {
      try await sharing.lock(.shared, within: Self.startLimit)
      change.unlock()
      Terminal.note("using the private PostgreSQL in \(directory), which another tidemark command runs")
      return try await explainingItsEnd { try await body(url) }
    }
    Terminal.note("using the private PostgreSQL in \(directory)")
    var configuration = LocalPostgresConfiguration()
    configuration.directory = directory
    // So that streams can be captured by decoding.
    configuration.settings["wal_level"] = "logical"
    return try await withLocalPostgres(configuration) { server in
      change.unlock()
      let result = await Self.result(of: { try await body(server.url()) })
      // Both stay locked until the server is gone. A command that was interrupted does not wait.
      try? await change.lock(.exclusive, within: Self.startLimit)
      try? await sharing.lock(.exclusive, within: Self.endLimit)
      return try result.get()
    }
  }

  private static func result<Success>(of body: () async throws -> Success) async -> Result<Success, any Error>
  {
    do { return .success(try await body()) } catch { return .failure(error) }
  }

  /// The address in the server's own lock file, if it answers there. After a crash the file may lie.
  private func runningServer(logger: Logger) async -> String? {
    guard let file = try? String(contentsOfFile: "\(directory)/data/postmaster.pid", encoding: .utf8) else {
      return nil
    }
    // Since PostgreSQL 10 (miscadmin.h): the port in line 4, the socket's directory in line 5.
    let lines = file.split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.count >= 5, let port = Int(lines[3]),
      let sockets = lines[4].addingPercentEncoding(withAllowedCharacters: .alphanumerics)
    else { return nil }
    let attributes = try? FileManager.default.attributesOfItem(atPath: "\(directory)/data")
    let user = (attributes?[.ownerAccountName] as? String)?.addingPercentEncoding(
      withAllowedCharacters: .alphanumerics
    )
    guard let user else { return nil }
    // Once the server is gone, its socket's place in /tmp may be another user's.
    let url = "postgresql://postgres@\(sockets):\(port)/postgres?requirepeer=\(user)"
    guard let configuration = try? PQConfiguration(url: url),
      let connection = try? await PQConnection.connect(configuration, logger: logger)
    else { return nil }
    await connection.close()
    return url
  }

  private func explainingItsEnd<Success>(_ body: () async throws -> Success) async throws -> Success {
    do {
      return try await body()
    } catch let error {
      guard CommandFailure(error)?.exitCode == .databaseUnavailable else { throw error }
      throw CommandFailure(
        "The tidemark command that ran the private PostgreSQL has ended, and the server with it.",
        advice: "Run this command again.",
        exitCode: .databaseUnavailable
      )
    }
  }

  /// Makes the home and the files in it that commands lock.
  private func prepareHome() throws -> (change: FileLock, sharing: FileLock) {
    let isRoot = geteuid() == 0
    if isRoot { try checkIsReachable() }
    do {
      try PrivateFiles.makeDirectory(home, permissions: isRoot ? 0o711 : 0o700)
      return (try FileLock(path: "\(home)/change.lock"), try FileLock(path: "\(home)/sharing.lock"))
    } catch let error as LocalPostgresError {
      throw unusable(error.message, error.advice)
    }
  }

  /// The server runs as another user than root, and has to get to its directory.
  private func checkIsReachable() throws {
    var path = URL(filePath: home)
    while path.path(percentEncoded: false) != "/" {
      let attributes = try? FileManager.default.attributesOfItem(atPath: path.path(percentEncoded: false))
      // What does not exist yet is made so that others can enter it.
      let permissions = attributes?[.posixPermissions] as? Int ?? 0o755
      guard permissions & 0o001 != 0 else {
        throw unusable(
          "Only root can enter \(path.path(percentEncoded: false)), but PostgreSQL refuses to be root."
        )
      }
      path.deleteLastPathComponent()
    }
  }

  private func unusable(_ message: String, _ advice: String? = nil) -> CommandFailure {
    let others = "TIDEMARK_HOME to another directory, or name a database with --database-url."
    return CommandFailure(
      message,
      advice: advice.map { "\($0) Or set \(others)" } ?? "Set \(others)",
      exitCode: .databaseUnavailable
    )
  }
}
