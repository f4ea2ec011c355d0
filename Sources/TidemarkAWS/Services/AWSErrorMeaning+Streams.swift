#if AWS
import AWSRequests
import Tidemark

extension AWSErrorMeaning {
  /// Operations for which it is no use to wait until something is not in use any more, or that do so themselves.
  private static let claims: Set<String> = ["RegisterStreamConsumer", "SubscribeToShard"]
  private static let readsOfShards: Set<String> = ["GetRecords", "GetShardIterator", "SubscribeToShard"]

  /// The errors of streams and their shards.
  @Sendable
  static func ofStreams(_ code: String, _ operation: String) -> AWSErrorMeaning? {
    switch code {
    case "ExpiredIteratorException", "ExpiredNextTokenException": AWSErrorMeaning(.iteratorExpired)
    case "TrimmedDataAccessException": AWSErrorMeaning(.recordsTrimmed)
    case "ResourceNotFoundException":
      AWSErrorMeaning(readsOfShards.contains(operation) ? .shardNotFound : .streamNotFound)
    case "ResourceInUseException" where claims.contains(operation):
      AWSErrorMeaning(.throttled, .fatal, advice: "Give each application a consumer name of its own.")
    case "ResourceInUseException": AWSErrorMeaning(.throttled)
    default: nil
    }
  }
}
#endif
