#if AWS
import Tidemark

/// How one attempt went wrong: what the caller gets to see, and what there is to decide the next step by.
package struct AWSFailure: Error, Sendable {
  package var kind: AWSErrorKind
  package var error: TidemarkError
  /// How far this machine's clock is behind, if the answer says so.
  var clockOffset: Duration?

  init(_ kind: AWSErrorKind, _ error: TidemarkError, clockOffset: Duration? = nil) {
    self.kind = kind
    self.error = error
    self.clockOffset = clockOffset
  }

  /// No answer, or a part of one.
  package init(_ failure: HTTPFailure, asking what: String, at origin: String) {
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
  package init(
    _ error: AWSError,
    kind: AWSErrorKind,
    of operation: String,
    meaning: AWSErrorMeaning? = nil,
    clockOffset: Duration? = nil
  ) {
    let kind = meaning?.kind ?? kind
    let name = error.code.isEmpty ? "status \(error.status)" : error.code
    let text = error.message.isEmpty ? "" : ": \(error.message)"
    self.init(
      kind,
      TidemarkError(
        meaning?.code ?? Self.code(of: kind),
        "\(operation) was answered with \(name)\(text)",
        advice: meaning?.advice ?? Self.advice(for: error, kind),
        underlying: error
      ),
      clockOffset: clockOffset
    )
  }

  private static func code(of kind: AWSErrorKind) -> TidemarkError.Code {
    switch kind {
    case .throttle: .throttled
    case .transient: .sourceUnavailable
    case .expired, .skew, .denied: .accessDenied
    case .fatal: .unsupported
    }
  }

  private static func advice(for error: AWSError, _ kind: AWSErrorKind) -> String? {
    switch kind {
    case .expired: "Renew the credentials where they come from."
    case .skew: "Set this machine's clock."
    case .denied where error.code.hasPrefix("AccessDenied"):
      "Allow the role or user of these credentials this action."
    case .denied: "Look which credentials are used (the log says) and whether they are those of this region."
    case .fatal where error.code.isEmpty: "Is the endpoint that of the service?"
    default: nil
    }
  }
}
#endif
