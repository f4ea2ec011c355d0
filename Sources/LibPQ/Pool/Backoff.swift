/// Pauses between attempts: each at most twice the one before, drawn at random so that many clients of a server
/// that comes back do not all return at the same moment.
struct Backoff {
  private var bound = Duration.milliseconds(50)
  private static let limit = Duration.seconds(2)

  mutating func next() -> Duration {
    defer { bound = min(bound * 2, Self.limit) }
    return bound * Double.random(in: 0.5...1)
  }
}
