import Foundation

/// The files that the supervisor, the server and this process share.
struct ServerDirectory {
  /// What the supervisor says about the server. `run` counts the starts.
  enum State: Equatable {
    case running(run: Int, pid: Int32)
    case exited(run: Int)
  }

  var base: String
  /// The socket's directory: `base`, unless its path is too long for a socket address.
  var sockets: String
  var isTemporary: Bool
  var password: String

  /// The most bytes of a socket's path. `sun_path` has 108 on Linux and 104 on macOS, with a final zero.
  private static let longestSocketPath = 100

  /// The output of everything. A lock on it, which the supervisor and the server inherit, makes the
  /// directory theirs.
  var log: FileHandle

  var data: String { "\(base)/data" }

  /// Creates what is missing, for the given user.
  ///
  /// - Parameters:
  ///   - path: `nil` for a temporary directory.
  ///   - password: the superuser's in data that comes from elsewhere.
  init(path: String?, user: ServerUser, port: Int, password given: String? = nil) throws {
    isTemporary = path == nil
    if let path {
      base = URL(filePath: path).path(percentEncoded: false)
      while base.count > 1, base.hasSuffix("/") { base.removeLast() }
      try Self.create(base, for: user)
    } else {
      base = try PrivateFiles.makeTemporaryDirectory("tidemark-pg", in: user.temporaryDirectory)
    }
    try user.own(base)
    sockets = base
    if "\(base)/.s.PGSQL.\(port).lock".utf8.count > Self.longestSocketPath {
      sockets = try PrivateFiles.makeTemporaryDirectory("tidemark-pg", in: "/tmp")
      try user.own(sockets)
    }
    password = try Self.password(at: "\(base)/password", user: user, given)
    log = try PrivateFiles.open("\(base)/log", O_RDWR | O_APPEND)
  }

  /// Waits until no other server uses the directory: that of a program that ended just now is still stopping.
  func lock(within limit: Duration) async throws {
    let deadline = ContinuousClock.now + limit
    while flock(log.fileDescriptor, LOCK_EX | LOCK_NB) != 0 {
      guard ContinuousClock.now < deadline else {
        throw LocalPostgresError(.directoryUnusable, "\(base) is in use by another server.")
      }
      try await Task.sleep(for: .milliseconds(10))
    }
    try? FileManager.default.removeItem(atPath: "\(base)/state")
  }

  var state: State? {
    let words = read("state").split(whereSeparator: \.isWhitespace)
    guard words.count == 3, let run = Int(words[1]), let number = Int32(words[2]) else { return nil }
    return words[0] == "running" ? .running(run: run, pid: number) : .exited(run: run)
  }

  /// Whether the postmaster with this process id accepts connections. Its lock file says so, to `pg_ctl`
  /// too: the process id in line 1, the status in line 8 (`miscadmin.h`, since PostgreSQL 10).
  func isReady(pid: Int32) -> Bool {
    let lines = read("data/postmaster.pid").split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.count >= 8 else { return false }
    return Int32(lines[0]) == pid && lines[7].trimmingCharacters(in: .whitespaces) == "ready"
  }

  func logTail(lines: Int) -> String {
    read("log").split(separator: "\n").suffix(lines).joined(separator: "\n")
  }

  /// Removes what is temporary. The supervisor does it otherwise, which is after the server.
  func discard() {
    if isTemporary { try? FileManager.default.removeItem(atPath: base) }
    if sockets != base { try? FileManager.default.removeItem(atPath: sockets) }
  }

  private func read(_ file: String) -> String {
    let bytes = FileManager.default.contents(atPath: "\(base)/\(file)") ?? Data()
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func create(_ directory: String, for user: ServerUser) throws {
    let files = FileManager.default
    // What is above it the server's user has to get through.
    let permissions: mode_t = user.id == geteuid() ? 0o700 : 0o711
    try PrivateFiles.makeDirectory(directory, permissions: permissions, owners: [geteuid(), user.id])
    do {
      let entries = try files.contentsOfDirectory(atPath: directory)
      guard entries.isEmpty || Set(entries).isSuperset(of: ["log", "password"]) else {
        throw LocalPostgresError(
          .directoryUnusable,
          "\(directory) holds other files.",
          advice: "Give an empty directory."
        )
      }
      try files.setAttributes([.posixPermissions: 0o700], ofItemAtPath: directory)
    } catch let error as LocalPostgresError {
      throw error
    } catch {
      throw LocalPostgresError(
        .directoryUnusable,
        "Cannot use \(directory): \(error.localizedDescription)"
      )
    }
  }

  /// The superuser's password, the same for as long as the directory lives.
  private static func password(at path: String, user: ServerUser, _ given: String?) throws -> String {
    if let bytes = FileManager.default.contents(atPath: path), !bytes.isEmpty {
      return String(decoding: bytes, as: UTF8.self)
    }
    var random = SystemRandomNumberGenerator()
    let password = given ?? (0..<2).map { _ in String(random.next(), radix: 36) }.joined()
    try PrivateFiles.open(path, O_WRONLY).write(contentsOf: Data(password.utf8))
    try user.own(path)
    return password
  }
}
