/// The family tree of a stream's shards, as far as the source lists it and leases remember it.
struct LineageGraph {
  private var parents: [String: Set<String>] = [:]
  private var children: [String: Set<String>] = [:]

  init(_ shards: [Shard], _ leases: [Lease]) {
    for shard in shards { add(shard.id, shard.parentIDs) }
    // A listing may be older than a lease, and not have what that descends from any more.
    for lease in leases { add(lease.shardID, lease.parentShardIDs) }
  }

  private mutating func add(_ id: String, _ parentIDs: [String]) {
    for parent in parentIDs {
      parents[id, default: []].insert(parent)
      children[parent, default: []].insert(id)
    }
  }

  /// Everything that any of `ids` descends from, themselves left out. Ancestors that are listed no more count
  /// as long as somebody names them.
  func ancestors(of ids: some Sequence<String>) -> Set<String> {
    closure(of: ids) { parents[$0] ?? [] }
  }

  /// Everything that descends from any of `ids`, themselves left out.
  func descendants(of ids: some Sequence<String>) -> Set<String> {
    closure(of: ids) { children[$0] ?? [] }
  }

  private func closure(of ids: some Sequence<String>, step: (String) -> Set<String>) -> Set<String> {
    var found: Set<String> = []
    var frontier = ids.flatMap(step)
    while let id = frontier.popLast() {
      if found.insert(id).inserted { frontier += step(id) }
    }
    return found
  }
}
