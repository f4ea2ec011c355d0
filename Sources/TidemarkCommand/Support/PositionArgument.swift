import ArgumentParser
import Tidemark
import TidemarkPostgres
import TidemarkStreams

/// A position in a stream as it is written on the command line: `TRIM_HORIZON`, `LATEST`,
/// `AT_TIMESTAMP:` and a time in ISO 8601, or a sequence number.
struct PositionArgument: ExpressibleByArgument, Sendable, Equatable, CustomStringConvertible {
  static let forms = "TRIM_HORIZON, LATEST, AT_TIMESTAMP:<ISO 8601 time> or <sequence number>"
  private static let timestampPrefix = "AT_TIMESTAMP:"

  var checkpoint: Checkpoint

  init(_ checkpoint: Checkpoint) {
    self.checkpoint = checkpoint
  }

  init?(argument: String) {
    if argument.hasPrefix(Self.timestampPrefix) {
      guard let time = Timestamp(iso8601: argument.dropFirst(Self.timestampPrefix.count)) else { return nil }
      checkpoint = .atTimestamp(time)
    } else {
      guard let checkpoint = Checkpoint(text: argument), checkpoint != .shardEnd else { return nil }
      self.checkpoint = checkpoint
    }
  }

  /// Like `Checkpoint.description`, but with a time that people can read.
  var description: String {
    if case .atTimestamp(let time) = checkpoint { return Self.timestampPrefix + time.iso8601 }
    return checkpoint.description
  }

  var defaultValueDescription: String { description }
}
