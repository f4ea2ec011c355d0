import LibPQ
import Logging
import Tidemark
import Waiting

/// How locks are taken that others may hold for long. Whoever comes after a statement that waits has to wait, too: so each
/// attempt is short (by a `lock_timeout`), and between two attempts nobody waits.
package struct PatientLock: Sendable {
  /// What needs the lock, at the head of a sentence: "Disabling the stream orders".
  let purpose: String
  /// "a lock on the table"
  let lock: String
  /// What its holders have, before their names: "it is held by".
  let holding: String
  /// The SQLSTATEs of an attempt that did not get it.
  let refusals: Set<String>
  /// All attempts together.
  let patience: Duration
  let logger: Logger
  let clock: any MonotonicClock
  let holders: @Sendable () async throws -> [LockHolder]

  /// - Parameter refusals: the SQLSTATEs of an attempt that did not get it; by default that of the time limit.
  package init(
    purpose: String,
    lock: String,
    holding: String,
    refusals: Set<String> = ["55P03"],
    patience: Duration,
    logger: Logger,
    clock: any MonotonicClock = ContinuousClock(),
    holders: @escaping @Sendable () async throws -> [LockHolder]
  ) {
    self.purpose = purpose
    self.lock = lock
    self.holding = holding
    self.refusals = refusals
    self.patience = patience
    self.logger = logger
    self.clock = clock
    self.holders = holders
  }

  /// Runs `body` until it has got its locks.
  ///
  /// - Throws: `sourceUnavailable` that names the sessions that hold them.
  package func taking<Result: Sendable>(_ body: () async throws -> Result) async throws -> Result {
    let deadline = clock.now.advanced(by: patience)
    var pause = DoublingDelay(from: .milliseconds(100), to: .seconds(2))
    var isTold = false
    while true {
      do {
        return try await body()
      } catch let error as PQError where error.sqlState.map(refusals.contains) ?? false {
        let holders = try await holders()
        if clock.now >= deadline { throw unavailable(holders, error) }
        if !isTold {
          isTold = true
          logger.warning("\(purpose) waits for \(lock)", metadata: holders.metadata)
        }
        try await clock.sleep(for: pause.next())
      }
    }
  }

  private func unavailable(_ holders: [LockHolder], _ error: PQError) -> TidemarkError {
    let own = error.message.hasPrefix("canceling statement") ? "" : " \(error.message.asSentence)"
    return TidemarkError(
      .sourceUnavailable,
      "\(purpose) did not get \(lock) within \(patience)"
        + (holders.isEmpty ? "." : ": \(holding) \(holders.list).") + own,
      advice: (holders.isEmpty ? "" : "\(holders.advice). ") + "Then try again: nothing has changed.",
      underlying: error
    )
  }
}
