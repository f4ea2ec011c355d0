import LibPQ
import Logging
import Tidemark
import TidemarkPostgres
import Waiting

/// How a lock on a user's table is taken that others may hold for long. Whoever comes after a statement that waits has
/// to wait, too: so each attempt is short (the functions' own `lock_timeout`), and between two attempts nobody waits.
struct TableLock {
  /// All attempts together.
  static let patience = Duration.seconds(10)

  let table: Int64?
  /// What needs the lock, for the log: "Disabling the stream orders".
  let purpose: String
  let pool: PQPool
  let logger: Logger
  var clock: any MonotonicClock = ContinuousClock()

  /// Runs `body` until it has got its locks.
  ///
  /// - Throws: `sourceUnavailable` that names the sessions that hold the lock.
  func taking<Result: Sendable>(_ body: () async throws -> Result) async throws -> Result {
    let deadline = clock.now.advanced(by: Self.patience)
    var pause = DoublingDelay(from: .milliseconds(100), to: .seconds(2))
    var isTold = false
    while true {
      do {
        return try await body()
      } catch let error as PQError where error.sqlState == "55P03" {
        let holders = try await holders()
        if clock.now >= deadline { throw unavailable(holders, error) }
        if !isTold {
          isTold = true
          logger.warning("\(purpose) waits for a lock on the table", metadata: holders.metadata)
        }
        try await clock.sleep(for: pause.next())
      }
    }
  }

  private func holders() async throws -> [LockHolder] {
    guard let table else { return [] }
    return try await LockHolder.of(table: table, on: pool)
  }

  private func unavailable(_ holders: [LockHolder], _ error: PQError) -> TidemarkError {
    TidemarkError(
      .sourceUnavailable,
      "\(purpose) did not get a lock on the table within \(Self.patience)"
        + (holders.isEmpty ? "." : ": it is held by \(holders.list)."),
      advice: (holders.isEmpty ? "" : "\(holders.advice). ") + "Then try again: nothing has changed.",
      underlying: error
    )
  }
}
