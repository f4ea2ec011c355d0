#if AWS
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

@Suite("Retries")
struct RetryStateTests {
  private var random = SharedRandom()

  @Test("retries draw each pause between nothing and the one that growth gives")
  mutating func jitter() {
    var largest = Duration.zero
    for _ in 0..<200 {
      var state = RetryState(AWSRetryPolicy())
      _ = state.step(after: .transient, elapsed: .zero, using: &random)
      guard case .retry(let pause) = state.step(after: .transient, elapsed: .zero, using: &random) else {
        Issue.record("gave up")
        return
      }
      #expect(pause >= .zero && pause <= .milliseconds(100))
      largest = max(largest, pause)
    }
    #expect(largest > .milliseconds(50))
  }

  @Test("retries renew credentials and correct the clock once each, whatever came before")
  mutating func once() {
    var policy = AWSRetryPolicy()
    policy.maximumAttempts = 1
    var state = RetryState(policy)
    #expect(state.step(after: .expired, elapsed: .seconds(900), using: &random) == .renewCredentials)
    #expect(state.step(after: .skew, elapsed: .seconds(900), using: &random) == .correctClock)
    #expect(state.step(after: .expired, elapsed: .zero, using: &random) == .giveUp)
    #expect(state.step(after: .skew, elapsed: .zero, using: &random) == .giveUp)
  }

  @Test("retries are not made of what cannot succeed", arguments: [AWSErrorKind.fatal, .denied])
  func fatal(kind: AWSErrorKind) {
    var random = SharedRandom()
    var state = RetryState(AWSRetryPolicy())
    #expect(state.step(after: kind, elapsed: .zero, using: &random) == .giveUp)
  }

  @Test(
    "retries know what kind an error is of",
    arguments: [
      ("ThrottlingException", 400, nil, AWSErrorKind.throttle), ("SlowDown", 503, nil, .throttle),
      ("", 429, nil, .throttle),
      ("", 500, nil, .transient), ("", 504, nil, .transient), ("RequestTimeout", 400, nil, .transient),
      ("ExpiredTokenException", 400, nil, .expired), ("ExpiredToken", 403, nil, .expired),
      ("RequestTimeTooSkewed", 403, Duration.seconds(600), .skew),
      ("RequestTimeTooSkewed", 403, nil, .denied),
      ("InvalidSignatureException", 403, .seconds(-600), .skew),
      ("InvalidSignatureException", 403, .seconds(60), .denied),
      ("AccessDeniedException", 400, .seconds(600), .denied), ("", 403, nil, .denied),
      ("ValidationException", 400, nil, .fatal), ("", 404, nil, .fatal), ("", 301, nil, .fatal),
    ] as [(String, Int, Duration?, AWSErrorKind)]
  )
  func kinds(code: String, status: Int, skew: Duration?, kind: AWSErrorKind) {
    #expect(AWSErrorKind(code: code, status: status, skew: skew) == kind)
  }

  @Test("retries take their code from types in all their forms")
  func types() {
    for type in ["A", "com.x#A", "com.x#A:http://y", "A:http://y#z"] {
      #expect(AnswerReader.code(in: type) == "A")
    }
    #expect(AnswerReader.code(in: "") == "")
  }
}
#endif
