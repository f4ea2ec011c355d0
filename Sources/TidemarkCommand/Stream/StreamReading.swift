import Tidemark

/// Reads all shards of a stream at once, each after its parents.
struct StreamReading: Sendable {
  /// The most records that are read at a time.
  private static let pageSize = 1000

  private struct Cursor: Sendable {
    var shardID: String
    /// One that is closed is read to its end, however many pages before that are empty.
    var isOpen: Bool
    var reader: any ShardReader
    /// In a row, of those that say that nothing more is waiting.
    var emptyPages = 0
    /// When the shard's first page was read, by the stream's clock.
    var began: Timestamp?
  }

  private let stream: any StreamSource
  private let start: Checkpoint
  private let follow: Bool
  private let emptyPagesAtTip: Int

  /// - Parameters:
  ///   - start: where to begin in the shards that are there now; later ones are read from their beginning.
  ///   - follow: wait for more when all that is there now was read.
  ///   - emptyPagesAtTip: so many in a row mean that an open shard has no more; for a source that cannot tell.
  init(_ stream: any StreamSource, from start: Checkpoint, follow: Bool, emptyPagesAtTip: Int = 1) {
    self.stream = stream
    self.start = start
    self.follow = follow
    self.emptyPagesAtTip = emptyPagesAtTip
  }

  /// Calls `body` with a shard and its next records, until it returns `false` or all is read. The pages of
  /// different shards come as they are read.
  func forEachPage(_ body: (String, [Record]) throws -> Bool) async throws {
    var lineage = LineageOrder(try await stream.shards(), skipsClosed: start == .latest)
    try await withThrowingTaskGroup(of: (Cursor, ShardPage)?.self) { group in
      defer { group.cancelAll() }
      group.addTask {
        try await stream.run()
        return nil
      }
      open(lineage.start(), of: lineage, in: &group)
      while !lineage.isOver, let result = try await group.next() {
        // Most sources have nothing to do beside their readers.
        guard let (cursor, page) = result else { continue }
        if !page.records.isEmpty, try !body(cursor.shardID, page.records) { return }
        if page.end != nil {
          lineage.end(cursor.shardID, listed: try await stream.shards())
          open(lineage.start(), of: lineage, in: &group)
        } else if !follow, hasCaughtUp(cursor, page) {
          lineage.leave(cursor.shardID)
        } else {
          group.addTask { try await next(cursor) }
        }
      }
    }
  }

  private func open(
    _ shards: [Shard],
    of lineage: LineageOrder,
    in group: inout ThrowingTaskGroup<(Cursor, ShardPage)?, any Error>
  ) {
    for shard in shards {
      let position = lineage.wasThereFirst(shard.id) ? start : shard.beginning
      group.addTask {
        let reader = try await stream.reader(of: shard.id, after: position)
        return try await next(Cursor(shardID: shard.id, isOpen: shard.isOpen, reader: reader))
      }
    }
  }

  private func next(_ cursor: Cursor) async throws -> (Cursor, ShardPage) {
    let page = try await cursor.reader.nextPage(maximumRecords: Self.pageSize)
    var cursor = cursor
    cursor.began = cursor.began ?? page.readAt
    cursor.emptyPages = page.records.isEmpty && page.millisBehindLatest == 0 ? cursor.emptyPages + 1 : 0
    return (cursor, page)
  }

  /// Whether what was there in the beginning is read: a stream that is written to all the time has no end.
  private func hasCaughtUp(_ cursor: Cursor, _ page: ShardPage) -> Bool {
    guard cursor.isOpen else { return false }
    guard let last = page.records.last else { return cursor.emptyPages >= emptyPagesAtTip }
    return cursor.began.map { last.approximateCreationTime > $0 } ?? false
  }
}
