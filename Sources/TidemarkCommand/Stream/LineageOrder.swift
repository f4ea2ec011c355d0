import Tidemark

/// Which shards of a stream may be read now, when each comes after all its parents.
struct LineageOrder {
  private var listed: [Shard]
  /// The shards that were there in the beginning.
  private let first: Set<String>
  private let skipped: Set<String>
  private var reading: Set<String> = []
  private var started: Set<String> = []
  private var left: Set<String> = []

  /// - Parameter skipsClosed: leave out the shards that are closed already.
  init(_ shards: [Shard], skipsClosed: Bool) {
    listed = shards
    first = Set(shards.map(\.id))
    skipped = skipsClosed ? Set(shards.filter { !$0.isOpen }.map(\.id)) : []
  }

  /// Nothing is being read, and so nothing becomes startable any more.
  var isOver: Bool { reading.isEmpty }

  func wasThereFirst(_ shardID: String) -> Bool { first.contains(shardID) }

  /// The shards that may be read and were not returned before; they count as being read from now on.
  mutating func start() -> [Shard] {
    let listedIDs = Set(listed.map(\.id))
    // A parent that is not listed any more was trimmed and holds up nobody.
    let unread = listedIDs.subtracting(skipped).subtracting(started).union(reading).union(left)
    let startable = listed.filter { shard in
      !started.contains(shard.id) && !skipped.contains(shard.id) && unread.isDisjoint(with: shard.parentIDs)
    }
    reading.formUnion(startable.map(\.id))
    started.formUnion(startable.map(\.id))
    return startable
  }

  /// - Parameter shards: all that the stream has now.
  mutating func end(_ shardID: String, listed shards: [Shard]) {
    reading.remove(shardID)
    listed = shards
  }

  /// The shard is read no more though it has not ended, so its children never become startable.
  mutating func leave(_ shardID: String) {
    reading.remove(shardID)
    left.insert(shardID)
  }
}
