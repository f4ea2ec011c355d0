import LibPQ
import Tidemark

/// What an error of PostgreSQL's means for whoever asked: the one table of them.
struct SQLStateMeaning: Sendable {
  /// `nil` for what passes by itself: each subject has a code of its own for that. Whether to try again is the code's.
  var code: TidemarkError.Code?
  /// What the subject did, for before the server's message; `nil` if that says all.
  var verb: String?
  /// What to do if the server gives no hint.
  var advice: String?
  /// Whether the server's hint is left out: it is for those who write SQL, not for those who run it.
  var replacesHint = false

  /// By SQLSTATE, or by its class, the first two characters.
  static let table: [String: Self] = [
    // The schema's own functions: their messages are for people, and their hints are advice.
    "TM001": Self(code: .streamNotFound),
    "TM002": Self(code: .streamDisabled),
    "TM003": Self(code: .unsupported),
    "TM004": Self(code: .shardNotFound),
    "TM005": Self(code: .invalidConfiguration),
    "TM006": Self(code: .leaseLost),
    "TM007": Self(code: .checkpointOutOfRange),
    // Its advice depends on the right that is missing: see PermissionAdvice.
    "42501": Self(code: .permissionDenied, verb: "refused this"),
    "28": Self(
      code: .authenticationFailed,
      verb: "refused the login",
      advice:
        "Check the user and the password of the database's URL (or PGUSER, PGPASSWORD and .pgpass), and the "
        + "server's pg_hba.conf."
    ),
    "3D000": Self(
      code: .databaseNotFound,
      verb: "could not be opened",
      advice: "Check the name of the database in its URL, or create it."
    ),
    "3F000": lacksSchema, "42P01": lacksSchema, "42883": lacksSchema, "42703": lacksSchema,
    "53300": Self(
      code: .tooManyConnections,
      verb: "takes no more connections",
      advice:
        "Allow more (max_connections, or CONNECTION LIMIT of the role or database), or let each worker have fewer "
        + "(maximumConnections)."
    ),
    "53100": Self(code: .diskFull, verb: "has no room", advice: "Make room on the server's disk."),
    "25006": Self(
      code: .readOnly,
      verb: "takes no writes",
      advice: "Connect to the primary: name all hosts in the URL, separated by commas."
    ),
    "55P03": Self(
      verb: "refused this for now",
      advice:
        "Another transaction holds a lock on the table or the stream. Find it in pg_stat_activity, wait for its end "
        + "or end it, and try again."
    ),
    "57014": Self(
      verb: "refused this for now",
      advice: "See to it that statement_timeout allows for what this role does."
    ),
    "40001": conflict, "40P01": conflict,
    "23514": unknownPartition,
    "55006": Self(verb: "refused this for now", advice: "Try again."),
    "08": silence, "26000": silence, "53": silence, "57P01": silence, "57P02": silence, "57P03": silence,
  ]

  private static let lacksSchema = Self(
    code: .schemaMismatch,
    verb: "lacks tables or functions of this version of Tidemark",
    advice: "Run: tidemark migrate",
    replacesHint: true
  )
  /// Retention has taken a stream whose records somebody was about to read or move.
  private static let lacksStream = Self(
    code: .streamNotFound,
    verb: "has this stream no more",
    advice: "List those there are: tidemark stream list.",
    replacesHint: true
  )
  private static let conflict = Self(
    verb: "refused this for now",
    advice: "Other transactions were in the way. Try again."
  )
  /// A session's cached plan knew an older one. The session is closed; see `writingLog`.
  private static let unknownPartition = Self(verb: "refused this for now", advice: "Try again.")
  private static let silence = Self(verb: "did not answer")

  static func of(_ error: PQError) -> Self {
    switch error.code {
    case .connectionLost, .closed, .timeout: return silence
    case .decoding, .encoding, .misuse, .cancelled: return Self(code: .unsupported)
    case .invalidConfiguration:
      return Self(
        code: .invalidConfiguration,
        advice: "Write it as postgresql://USER@HOST:PORT/DATABASE."
      )
    case .hostNotFound:
      return Self(
        code: .hostNotFound,
        verb: "cannot be found",
        advice: "Check the host in the database's URL."
      )
    default: break
    }
    guard let state = error.sqlState else { return error.isRetryable ? silence : refusal(of: error) }
    if isForeign(error, state) { return refusal(of: error) }
    if isOfStream(error, state) { return lacksStream }
    return table[state] ?? table[String(state.prefix(2))] ?? refusal(of: error)
  }

  private static func refusal(of error: PQError) -> Self {
    Self(code: .unsupported, verb: "refused this" + (error.sqlState.map { " (SQLSTATE \($0))" } ?? ""))
  }

  /// Whether what is missing or violated is not the schema's: triggers of a user's run beneath its functions.
  private static func isForeign(_ error: PQError, _ state: String) -> Bool {
    switch state {
    case "42P01", "42883": !error.message.contains("tidemark")
    case "23514": !error.isUnknownPartition
    default: false
    }
  }

  /// Whether a table or function is missing that a stream has of its own.
  private static func isOfStream(_ error: PQError, _ state: String) -> Bool {
    ["42P01", "42883"].contains(state)
      && error.message.contains(/tidemark\.(log|inbox|turn|sequence|append|capture|truncate|copy)_[0-9]/)
  }
}

extension PQError {
  /// Whether a text has a character or bytes that the session's encoding, UTF-8, or the database's cannot have.
  package var isUntranslatable: Bool { sqlState == "22021" || sqlState == "22P05" }

  /// An `INSERT` into a log whose newest partition the session does not know. Of the message only the log's name is the
  /// same in all languages.
  package var isUnknownPartition: Bool { sqlState == "23514" && message.contains(/\blog_[0-9]/) }
}
