extension Lease {
  /// Whether the shard may be read now: it is neither ended nor stopped, and every parent is at `SHARD_END`.
  /// A parent without a lease was trimmed or cleaned away and does not block. Both parents of a merge count.
  public func mayStart(given leases: [String: Lease]) -> Bool {
    !isEnded && stoppedReason == nil
      && parentShardIDs.allSatisfy { parent in leases[parent].map(\.isEnded) ?? true }
  }
}
