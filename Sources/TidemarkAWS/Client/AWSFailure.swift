#if AWS
import Tidemark

/// How one attempt went wrong: what the caller gets to see, and what there is to decide the next step by.
struct AWSFailure: Error, Sendable {
  var kind: AWSErrorKind
  var error: TidemarkError
  /// How far this machine's clock is behind, if the answer says so.
  var clockOffset: Duration?

  init(_ kind: AWSErrorKind, _ error: TidemarkError, clockOffset: Duration? = nil) {
    self.kind = kind
    self.error = error
    self.clockOffset = clockOffset
  }

  /// No answer, or a part of one.
  init(_ failure: HTTPFailure, asking what: String, at origin: String) {
    self.init(
      .transient,
      TidemarkError(
        .sourceUnavailable,
        "\(what) got no answer from \(origin).",
        advice: "Check that this machine can reach it. A private network needs a VPC endpoint.",
        underlying: failure
      )
    )
  }

  /// A service's refusal.
  init(_ error: AWSError, kind: AWSErrorKind, of operation: String, clockOffset: Duration? = nil) {
    let name = error.code.isEmpty ? "status \(error.status)" : error.code
    let text = error.message.isEmpty ? "" : ": \(error.message)"
    self.init(
      kind,
      TidemarkError(
        Self.code(of: error, kind: kind, of: operation),
        "\(operation) was answered with \(name)\(text)",
        advice: Self.advice(for: error, kind),
        underlying: error
      ),
      clockOffset: clockOffset
    )
  }

  private static func code(
    of error: AWSError,
    kind: AWSErrorKind,
    of operation: String
  ) -> TidemarkError.Code {
    switch error.code {
    case "ExpiredIteratorException", "ExpiredNextTokenException": return .iteratorExpired
    case "TrimmedDataAccessException": return .recordsTrimmed
    case "ResourceInUseException": return .throttled
    case "ResourceNotFoundException":
      let readsShard = ["GetRecords", "GetShardIterator", "SubscribeToShard"].contains(operation)
      return readsShard ? .shardNotFound : .streamNotFound
    default: break
    }
    switch kind {
    case .throttle: return .throttled
    case .transient: return .sourceUnavailable
    case .expired, .skew, .denied: return .accessDenied
    case .fatal: return .unsupported
    }
  }

  private static func advice(for error: AWSError, _ kind: AWSErrorKind) -> String? {
    switch kind {
    case .expired: "Renew the credentials where they come from."
    case .skew: "Set this machine's clock."
    case .denied where error.code.hasPrefix("AccessDenied"):
      "Allow the role or user of these credentials this action on the stream."
    case .denied: "Look which credentials are used (the log says) and whether they are those of this region."
    case .fatal where error.code == "ResourceInUseException":
      "Give each application a consumer name of its own."
    case .fatal where error.code.isEmpty: "Is the endpoint that of the service?"
    default: nil
    }
  }
}
#endif
