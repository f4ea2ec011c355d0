import LibPQ
import Logging
import Tidemark
import TidemarkPostgres

extension PatientLock {
  /// A lock on a user's table. The functions that take it have a `lock_timeout` of their own.
  static func on(
    table: Int64?,
    purpose: String,
    pool: PQPool,
    logger: Logger,
    clock: any MonotonicClock = ContinuousClock()
  ) -> PatientLock {
    PatientLock(
      purpose: purpose,
      lock: "a lock on the table",
      holding: "it is held by",
      patience: .seconds(10),
      logger: logger,
      clock: clock,
      holders: { if let table { try await LockHolder.of(table: table, on: pool) } else { [] } }
    )
  }
}
