/// Why a private server could not be found, started or used.
public struct LocalPostgresError: Error, Sendable, CustomStringConvertible {
  /// The kind of an error. New codes may be added in any release.
  public struct Code: Sendable, Hashable, CustomStringConvertible {
    private enum Kind: String, Sendable {
      case binariesNotFound, privilegesNotDroppable, directoryUnusable, startFailed, commandFailed, stopped
    }
    private var kind: Kind
    private init(_ kind: Kind) { self.kind = kind }

    /// No directory with the server's binaries was found.
    public static let binariesNotFound = Self(.binariesNotFound)
    /// The program runs as root, and there is no user or no command to become another one.
    public static let privilegesNotDroppable = Self(.privilegesNotDroppable)
    /// The directory cannot be created, read or given to the server's user.
    public static let directoryUnusable = Self(.directoryUnusable)
    /// The server ended or did not accept connections in time; the message ends with its log.
    public static let startFailed = Self(.startFailed)
    /// One of PostgreSQL's own commands failed; the message holds its output.
    public static let commandFailed = Self(.commandFailed)
    /// The server was stopped before.
    public static let stopped = Self(.stopped)

    public var description: String { kind.rawValue }
  }

  public var code: Code
  /// What happened, without secrets.
  public var message: String
  /// What to do about it, when there is something.
  public var advice: String?

  public init(_ code: Code, _ message: String, advice: String? = nil) {
    self.code = code
    self.message = message
    self.advice = advice
  }

  /// Whether the same call may succeed later without anybody's doing: never.
  public var isRetryable: Bool { false }

  public var description: String {
    "\(code): \(message)" + (advice.map { " \($0)" } ?? "")
  }
}
