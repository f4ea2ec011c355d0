/// How a consumer ended.
public enum LeaseEnd: String, Sendable {
  /// The shard was read to its end.
  case shardEnded
  /// The lease was handed to another worker, or given up in good order.
  case handedOff
  /// The failure or trimmed-data policy stopped it.
  case stopped
  /// Another worker took the lease, or it was given away because the processor made no progress.
  case lost
}
