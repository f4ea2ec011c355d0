#if AWS
import Tidemark

/// The first and the last record that the service sent at once, whether their user records belong to the shard or not.
struct ReceivedSpan: Equatable, Sendable {
  var first: SequenceNumber
  /// The last user record of the last record.
  var last: Checkpoint
}
#endif
