/// What happens when records are gone before they were read, because the reader fell behind the stream's
/// retention. Either way it is reported through ``WorkerEvents``.
public enum TrimmedDataPolicy: Sendable, Hashable {
  /// The shard is read no more, by any worker, until an operator resets its lease. The default.
  case stop
  /// Reading goes on with the oldest record that there is.
  case skipToHorizon
}
