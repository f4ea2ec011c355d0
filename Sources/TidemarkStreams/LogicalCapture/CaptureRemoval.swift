import LibPQ
import Logging
import Tidemark
import TidemarkPostgres
import Waiting

/// Removes slot and publication of a capture whose stream is not enabled, and restores its table's REPLICA IDENTITY.
struct CaptureRemoval: Sendable {
  /// For how long it tries to get the table to itself for a moment.
  private static let patience = Duration.seconds(1)
  private static let limit = Duration.seconds(15)

  let capture: Int32
  let table: Int64
  let pool: PQPool
  let logger: Logger
  let clock: any MonotonicClock

  /// Goes on also when the task is cancelled, but not for ever.
  func run() async throws {
    try await Task {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await reading(.schema) { try await remove() } }
        group.addTask {
          try await clock.sleep(for: Self.limit)
          throw TidemarkError(.sourceUnavailable, "The database did not answer within \(Self.limit).")
        }
        defer { group.cancelAll() }
        try await group.next()
      }
    }.value
  }

  private func remove() async throws {
    let deadline = clock.now.advanced(by: Self.patience)
    var pause = DoublingDelay(from: .milliseconds(50), to: .milliseconds(400))
    while try await !tryToRemove() {
      if clock.now >= deadline {
        let holders = try await LockHolder.of(table: table, on: pool)
        logger.warning(
          "The table keeps REPLICA IDENTITY FULL until a worker or 'tidemark stream' finds it unused for a moment",
          metadata: holders.metadata
        )
        return
      }
      try await clock.sleep(for: pause.next())
    }
  }

  private func tryToRemove() async throws -> Bool {
    do {
      return try await pool.query("SELECT tidemark.drop_unused_capture(\(capture))")[0].decode(Bool.self)
    } catch let error as PQError where error.sqlState == "55P03" {
      return false
    }
  }
}
