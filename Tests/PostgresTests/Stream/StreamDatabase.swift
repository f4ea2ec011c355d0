import Foundation
import LibPQ
import Logging
import Synchronization
import TestSupport
import Tidemark

@testable import TidemarkPostgres
@testable import TidemarkStreams

/// A migrated database of a test's own.
struct StreamDatabase: Sendable {
  let url: String
  let pool: PQPool
  let admin: PostgresStreamAdmin

  static let logger = Logger(label: "tidemark.test") { _ in SwiftLogNoOpLogHandler() }

  static func make(encoding: String? = nil, connections: Int = 6) async throws -> StreamDatabase {
    try await make(
      at: try await TestServer.shared().makeDatabase(encoding: encoding),
      connections: connections
    )
  }

  /// In a database that is there and empty.
  static func make(at url: String, connections: Int = 6) async throws -> StreamDatabase {
    let pool = try makePool(url, connections: connections)
    try await Migrator.migrateUnderTest(pool, logger: logger)
    return StreamDatabase(url: url, pool: pool, admin: PostgresStreamAdmin(pool))
  }

  static func makePool(
    _ url: String,
    connections: Int,
    settings: [String: String] = [:]
  ) throws -> PQPool {
    var configuration = try PQConfiguration(url: url)
    configuration.settings = settings
    return PQPool(configuration, maximumConnections: connections, logger: logger)
  }

  /// A stream with connections of its own, as another process would have.
  func stream(_ name: String, connections: Int = 6) throws -> PostgresStream {
    PostgresStream(name, pool: try Self.makePool(url, connections: connections), logger: Self.logger)
  }

  func leases() throws -> PostgresLeaseStore {
    PostgresLeaseStore(try PQConfiguration(url: url), pool: pool, logger: Self.logger)
  }

  func run(_ sql: String) async throws {
    try await pool.withConnection { try await $0.executeScript(sql) }
  }

  /// Deletes expired rows of the first stream's table as maintenance does.
  func expireRows(atMost maximumRows: Int = 500) async throws -> Int {
    try await admin.expireRows(of: 1, atMost: maximumRows).deleted
  }

  func text(_ sql: String) async throws -> String? {
    let value = try await pool.query(PQStatement(stringLiteral: sql))[0].decode(String?.self)
    return value
  }

  func number(_ sql: String) async throws -> Int64 {
    try await pool.query(PQStatement(stringLiteral: sql))[0].decode(Int64.self)
  }
}

extension PostgresStream {
  /// Reads shard by shard, children after all their parents, what is committed now, or to the end of all shards.
  ///
  /// - Parameter untilEnd: wait for every shard's end.
  func readAll(untilEnd: Bool = false, maximumRecords: Int = 1000) async throws -> [Record] {
    if !untilEnd {
      // With all of it in the log, an empty page says that there is no more.
      try await sequenceCommitted()
    }
    let listed = try await shards()
    let known = Set(listed.map(\.id))
    var records: [Record] = []
    var finished: Set<String> = []
    var started: Set<String> = []
    try await withThrowingTaskGroup(of: (String, [Record], [Shard]).self) { group in
      func start(_ shards: [Shard]) {
        let isFirst = started.isEmpty
        for shard in shards where !started.contains(shard.id) {
          guard
            shard.parentIDs.allSatisfy({ finished.contains($0) || !known.contains($0) && isFirst })
          else { continue }
          started.insert(shard.id)
          group.addTask {
            let (records, children) = try await self.read(shard.id, untilEnd: untilEnd, maximumRecords)
            return (shard.id, records, children)
          }
        }
      }
      start(listed.filter { $0.parentIDs.allSatisfy { !known.contains($0) } })
      while let (id, part, children) = try await group.next() {
        records += part
        finished.insert(id)
        start(children)
      }
    }
    return records
  }

  private func read(
    _ shardID: String,
    untilEnd: Bool,
    _ maximumRecords: Int
  ) async throws -> ([Record], [Shard]) {
    let reader = try await reader(of: shardID, after: .trimHorizon)
    var records: [Record] = []
    while true {
      let page = try await reader.nextPage(maximumRecords: maximumRecords)
      records += page.records
      if let end = page.end { return (records, end.children) }
      if page.records.isEmpty, !untilEnd { return (records, []) }
    }
  }
}

extension Record {
  /// Event name, keys, old and new image, for comparison with what a test expects.
  var summary: String {
    guard let change else { return "DATA \(partitionKey)" }
    var text = "\(change.eventName.rawValue) \(change.keys)"
    if let old = change.oldImage { text += " old \(old)" }
    if let new = change.newImage { text += " new \(new)" }
    return text
  }
}

/// Runs `body` while the streams are pumped.
func pumping<Result: Sendable>(
  _ streams: PostgresStream...,
  body: @Sendable () async throws -> Result
) async throws -> Result {
  try await withThrowingTaskGroup(of: Void.self) { group in
    for stream in streams { group.addTask { try await stream.run() } }
    defer { group.cancelAll() }
    return try await body()
  }
}

/// A number that tasks share.
final class SharedCounter: Sendable {
  private let count = Mutex(0)

  var value: Int { count.withLock { $0 } }

  func add(_ number: Int = 1) { count.withLock { $0 += number } }

  /// The next numbers, which nobody else takes.
  func take(_ number: Int) -> ClosedRange<Int> {
    count.withLock { count in
      count += number
      return (count - number + 1)...count
    }
  }
}
