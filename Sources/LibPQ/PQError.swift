/// What went wrong, whether trying again can help, and whether a write may have happened all the same.
///
/// No part holds a password. Bound text that the server quotes is replaced by its `$n`. ``detail`` can quote other
/// values of a row, and so is no part of ``description``.
public struct PQError: Error, Sendable, CustomStringConvertible {
  /// The kind of an error. New codes may be added in any release.
  public struct Code: Sendable, Hashable, CustomStringConvertible {
    private enum Kind: String, Sendable {
      case connectionFailed, hostNotFound, connectionLost, server, cancelled, timeout
      case invalidConfiguration, decoding, encoding, closed, misuse
    }
    private var kind: Kind
    private init(_ kind: Kind) { self.kind = kind }

    /// No connection could be made.
    public static let connectionFailed = Self(.connectionFailed)
    /// No host has the name, and this process has never reached one of that name: it is more likely to be wrong than
    /// to be away for a while, as the name of a server that fails over can be.
    public static let hostNotFound = Self(.hostNotFound)
    /// The connection broke. See ``PQError/isOutcomeUnknown``.
    public static let connectionLost = Self(.connectionLost)
    /// The server refused the statement; ``PQError/sqlState`` says why.
    public static let server = Self(.server)
    /// The task was cancelled, before the statement was sent or while it ran; the server has undone it.
    public static let cancelled = Self(.cancelled)
    /// No connection was free, or could be made, in time.
    public static let timeout = Self(.timeout)
    /// The URL or a setting is wrong.
    public static let invalidConfiguration = Self(.invalidConfiguration)
    /// A value cannot be read as the type that was asked for.
    public static let decoding = Self(.decoding)
    /// A value cannot be bound: its type in PostgreSQL does not have it.
    public static let encoding = Self(.encoding)
    /// The connection or the pool was closed before.
    public static let closed = Self(.closed)
    /// The call is not allowed here; the message says what to do instead.
    public static let misuse = Self(.misuse)

    public var description: String { kind.rawValue }
  }

  public var code: Code
  /// https://www.postgresql.org/docs/current/errcodes-appendix.html
  public var sqlState: String?
  public var message: String
  public var detail: String?
  public var hint: String?
  /// The role that the session was opened as, where a server refused something.
  public var user: String?
  /// Whether the same statement, or the same transaction from its start, may succeed later.
  public var isRetryable: Bool
  /// Whether the connection was lost after a statement was sent and before its answer was read, so that its
  /// effect may be there or not. False inside a transaction: only its COMMIT can leave this open.
  public var isOutcomeUnknown: Bool

  public init(
    _ code: Code,
    _ message: String,
    sqlState: String? = nil,
    detail: String? = nil,
    hint: String? = nil,
    user: String? = nil,
    isOutcomeUnknown: Bool = false
  ) {
    self.code = code
    self.message = message
    self.sqlState = sqlState
    self.detail = detail
    self.hint = hint
    self.user = user
    self.isOutcomeUnknown = isOutcomeUnknown
    isRetryable = Self.isRetryable(code, sqlState)
  }

  public var description: String {
    var text = "\(code)"
    if let sqlState { text += " (SQLSTATE \(sqlState))" }
    text += ": \(message)"
    if isOutcomeUnknown { text += " It is unknown whether the statement took effect." }
    return text
  }

  private static func isRetryable(_ code: Code, _ sqlState: String?) -> Bool {
    if code == .connectionLost || code == .timeout { return true }
    // Without a state no server has refused anything: it was not reached.
    guard let sqlState else { return code == .connectionFailed }
    switch sqlState {
    case "40001", "40P01", "55P03", "57P01", "57P02", "57P03", "26000": return true
    default: return sqlState.hasPrefix("53") || sqlState.hasPrefix("08")
    }
  }
}

extension PQError {
  /// Replaces text that was bound where the server quotes it: `"…"` in messages, `(…)` in the details of keys.
  ///
  /// Not in errors that a function raises with a state of its own: what they say is for the caller to read.
  func withoutValues(of statements: [PQStatement]) -> PQError {
    if hasApplicationState { return self }
    var error = self
    for (index, text) in statements.flatMap(\.bindings.texts) where !text.isEmpty {
      func redact(_ message: String) -> String {
        message.replacing("\"\(text)\"", with: "\"$\(index)\"").replacing("(\(text))", with: "($\(index))")
      }
      error.message = redact(error.message)
      error.detail = error.detail.map(redact)
      error.hint = error.hint.map(redact)
    }
    return error
  }

  /// Whether the state's class is neither the standard's (0–4, A–H) nor PostgreSQL's own (5x, P0, XX).
  private var hasApplicationState: Bool {
    guard let sqlState, let first = sqlState.first, first.isLetter else { return false }
    return first > "H" && !sqlState.hasPrefix("P0") && !sqlState.hasPrefix("XX")
  }

  static let cancelled = PQError(.cancelled, "The task was cancelled.")
  static let closed = PQError(.closed, "The connection is closed.")

  static func unexpectedNull(in place: String) -> Self {
    Self(.decoding, "NULL in \(place) where a value is needed. Decode an Optional.")
  }
}
