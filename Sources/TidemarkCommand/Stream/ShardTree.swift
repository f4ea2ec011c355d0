import Tidemark

/// The shards of a stream, each beneath a parent.
struct ShardTree {
  private var roots: [Shard] = []
  private var children: [String: [Shard]] = [:]

  init(_ shards: [Shard]) {
    let listed = Set(shards.map(\.id))
    for shard in shards {
      if let parent = shard.parentIDs.first(where: listed.contains) {
        children[parent, default: []].append(shard)
      } else {
        roots.append(shard)
      }
    }
  }

  var table: Table {
    var table = Table([
      ("SHARD", .left), ("STATE", .left), ("HASH RANGE", .left), ("SEQUENCE NUMBERS", .left),
      ("PARENTS", .left),
    ])
    var waiting = roots.reversed().map { (shard: $0, depth: 0) }
    while let (shard, depth) = waiting.popLast() {
      table.add([
        String(repeating: "  ", count: depth) + shard.id,
        shard.isOpen ? "open" : "closed",
        shard.hashRange.map { "0x\($0.start.upperHexDigits)-0x\($0.end.upperHexDigits)" } ?? "-",
        "\(shard.startingSequenceNumber?.description ?? "")-\(shard.endingSequenceNumber?.description ?? "")",
        shard.parentIDs.joined(separator: ", "),
      ])
      waiting += (children[shard.id] ?? []).reversed().map { (shard: $0, depth: depth + 1) }
    }
    return table
  }
}

extension UInt128 {
  /// The upper 32 bits, of which a PostgreSQL stream's hashes consist.
  fileprivate var upperHexDigits: String {
    let digits = String(UInt32(self >> 96), radix: 16)
    return String(repeating: "0", count: 8 - digits.count) + digits
  }
}
