#if AWS
import Tidemark

/// The hash keys of a shard and of the shards that it comes from.
struct ShardHashKeys: Equatable, Sendable {
  var own: Shard.HashRange
  var ancestors: [Shard.HashRange] = []

  /// - Returns: `nil` if it is not listed.
  init?(of shardID: String, in listing: [String: Shard]) {
    guard let shard = listing[shardID], let range = shard.hashRange else { return nil }
    own = range
    var rest = shard.parentIDs
    var seen: Set<String> = []
    while let id = rest.popLast() {
      guard seen.insert(id).inserted, let ancestor = listing[id] else { continue }
      if let range = ancestor.hashRange { ancestors.append(range) }
      rest += ancestor.parentIDs
    }
  }
}
#endif
