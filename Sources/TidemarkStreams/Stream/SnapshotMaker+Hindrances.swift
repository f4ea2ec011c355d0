import LibPQ
import Logging
import Tidemark
import TidemarkPostgres
import Waiting

/// Why an attempt to make a snapshot was given up. Another one may be luckier.
struct SnapshotHindrance: Error {
  var reason: String
}

extension SnapshotMaker {
  private static let look = Duration.milliseconds(200)

  /// Makes attempts until one is not hindered. What an attempt has locked is free between two of them.
  func untilUnhindered<Result: Sendable>(_ attempt: @Sendable () async throws -> Result) async throws
    -> Result
  {
    var pause = DoublingDelay(from: .seconds(1), to: .seconds(60))
    while true {
      do {
        return try await attempt()
      } catch let error {
        guard let hindrance = Self.hindrance(error) else { throw error }
        let delay = pause.next()
        logger.warning(
          "Giving the snapshot up; it begins again after a pause",
          metadata: metadata(copied: 0).merging(["reason": "\(hindrance.reason)", "retry": "\(delay)"]) { $1 }
        )
        try await clock.sleep(for: delay)
      }
    }
  }

  /// Nobody's fault, and nothing that lasts: a lock that was not free, a place that has passed.
  private static func hindrance(_ error: any Error) -> SnapshotHindrance? {
    switch error {
    case let error as SnapshotHindrance: error
    case let error as PQError
    where ["40001", "55P03"].contains(error.sqlState) || error.isUnknownPartition:
      SnapshotHindrance(reason: error.message)
    default: nil
    }
  }

  /// Runs `body` unless somebody waits for the table that the session `pid` has locked. The next rows are copied by other
  /// sessions, whose locks would come after that one's: both would wait for ever, and everybody else after them.
  func givingWay<Result: Sendable>(
    to table: Int64,
    by pid: Int32,
    _ body: @escaping @Sendable () async throws -> Result
  ) async throws -> Result {
    try await withThrowingTaskGroup(of: Result?.self) { group in
      group.addTask { try await body() }
      group.addTask {
        try await findWaiting(for: pid, table)
        return nil
      }
      defer { group.cancelAll() }
      while let result = try await group.next() {
        if let result { return result }
      }
      throw CancellationError()
    }
  }

  /// - Throws: ``SnapshotHindrance`` once somebody has been seen to wait twice.
  private func findWaiting(for pid: Int32, _ table: Int64) async throws {
    var before: Set<String> = []
    while true {
      try await clock.sleep(for: Self.look)
      let waiting = Set(try await LockHolder.waiting(for: pid, of: table, on: pool).map(\.description))
      if let first = waiting.intersection(before).sorted().first {
        throw SnapshotHindrance(reason: "it gives way to \(first), which waits for the table")
      }
      before = waiting
    }
  }
}
