/// The family tree of a stream's shards, as far as the source lists it.
struct LineageGraph {
  private let shards: [String: Shard]
  private let children: [String: [String]]

  init(_ shards: [Shard]) {
    self.shards = Dictionary(shards.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    var children: [String: [String]] = [:]
    for shard in self.shards.values {
      for parent in Set(shard.parentIDs) {
        children[parent, default: []].append(shard.id)
      }
    }
    self.children = children
  }

  /// Everything that any of `ids` descends from, themselves left out. Ancestors that are listed no more count
  /// as long as a listed shard names them.
  func ancestors(of ids: some Sequence<String>) -> Set<String> {
    closure(of: ids) { shards[$0]?.parentIDs ?? [] }
  }

  /// Everything that descends from any of `ids`, themselves left out.
  func descendants(of ids: some Sequence<String>) -> Set<String> {
    closure(of: ids) { children[$0] ?? [] }
  }

  private func closure(of ids: some Sequence<String>, step: (String) -> [String]) -> Set<String> {
    var found: Set<String> = []
    var frontier = ids.flatMap(step)
    while let id = frontier.popLast() {
      if found.insert(id).inserted { frontier += step(id) }
    }
    return found
  }
}
