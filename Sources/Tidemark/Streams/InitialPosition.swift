/// Where an application starts to read a shard that it has no lease for and that no leased shard leads to.
public enum InitialPosition: Sendable, Hashable {
  /// With the oldest record that the stream still has. The default.
  case trimHorizon
  /// With what arrives from now on.
  case latest
  /// With the first record that is not older than this.
  case atTimestamp(Timestamp)
  /// With the record of this number, which exists; only for streams that number their records across all shards, as
  /// PostgreSQL's do.
  case atSequenceNumber(SequenceNumber)
  /// With all that exists, as a snapshot of it that comes before every change since. Where the application has leases on
  /// the stream already, but no snapshot, it goes on without one. Not all sources can: see
  /// ``StreamSource/startingWithSnapshot(for:isNew:)``.
  case snapshot

  /// The checkpoint that the lease of a shard starts with; `nil` if the shard was closed before this position and holds
  /// nothing to read.
  public func checkpoint(in shard: Shard) -> Checkpoint? {
    switch self {
    case .trimHorizon, .snapshot: .trimHorizon
    case .latest: shard.isOpen ? .latest : nil
    case .atTimestamp(let time): shard.closedAt.map { $0 < time } ?? false ? nil : .atTimestamp(time)
    case .atSequenceNumber(let number): checkpoint(before: number, in: shard)
    }
  }

  private func checkpoint(before number: SequenceNumber, in shard: Shard) -> Checkpoint? {
    if let last = shard.endingSequenceNumber, last < number { return nil }
    if let first = shard.startingSequenceNumber, first >= number { return .trimHorizon }
    return number.predecessor.map { .record($0) } ?? .trimHorizon
  }
}
