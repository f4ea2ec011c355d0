import TidemarkPostgres

/// What a round is about.
enum CaptureKind: String, CaseIterable, Sendable {
  case trigger, logical
  /// Applications that begin with a snapshot keep coming; how changes are captured the seed decides.
  case snapshot
}
