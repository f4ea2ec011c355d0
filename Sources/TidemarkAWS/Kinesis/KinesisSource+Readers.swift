#if AWS
import AWSRequests
import Tidemark

/// What both kinds of readers need.
extension KinesisSource {
  /// The shards that follow one that has ended, which it only does when others follow. Where the answer does not say
  /// which, the listing does.
  func children(of shardID: String, in answer: RecordsAnswer, _ response: AWSResponse) async throws -> [Shard]
  {
    if !answer.children.isEmpty { return try answer.children.map { try $0.shard(in: response) } }
    return try await shards().filter { $0.parentIDs.contains(shardID) }
  }

  static func trimmed(at checkpoint: Checkpoint, of shardID: String) -> TidemarkError {
    TidemarkError(
      .recordsTrimmed,
      "The record \(checkpoint) of the shard \(shardID) is older than the stream's retention and gone, "
        + "and so may be others after it.",
      advice: "Go on from TRIM_HORIZON, and give the stream a longer retention or the consumer more time."
    )
  }

  /// A shard may be missing because its stream is.
  static func tellingStreams<Answer>(
    isolation: isolated (any Actor)? = #isolation,
    _ body: () async throws -> Answer
  ) async throws -> Answer {
    do { return try await body() } catch var error as TidemarkError where error.code == .shardNotFound {
      let message = (error.underlying as? AWSError)?.message ?? ""
      if message.hasPrefix("Stream ") { error.code = .streamNotFound }
      throw error
    }
  }
}
#endif
