import CLibPQ
import Foundation
import Synchronization
import Waiting

/// Makes one connection, on a thread of its own.
///
/// libpq looks host names up by blocking, inside `PQconnectStart` and, for further hosts, `PQconnectPoll`; TLS
/// and SCRAM take milliseconds of computing. On the event loop this would hold up every other connection's
/// statements, a worker's sign of life among them.
struct Handshake: Sendable {
  private let configuration: PQConfiguration
  private let loop: EventLoop
  /// The thread, the timer or the cancellation, whichever is first, decides. A connection that comes too late is closed by
  /// being dropped.
  private let outcome = OneShot<Result<ConnectionHandle, any Error>>()
  /// The hosts that this process has had connections to, as its URLs name them.
  static let reached = Mutex<Set<String>>([])

  static nonisolated(nonsending) func connect(
    _ configuration: PQConfiguration,
    loop: EventLoop
  ) async throws -> ConnectionHandle {
    try await Handshake(configuration: configuration, loop: loop).connect()
  }

  private init(configuration: PQConfiguration, loop: EventLoop) {
    self.configuration = configuration
    self.loop = loop
  }

  private nonisolated(nonsending) func connect() async throws -> ConnectionHandle {
    if Task.isCancelled { throw PQError.cancelled }
    let deadline = ContinuousClock.now + configuration.totalConnectTimeout
    // The thread keeps the deadline, too, but cannot while a name lookup blocks it.
    let timer = loop.schedule(at: deadline) { [outcome, configuration] in
      outcome.fire(.failure(configuration.connectTimeoutError(lastMessage: nil)))
    }
    defer { loop.cancelTimer(timer) }
    Thread.detachNewThread { run(until: deadline) }
    guard let result = await outcome.wait() else { throw PQError.cancelled }
    return try result.get()
  }

  private func run(until deadline: ContinuousClock.Instant) {
    do {
      outcome.fire(.success(try connectBlocking(until: deadline)))
    } catch {
      outcome.fire(.failure(error))
    }
  }

  private func connectBlocking(until deadline: ContinuousClock.Instant) throws -> ConnectionHandle {
    guard let connection = configuration.startConnecting() else {
      throw PQError(.connectionFailed, "libpq is out of memory.")
    }
    // Owns it from here on, whatever is thrown.
    let handle = ConnectionHandle(connection, loop: loop)
    guard PQstatus(connection) != CONNECTION_BAD else { throw failure(connection) }
    // Without a receiver libpq writes the server's notices to the process's standard error.
    PQsetNoticeReceiver(connection, { _, _ in }, nil)
    // Only the verbose form tells the SQLSTATE of a refused connection.
    PQsetErrorVerbosity(connection, PQERRORS_VERBOSE)
    var interest = Int16(POLLOUT)
    while true {
      if outcome.isOver { throw PQError.cancelled }
      // The socket may be another one after each PQconnectPoll.
      var descriptor = pollfd(fd: PQsocket(connection), events: interest, revents: 0)
      let wait = min(ContinuousClock.now.duration(to: deadline), .milliseconds(100))
      if wait <= .zero { throw configuration.connectTimeoutError(lastMessage: lastMessage(connection)) }
      if descriptor.fd >= 0, poll(&descriptor, 1, Int32(wait.wholeMilliseconds + 1)) == 0 { continue }
      switch PQconnectPoll(connection) {
      case PGRES_POLLING_OK:
        Self.reached.withLock { _ = $0.insert(configuration.hosts) }
        return handle
      case PGRES_POLLING_READING: interest = Int16(POLLIN)
      case PGRES_POLLING_WRITING: interest = Int16(POLLOUT)
      default: throw failure(connection)
      }
    }
  }

  private func lastMessage(_ connection: OpaquePointer) -> String {
    PQConfiguration.withoutMisplacedValue(trimmed(String(cString: PQerrorMessage(connection))))
  }

  private func failure(_ connection: OpaquePointer) -> PQError {
    var failure = ConnectFailure(lastMessage(connection))
    failure.error.user = PQuser(connection).map { String(cString: $0) }
    if failure.isUnknownHost, !Self.reached.withLock({ $0.contains(configuration.hosts) }) {
      return PQError(.hostNotFound, failure.error.message)
    }
    return failure.error
  }

  /// The parts of libpq's verbose message about a connection that failed.
  private struct ConnectFailure {
    var error: PQError
    /// Whether no host of the URL has an address.
    var isUnknownHost: Bool

    init(_ verbose: String) {
      // FATAL:  28P01: password authentication failed for user "x"
      // LOCATION:  auth_failed, auth.c:334
      let state = #/:  ([0-9A-Z]{5}): /#
      // A line for each host; beneath it, indented, may be a question like "Is the server running?".
      let lines = verbose.split(separator: "\n").filter {
        !$0.hasPrefix("\t") && !$0.contains(/^[^ ]+:  \w+, \w+\.c:\d+$/)
      }
      let message = lines.map { trimmed($0) }.joined(separator: "; ")
      // As the resolvers of glibc and macOS, and that of musl, put it.
      let unknown = #/could not translate host name .*(not known|does not resolve)$/#
      isUnknownHost = !lines.isEmpty && lines.allSatisfy { $0.contains(unknown) }
      // libpq gives up by itself where the server asks for a password and there is none.
      let lacksPassword = message.contains("no password supplied")
      error = PQError(
        .connectionFailed,
        message.isEmpty ? "The client cannot reach the server." : message.replacing(state) { _ in ": " },
        // With several hosts the last one's decides.
        sqlState: message.matches(of: state).last.map { String($0.1) } ?? (lacksPassword ? "28P01" : nil)
      )
    }
  }
}
