import Tidemark
import TidemarkTestKit

/// One of the streams that a simulated application reads.
final class SimulatedStream {
  let name: String
  let memory: InMemoryStream
  /// The lists of its shards before its last changes, and until when each could still be shown.
  var olderListings: [(shards: [Shard], until: Duration)] = []
  /// Whether a catalog names it.
  var isListed = true

  init(_ name: String, _ memory: InMemoryStream) {
    self.name = name
    self.memory = memory
  }

  var isOpen: Bool { memory.currentShards.contains(where: \.isOpen) }

  func key(_ shardID: String) -> LeaseKey { LeaseKey(stream: name, shardID: shardID) }

  func recentListings(at now: Duration) -> [[Shard]] {
    olderListings.removeAll { $0.until < now }
    return olderListings.map(\.shards)
  }
}
