import ArgumentParser
import Tidemark

/// Where a reset sets a lease's checkpoint to.
struct ResetTarget: ExpressibleByArgument, Sendable, Equatable, CustomStringConvertible {
  static let forms =
    "\(PositionArgument.forms), or current, which keeps the checkpoint and only clears a stop"
  private static let current = "current"

  /// `nil`: it stays.
  var checkpoint: Checkpoint?

  init?(argument: String) {
    if argument == Self.current { return }
    guard let position = PositionArgument(argument: argument) else { return nil }
    checkpoint = position.checkpoint
  }

  var description: String { checkpoint.map { "\(PositionArgument($0))" } ?? Self.current }
}
