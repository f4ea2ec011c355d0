import ArgumentParser
import Tidemark

/// Where a reset sets a lease's checkpoint to.
struct ResetTarget: ExpressibleByArgument, Sendable, Equatable, CustomStringConvertible {
  static let forms =
    """
    \(PositionArgument.forms), current, which keeps the checkpoint and only clears a stop, or SHARD_END, with which \
    a shard counts as read: for one that the stream has no more
    """
  private static let current = "current"

  /// `nil`: it stays.
  var checkpoint: Checkpoint?

  init?(argument: String) {
    if argument == Self.current { return }
    if argument == Checkpoint.shardEnd.description {
      checkpoint = .shardEnd
      return
    }
    guard let position = PositionArgument(argument: argument) else { return nil }
    checkpoint = position.checkpoint
  }

  var description: String { checkpoint.map { "\(PositionArgument($0))" } ?? Self.current }
}
