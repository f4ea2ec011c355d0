/// Where an application starts to read a shard that it has no lease for and that no leased shard leads to.
public enum InitialPosition: Sendable, Hashable {
  /// With the oldest record that the stream still has. The default.
  case trimHorizon
  /// With what arrives from now on.
  case latest
  /// With the first record that is not older than this.
  case atTimestamp(Timestamp)
  /// With all that exists, as a snapshot of it that comes before every change since. Where the application has leases on
  /// the stream already, but no snapshot, it goes on without one. Not all sources can: see
  /// ``StreamSource/startingWithSnapshot(for:isNew:)``.
  case snapshot

  /// The checkpoint that a lease starts with.
  public var checkpoint: Checkpoint {
    switch self {
    case .trimHorizon, .snapshot: .trimHorizon
    case .latest: .latest
    case .atTimestamp(let time): .atTimestamp(time)
    }
  }
}
