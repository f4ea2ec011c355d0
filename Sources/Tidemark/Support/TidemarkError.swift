/// What went wrong, whether trying again can help, and what to do about it.
///
/// A struct with an extensible ``Code`` instead of an enum, so that a new code breaks nobody's `switch`.
public struct TidemarkError: Error, Sendable, CustomStringConvertible {
  /// The kind of an error. New codes may be added in any release.
  public struct Code: Sendable, Hashable, CustomStringConvertible {
    private enum Kind: String, Sendable {
      case leaseLost, checkpointOutOfRange, storeUnavailable, outcomeUnknown
      case streamNotFound, streamDisabled, shardNotFound, recordsTrimmed, captureLost, imageOmitted,
        throttled, iteratorExpired
      case sourceUnavailable, accessDenied, leaseNotFound, invalidConfiguration, unsupported
      case permissionDenied, authenticationFailed, databaseNotFound, hostNotFound, schemaMismatch
      case tooManyConnections, diskFull, readOnly
    }
    private var kind: Kind
    private init(_ kind: Kind) { self.kind = kind }

    /// The lease is owned by somebody else, or this owner's epoch is over. Stop; do not retry.
    public static let leaseLost = Self(.leaseLost)
    /// The position lies before the last checkpoint or beyond the last record that was handed out.
    public static let checkpointOutOfRange = Self(.checkpointOutOfRange)
    /// The lease store did not answer; nothing was written.
    public static let storeUnavailable = Self(.storeUnavailable)
    /// The lease store's answer was lost: the write may or may not have happened.
    public static let outcomeUnknown = Self(.outcomeUnknown)
    /// No stream has this name.
    public static let streamNotFound = Self(.streamNotFound)
    /// The stream is disabled: it can be read to its end but takes no new records.
    public static let streamDisabled = Self(.streamDisabled)
    /// The stream does not list this shard (any more).
    public static let shardNotFound = Self(.shardNotFound)
    /// Records at the requested position are older than the stream's retention and gone.
    public static let recordsTrimmed = Self(.recordsTrimmed)
    /// The stream has ended because changes of its table could not be captured any more: some are missing.
    public static let captureLost = Self(.captureLost)
    /// The stream has left out the image that was asked for, because it is larger than the stream takes.
    public static let imageOmitted = Self(.imageOmitted)
    /// The source asks for fewer calls.
    public static let throttled = Self(.throttled)
    /// The reader's cursor has expired; open a new reader at the last position.
    public static let iteratorExpired = Self(.iteratorExpired)
    /// The source did not answer.
    public static let sourceUnavailable = Self(.sourceUnavailable)
    /// Amazon's services know no such credentials, or do not allow them this call.
    public static let accessDenied = Self(.accessDenied)
    /// The lease table has no such lease.
    public static let leaseNotFound = Self(.leaseNotFound)
    /// The configuration breaks at least one rule; the message names all of them.
    public static let invalidConfiguration = Self(.invalidConfiguration)
    /// The operation is not possible on this stream, table or server.
    public static let unsupported = Self(.unsupported)
    /// The database does not allow its role this; the advice says which right is missing, and for which role.
    public static let permissionDenied = Self(.permissionDenied)
    /// The database knows no such user, or the password is another.
    public static let authenticationFailed = Self(.authenticationFailed)
    /// The server has no database of this name.
    public static let databaseNotFound = Self(.databaseNotFound)
    /// No host has the name that the database's URL gives, and this process has never reached one of that name.
    public static let hostNotFound = Self(.hostNotFound)
    /// The database lacks the schema `tidemark`, or has another version of it.
    public static let schemaMismatch = Self(.schemaMismatch)
    /// The database takes no more connections for now.
    public static let tooManyConnections = Self(.tooManyConnections)
    /// The database's disk is full.
    public static let diskFull = Self(.diskFull)
    /// The database takes no writes: it is a standby that was not promoted (yet).
    public static let readOnly = Self(.readOnly)

    public var description: String { kind.rawValue }
  }

  public var code: Code
  /// What happened, in one sentence, without secrets.
  public var message: String
  /// What the reader can do about it, when there is something.
  public var advice: String?
  /// The error beneath, when there is one.
  public var underlying: (any Error)?
  /// Whether the message says all that the error beneath says.
  package var saysUnderlying = false

  public init(_ code: Code, _ message: String, advice: String? = nil, underlying: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.advice = advice
    self.underlying = underlying
  }

  /// Whether the same call may succeed later without anybody's doing.
  public var isRetryable: Bool {
    switch code {
    case .storeUnavailable, .outcomeUnknown, .throttled, .iteratorExpired, .sourceUnavailable: true
    case .tooManyConnections, .diskFull, .readOnly: true
    default: false
    }
  }

  public var description: String {
    var text = "\(code): \(message.asSentence)"
    if let advice { text += " \(advice)" }
    if let underlying, !saysUnderlying { text += " (\(underlying))" }
    return text
  }
}

extension String {
  /// With a full stop, which messages of servers and services lack. A small first letter stays: it may be a name's.
  package var asSentence: String {
    last.map { ".!?".contains($0) } ?? true ? self : self + "."
  }
}
