import LibPQ
import Logging
import Tidemark
import TidemarkPostgres
import Waiting

/// Captures the changes of one stream's table from its replication slot.
///
/// Any number of processes may do this for a stream: the slot lets one in at a time, and the others look now and then
/// whether it is free. Whoever is taken for dead and is not cannot append any more, because each append is made on the
/// condition that the log ends where the appender thinks it does.
package struct LogicalCapture: Sendable {
  /// How often to check whether the slot is free.
  static let standby = Duration.milliseconds(400)
  /// How often a change that cannot be captured is tried again. Its types are looked up each time.
  static let poisonAttempts = 6

  let store: any CaptureStore
  let clock: any MonotonicClock
  let logger: Logger

  package init(_ store: any CaptureStore, clock: any MonotonicClock, logger: Logger) {
    self.store = store
    self.clock = clock
    self.logger = logger
  }

  /// Captures until the task is cancelled, the stream is disabled, or everything before `target` is in the log.
  ///
  /// - Throws: `captureLost` when the slot is lost, and changes with it, or when a change cannot be captured, and those after
  ///   it therefore neither.
  package func run(until target: PQLSN? = nil) async throws {
    var backoff = DoublingDelay(from: .milliseconds(50), to: .seconds(2))
    var turn = DoublingDelay(from: .milliseconds(2), to: Self.standby)
    var hold = DoublingDelay(from: .milliseconds(2), to: .milliseconds(50))
    var poison = Poison()
    while let state = try await store.state() {
      try Task.checkCancellation()
      guard let slot = state.slot else { throw try await lost() }
      if let target, let confirmed = slot.confirmed, confirmed >= target { return }
      if state.isHeld {
        try await clock.sleep(for: hold.next())
        continue
      }
      hold.reset()
      if slot.isActive {
        try await clock.sleep(for: turn.next())
        continue
      }
      // A session of one's own that has just ended has the slot for a moment yet.
      turn.reset()
      do {
        try await CaptureSession(self, state, slot: slot.name, target: target).run { backoff.reset() }
      } catch let error as PQError where error.sqlState == "55006" {
        // Somebody else was faster.
      } catch is StaleCapture {
        logger.debug("The capture begins again", metadata: ["stream": "\(state.source.stream)"])
      } catch let error as PQError where error.sqlState == "55000" || error.sqlState == "42704" {
        if let reason = try await store.endIfLost() { throw TidemarkError.captureLost(reason) }
        // The slot is there, so it is the publication that is not, or was not when the next change was made.
        guard error.sqlState == "42704" else { throw TidemarkError(error, of: .capture) }
        try await endOrWait(&poison, at: state.position, error)
      } catch let error as PoisonedCapture {
        try await endOrWait(&poison, at: state.position, error.cause)
      } catch let error as PQError where error.code == .cancelled {
        throw CancellationError()
      } catch let error where error.isWorthAnotherTry {
        try Task.checkCancellation()
        let delay = backoff.next()
        logger.warning("The capture was cut short", metadata: ["error": "\(error)", "retry": "\(delay)"])
        try await clock.sleep(for: delay)
      } catch let error as PQError {
        throw TidemarkError(error, of: .capture)
      }
    }
  }

  /// What was tried of a change that cannot be captured.
  private struct Poison {
    var position: CapturePosition?
    var attempts = 0
    var pause = DoublingDelay(from: .milliseconds(50), to: .seconds(2))
  }

  /// Ends the stream with the reason if the change at this place has been tried often enough.
  private func endOrWait(_ poison: inout Poison, at position: CapturePosition, _ error: any Error)
    async throws
  {
    if poison.position != position { poison = Poison(position: position) }
    poison.attempts += 1
    let message = (error as? TidemarkError)?.message ?? (error as? PQError)?.message ?? "\(error)"
    let what = message.hasSuffix(".") ? String(message.dropLast()) : message
    if poison.attempts >= Self.poisonAttempts {
      let reason = "Tidemark cannot capture the change after \(position.lsn) (\(what))"
      try await store.end(because: reason)
      throw TidemarkError.captureLost(reason)
    }
    let delay = poison.pause.next()
    logger.warning("Cannot capture a change", metadata: ["error": "\(what)", "retry": "\(delay)"])
    try await clock.sleep(for: delay)
  }

  private func lost() async throws -> any Error {
    if let reason = try await store.endIfLost() { return TidemarkError.captureLost(reason) }
    return CancellationError()
  }
}

extension Error {
  fileprivate var isWorthAnotherTry: Bool {
    switch self {
    case let error as PQError: error.isRetryable && error.code != .cancelled
    case let error as TidemarkError: error.isRetryable
    default: false
    }
  }
}

/// Another process has appended meanwhile, or how far it may go was decided.
struct StaleCapture: Error {}

extension TidemarkError {
  static func captureLost(_ reason: String) -> TidemarkError {
    TidemarkError(
      .captureLost,
      "The stream has ended before it was disabled, and changes of its table are missing: \(reason).",
      advice:
        "Bring what you derive from it in line with the table, and enable the stream again. If its slot was lost, see that "
        + "a process always captures (PostgresStream.run), or allow the slot more write-ahead log."
    )
  }
}
