#if AWS
import Tidemark

/// The shards of a table's streams as one lineage.
///
/// A stream's first shards, whose parents are none of its own, descend from the last shards of the stream before, so that
/// the old stream is drained before the new one begins. Between the pages of a listing shards rotate: a parent may look
/// open beside its child, or be listed no more. Both are left as they are; a worker waits for a parent that it has
/// a lease of, and for no other.
struct DynamoDBLineage: Sendable {
  private(set) var shards: [Shard] = []
  /// Whether the newest stream takes changes.
  let isEnabled: Bool

  /// - Parameters:
  ///   - streams: oldest first.
  ///   - isOfTable: shards of several streams need ids that none of the others can have.
  init(_ streams: [DescribedStream], isOfTable: Bool) {
    isEnabled = streams.last?.isEnabled ?? false
    var leaves: [String] = []
    for stream in streams where !stream.Shards.isEmpty {
      let prefix = isOfTable ? stream.StreamLabel + Self.separator : ""
      let own = Self.shards(of: stream, prefix: prefix, after: leaves)
      let parents = Set(own.flatMap(\.parentIDs))
      leaves = own.map(\.id).filter { !parents.contains($0) }
      shards += own
    }
  }

  private static func shards(of stream: DescribedStream, prefix: String, after leaves: [String]) -> [Shard] {
    let listed = Set(stream.Shards.map(\.ShardId))
    return stream.Shards.map { shard in
      let parent = shard.ParentShardId.flatMap { $0.isEmpty ? nil : $0 }
      let isFirst = parent.map { !listed.contains($0) } ?? true
      return Shard(
        id: prefix + shard.ShardId,
        parentIDs: (parent.map { [prefix + $0] } ?? []) + (isFirst ? leaves : []),
        startingSequenceNumber: shard.SequenceNumberRange?.StartingSequenceNumber.flatMap {
          SequenceNumber($0)
        },
        endingSequenceNumber: shard.SequenceNumberRange?.EndingSequenceNumber.flatMap { SequenceNumber($0) }
      )
    }
  }

  /// The children, which an endpoint may have been asked for and which it may have sent together with others.
  func children(of shardID: String) -> [Shard] { shards.filter { $0.parentIDs.contains(shardID) } }

  // MARK: Ids

  private static let separator = "/"

  static func label(ofShard shardID: String) -> String? {
    shardID.firstRange(of: separator).map { String(shardID[..<$0.lowerBound]) }
  }

  /// The id that the service knows.
  static func shardID(inStream shardID: String) -> String {
    shardID.firstRange(of: separator).map { String(shardID[$0.upperBound...]) } ?? shardID
  }
}
#endif
