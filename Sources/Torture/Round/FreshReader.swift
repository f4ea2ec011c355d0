import FleetDrill
import LibPQ
import Tidemark
import TidemarkPostgres
import TidemarkStreams

/// Reads a whole stream from `TRIM_HORIZON`, as an application would that comes late.
struct FreshReader: Sendable {
  private struct Row: Decodable {
    var version: Int64
    var size: Int?
    var filled: Int64?
    var filling: String?
  }

  let stream: String
  let pool: PQPool

  /// - Parameter endedEarly: the stream says that it lost its capture; its end is where that is met.
  /// - Returns: the records in the order of their numbers.
  func read(endedEarly: Bool) async throws -> [LogJudge.Entry] {
    let source = PostgresStream(stream, pool: pool, logger: Settings.logger)
    if !endedEarly { try await source.sequenceCommitted() }
    let shards = try await source.shards()
    return try await withThrowingTaskGroup(of: [LogJudge.Entry].self) { group in
      for shard in shards { group.addTask { try await read(shard, of: source, endedEarly: endedEarly) } }
      return try await group.reduce(into: []) { $0 += $1 }.sorted { $0.sequence < $1.sequence }
    }
  }

  private func read(_ shard: Shard, of source: PostgresStream, endedEarly: Bool) async throws -> [LogJudge
    .Entry]
  {
    let reader = try await source.reader(of: shard.id, after: .trimHorizon)
    var entries: [LogJudge.Entry] = []
    do {
      while true {
        let page = try await reader.nextPage(maximumRecords: 1000)
        for record in page.records {
          if let entry = try Self.entry(record) { entries.append(entry) }
        }
        if page.records.isEmpty || page.end != nil { return entries }
      }
    } catch let error as TidemarkError where error.code == .captureLost && endedEarly {
      return entries
    }
  }

  private static func entry(_ record: Record) throws -> LogJudge.Entry? {
    guard let change = record.change, let number = record.sequenceNumber.uint64Value else { return nil }
    let (old, new) = (try change.oldImage?.decode(as: Row.self), try change.newImage?.decode(as: Row.self))
    var state = ItemState(oldVersion: old?.version, size: new?.size, filled: new?.filled)
    for row in [old, new].compactMap({ $0 }) where !isFilled(row) { state.filled = -1 }
    return LogJudge.Entry(sequence: number, change: try OrderChange(change), state: state)
  }

  /// A large value says itself what it has to be.
  private static func isFilled(_ row: Row) -> Bool {
    guard let filling = row.filling, let size = row.size, let filled = row.filled else { return false }
    let unit = Array("\(filled) ".utf8)
    guard filling.utf8.count == size else { return false }
    return filling.utf8.enumerated().allSatisfy { $1 == unit[$0 % unit.count] }
  }
}
