/// What became of a write that its condition may refuse.
public enum WriteOutcome: Sendable, Hashable {
  case accepted
  /// The lease is somebody else's by now, its epoch has risen, or it is gone; or the store does not know any more what
  /// the write rests on.
  case leaseLost
  /// The grant is good, but the checkpoint would go back.
  case wouldGoBack
}

extension WriteOutcome {
  /// Returns if the write was accepted.
  package func orThrow(for grant: LeaseGrant) throws {
    switch self {
    case .accepted: return
    case .leaseLost:
      throw TidemarkError(
        .leaseLost,
        "The lease of \(grant) is over.",
        advice: "Stop working on this shard; another worker resumes after the last accepted checkpoint."
      )
    case .wouldGoBack:
      throw TidemarkError(
        .checkpointOutOfRange,
        "The checkpoint of \(grant) would go back.",
        advice: "An accepted checkpoint moves back only by an operator's reset."
      )
    }
  }
}
