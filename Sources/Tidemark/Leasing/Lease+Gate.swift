extension Lease {
  /// Whether the shard may be read now: it is neither ended nor stopped, and every parent is at `SHARD_END`.
  /// A parent without a lease was trimmed or cleaned away and does not block. Both parents of a merge count.
  public func mayStart(given leases: [LeaseKey: Lease]) -> Bool {
    !isEnded && stoppedReason == nil
      && parentShardIDs.allSatisfy { leases[relative($0)].map(\.isEnded) ?? true }
  }

  /// The key of another shard's lease in the same stream.
  package func relative(_ shardID: String) -> LeaseKey {
    LeaseKey(stream: stream, shardID: shardID)
  }
}
