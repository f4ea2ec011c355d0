import Tidemark
import TidemarkStreams

/// The shards of a stream, each beneath a parent.
struct ShardTree {
  private var roots: [Shard] = []
  private var children: [String: [Shard]] = [:]

  private let status: [String: PostgresShardStatus]

  init(_ shards: [Shard], _ status: [String: PostgresShardStatus] = [:]) {
    self.status = status
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
      ("SHARD", .left), ("STATE", .left), ("SINCE", .left), ("RATE", .right), ("HASH RANGE", .left),
      ("SEQUENCE NUMBERS", .left), ("PARENTS", .left),
    ])
    var waiting = roots.reversed().map { (shard: $0, depth: 0) }
    while let (shard, depth) = waiting.popLast() {
      table.add([
        String(repeating: "  ", count: depth) + shard.id,
        shard.isOpen ? "open" : "closed",
        (shard.closedAt ?? status[shard.id]?.createdAt)?.iso8601 ?? "-",
        shard.isOpen ? status[shard.id].map { "\(RateArgument($0.writeRate))" } ?? "-" : "",
        shard.hashRange.map { "0x\($0.start.upperHexDigits)-0x\($0.end.upperHexDigits)" } ?? "-",
        "\(shard.startingSequenceNumber?.description ?? "")-\(shard.endingSequenceNumber?.description ?? "")",
        shard.parentIDs.joined(separator: ", "),
      ])
      // A shard that was only rotated goes on in the same column, or a long retention would not fit the screen.
      // DynamoDB tells no ranges; there, one of several children has not the whole of it.
      let children = children[shard.id] ?? []
      waiting += children.reversed().map { child in
        let isRotation = children.count == 1 && child.hashRange == shard.hashRange
        return (shard: child, depth: isRotation ? depth : depth + 1)
      }
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
