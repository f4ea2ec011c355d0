import Foundation

/// A PostgreSQL server of this program's own: for demos, drills and tests.
///
/// It stops when the program stops it or refers to it no more, and within a second or so of the program's
/// end, whatever ended it: a small supervising shell script holds a pipe from this process and acts when the
/// pipe closes. A temporary directory goes with it.
///
/// The binaries are those of the machine: from `TIDEMARK_POSTGRES_BIN`, else where `pg_config` says, else
/// from the usual directories. PostgreSQL refuses to run as root; a program that is root gets a server that
/// runs as the user `postgres`, or `nobody` if there is none.
public actor LocalPostgres: CustomReflectable {
  /// How a server that still has clients is stopped.
  public enum ShutdownMode: Sendable {
    /// Ends the sessions, rolls back what is open, writes a checkpoint.
    case fast
    /// Ends everything at once, as a crash does; the next start recovers from the write-ahead log.
    case immediate

    var signal: String { self == .fast ? "INT" : "QUIT" }
  }

  /// The server's data directory (`PGDATA`).
  public nonisolated let dataDirectory: String

  /// The binaries that the server was started from.
  public nonisolated let installation: PostgresInstallation
  private let directory: ServerDirectory
  private let supervisor: ChildProcess
  /// Its end tells the supervisor that this process is gone.
  private let lifeline: FileHandle
  /// Where its socket is, and where clients are to connect.
  private let socket: String
  private let address: String
  private let user: String
  /// How a standby reaches it.
  private let replicationSource: String
  private let startTimeout: Duration
  private var run = 1
  private var isStopped = false

  /// Starts a server and waits until it accepts connections.
  ///
  /// - Throws: ``LocalPostgresError``; `CancellationError`, and then nothing is left behind.
  public static func start(_ configuration: LocalPostgresConfiguration = .init()) async throws
    -> LocalPostgres
  {
    let installation =
      if let chosen = configuration.binaryDirectory {
        try PostgresInstallation(binaryDirectory: chosen)
      } else {
        try await PostgresInstallation.find()
      }
    let user = try ServerUser.current()
    let port = configuration.listensOnTCP ? try FreePort.find() : 5432
    let directory = try ServerDirectory(
      path: configuration.directory,
      user: user,
      port: port,
      password: configuration.primary?.directory.password
    )
    let server: LocalPostgres
    do {
      try await directory.lock(within: configuration.startTimeout)
      server = try LocalPostgres(configuration, installation, directory, user: user, port: port)
    } catch {
      directory.discard()
      throw error
    }
    do {
      try await server.waitUntilReady()
    } catch {
      await server.stop(mode: .immediate)
      throw error
    }
    return server
  }

  private init(
    _ configuration: LocalPostgresConfiguration,
    _ installation: PostgresInstallation,
    _ directory: ServerDirectory,
    user: ServerUser,
    port: Int
  ) throws {
    var settings = configuration.settings
    settings["max_connections"] = settings["max_connections"] ?? "\(configuration.maxConnections)"
    settings["port"] = "\(port)"
    settings["listen_addresses"] = configuration.listensOnTCP ? configuration.listenAddress : ""
    settings["unix_socket_directories"] = directory.sockets
    settings["unix_socket_permissions"] = settings["unix_socket_permissions"] ?? "0700"
    // A file, not `sh -c`, which would fill the list of processes with the text.
    let script = "\(directory.base)/supervise.sh"
    try PrivateFiles.open(script, O_WRONLY | O_TRUNC).write(contentsOf: Data(PackageResources.supervise_sh))
    try user.own(script)
    let pipe = Pipe()
    supervisor = try ChildProcess(
      user.command(
        ["/bin/sh", script, installation.binaryDirectory]
          + [directory.base, directory.sockets, directory.isTemporary ? "no" : "yes"]
          + [configuration.primary?.replicationSource ?? ""]
          + settings.sorted { $0.key < $1.key }.flatMap { ["-c", "\($0.key)=\($0.value)"] }
      ),
      input: pipe,
      output: directory.log
    )
    try? directory.log.close()
    lifeline = pipe.fileHandleForWriting
    // A child of this process that inherited the pipe would keep the server alive.
    _ = fcntl(lifeline.fileDescriptor, F_SETFD, FD_CLOEXEC)
    socket = "\(percentEncoded(directory.sockets)):\(port)"
    address = configuration.listensOnTCP ? "\(configuration.listenAddress):\(port)" : socket
    self.user = configuration.listensOnTCP ? "postgres:\(directory.password)" : "postgres"
    replicationSource = "host='\(directory.sockets)' port=\(port) user=postgres"
    dataDirectory = directory.data
    startTimeout = configuration.startTimeout
    self.installation = installation
    self.directory = directory
  }

  deinit {
    try? lifeline.close()
  }

  /// The libpq URL of a database, for the superuser `postgres`: over TCP with the password if the server
  /// listens there, otherwise over the unix socket.
  public nonisolated func url(database: String = "postgres") -> String {
    "postgresql://\(user)@\(address)/\(percentEncoded(database))"
  }

  /// The libpq URL of a database, over the unix socket: it needs no password, so it may be an argument of a command.
  package nonisolated func socketURL(database: String = "postgres") -> String {
    "postgresql://postgres@\(socket)/\(percentEncoded(database))"
  }

  /// The libpq URL of a database on this server or on its standby, whichever takes writes.
  public nonisolated func url(database: String = "postgres", orOn standby: LocalPostgres) -> String {
    "postgresql://\(user)@\(address),\(standby.address)/\(percentEncoded(database))"
      + "?target_session_attrs=read-write"
  }

  /// Without the password.
  public nonisolated var customMirror: Mirror { Mirror(self, children: ["dataDirectory": dataDirectory]) }

  /// Whether the server's main process runs. `false` after ``stop(mode:)`` and after a crash.
  public var isRunning: Bool {
    guard supervisor.isRunning, case .running(run, _) = directory.state else { return false }
    return true
  }

  /// The last lines of the output of `initdb` and the server.
  public nonisolated func logTail(lines: Int = 30) -> String { directory.logTail(lines: lines) }

  /// Stops the server and, if its directory is temporary, removes it. Does nothing the second time.
  public func stop(mode: ShutdownMode = .fast) async {
    if !isStopped {
      isStopped = true
      order("stop", mode)
      try? lifeline.close()
    }
    _ = await supervisor.status
  }

  /// Stops the server, or what a crash left of it, starts it again on the same data and address, and waits
  /// until it accepts connections.
  ///
  /// - Throws: ``LocalPostgresError`` `stopped` after ``stop(mode:)``; `startFailed`.
  public func restart(mode: ShutdownMode = .fast) async throws {
    guard !isStopped, supervisor.isRunning else {
      throw LocalPostgresError(.stopped, "The server was stopped.", advice: "Start a new one.")
    }
    run += 1
    order("restart", mode)
    try await waitUntilReady()
  }

  /// Creates an empty database, or a copy of the template.
  ///
  /// - Parameters:
  ///   - template: a database that nobody is connected to.
  ///   - encoding: that of an empty database, such as `LATIN1`, with the locale `C`; `nil` for the server's.
  /// - Throws: ``LocalPostgresError`` `commandFailed` with what `createdb` says.
  public func createDatabase(_ name: String, template: String? = nil, encoding: String? = nil) async throws {
    var command = ["\(installation.binaryDirectory)/createdb", "--maintenance-db=\(socketURL())"]
    if let template { command.append("--template=\(template)") }
    if let encoding { command += ["--encoding=\(encoding)", "--locale=C", "--template=template0"] }
    let (status, output) = try await ChildProcess.run(command + ["--", name])
    guard status == 0 else { throw LocalPostgresError(.commandFailed, output) }
  }

  private func order(_ order: String, _ mode: ShutdownMode) {
    // To a supervisor that somebody killed the write would be a SIGPIPE.
    guard supervisor.isRunning else { return }
    try? lifeline.write(contentsOf: Data("\(order) \(mode.signal)\n".utf8))
  }

  private func waitUntilReady() async throws {
    let awaited = run
    let deadline = ContinuousClock.now + startTimeout
    while true {
      switch directory.state {
      case .running(let run, let pid) where run >= awaited && directory.isReady(pid: pid): return
      case .exited(let run) where run >= awaited: throw startFailed("The server ended while it started")
      default: break
      }
      guard supervisor.isRunning else { throw startFailed("The server's supervisor ended") }
      guard ContinuousClock.now < deadline else {
        throw startFailed("The server did not accept connections within \(startTimeout)")
      }
      try await Task.sleep(for: .milliseconds(10))
    }
  }

  private func startFailed(_ what: String) -> LocalPostgresError {
    LocalPostgresError(.startFailed, "\(what). Its log ends with:\n\(logTail())")
  }
}

private func percentEncoded(_ text: String) -> String {
  let unreserved = CharacterSet(charactersIn: "-._~").union(.alphanumerics)
  return text.addingPercentEncoding(withAllowedCharacters: unreserved) ?? text
}
