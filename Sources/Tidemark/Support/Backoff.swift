import Waiting

/// Pauses that grow exponentially, with jitter, up to a cap.
public struct Backoff: Sendable, Hashable {
  /// The first pause. Default 100 ms; more than 0.
  public var initial: Duration
  /// The longest pause. Default 30 s; at least `initial`.
  public var maximum: Duration
  /// What a pause is multiplied by for the next. Default 2; at least 1.
  public var multiplier: Double
  /// The part of a pause that is drawn at random, so that callers that failed together do not return together.
  /// Default 0.2; 0 … 1.
  public var jitter: Double

  public init(
    initial: Duration = .milliseconds(100),
    maximum: Duration = .seconds(30),
    multiplier: Double = 2,
    jitter: Double = 0.2
  ) {
    self.initial = initial
    self.maximum = maximum
    self.multiplier = multiplier
    self.jitter = jitter
  }

  /// The pause after the `attempt`th failure in a row, counted from 1.
  package func pause(afterAttempt attempt: Int, using random: inout some RandomNumberGenerator) -> Duration {
    var delay = DoublingDelay(from: initial, to: maximum, factor: multiplier, jitter: jitter)
    for _ in 1..<max(attempt, 1) { _ = delay.next() }
    return delay.next(using: &random)
  }

  package func violations(of name: String) -> [String] {
    var found: [String] = []
    if initial <= .zero { found.append("\(name).initial is \(initial), must be more than 0") }
    if maximum < initial {
      found.append("\(name).maximum is \(maximum), must be at least initial (\(initial))")
    }
    if multiplier < 1 { found.append("\(name).multiplier is \(multiplier), must be at least 1") }
    if !(0...1).contains(jitter) { found.append("\(name).jitter is \(jitter), must be within 0 and 1") }
    return found
  }
}
