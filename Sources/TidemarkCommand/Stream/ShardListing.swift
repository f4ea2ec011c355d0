import Tidemark

/// What any source tells of its stream.
struct ShardListing {
  var name: String
  var shards: [Shard]

  init(name: String, shards: [Shard]) {
    self.name = name
    self.shards = shards
  }

  init(of source: some StreamSource) async throws {
    self.init(name: try await source.streamName(), shards: try await source.shards())
  }

  var json: JSON {
    .object(["name": JSON(name), "shards": .array(shards.map { $0.json() })])
  }

  var report: String {
    let open = shards.count(where: \.isOpen)
    let facts = [("Stream", name), ("Shards", "\(open) open, \(shards.count - open) closed")]
    return Table.facts(facts) + "\n" + ShardTree(shards).table.text
  }
}
