import Logging
import PostgresClient
import Tidemark

/// Captures the changes of one stream's table from its replication slot.
///
/// Any number of processes may do this for a stream: the slot lets one in at a time, and the others look now and then
/// whether it is free. Whoever is taken for dead and is not cannot append any more, because each append is made on the
/// condition that the log ends where the appender thinks it does.
package struct LogicalCapture: Sendable {
  /// How often it is looked whether the slot is free.
  static let standby = Duration.milliseconds(400)

  let store: any CaptureStore
  let clock: any MonotonicClock
  let logger: Logger
  /// Called after each append.
  var onAppend: @Sendable () -> Void

  package init(
    _ store: any CaptureStore,
    clock: any MonotonicClock,
    logger: Logger,
    onAppend: @escaping @Sendable () -> Void = {}
  ) {
    self.store = store
    self.clock = clock
    self.logger = logger
    self.onAppend = onAppend
  }

  /// Captures until the task is cancelled, the stream is disabled, or everything before `target` is in the log.
  ///
  /// - Throws: `captureLost` when the slot is lost, and changes with it.
  package func run(until target: PostgresLSN? = nil) async throws {
    var backoff = DoublingDelay(from: .milliseconds(50), to: .seconds(2))
    var turn = DoublingDelay(from: .milliseconds(2), to: Self.standby)
    var hold = DoublingDelay(from: .milliseconds(2), to: .milliseconds(50))
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
      } catch let error as PostgresError where error.sqlState == "55006" {
        // Somebody else was faster.
      } catch is StaleCapture {
        logger.debug("The capture begins again", metadata: ["stream": "\(state.source.stream)"])
      } catch let error as PostgresError where error.sqlState == "55000" || error.sqlState == "42704" {
        throw try await lost(error)
      } catch let error as PostgresError where error.code == .cancelled {
        throw CancellationError()
      } catch let error where error.isWorthAnotherTry {
        try Task.checkCancellation()
        let delay = backoff.next()
        logger.warning("The capture was cut short", metadata: ["error": "\(error)", "retry": "\(delay)"])
        try await clock.sleep(for: delay)
      } catch let error as PostgresError {
        throw TidemarkError(streamError: error)
      }
    }
  }

  /// Ends the stream with the reason, unless it was something that passes.
  private func lost(_ error: PostgresError? = nil) async throws -> any Error {
    if let reason = try await store.endIfLost() { return TidemarkError.captureLost(reason) }
    return error.map { TidemarkError(streamError: $0) } ?? CancellationError()
  }
}

extension Error {
  fileprivate var isWorthAnotherTry: Bool {
    switch self {
    case let error as PostgresError: error.isRetryable && error.code != .cancelled
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
        "Bring what you derive from it in line with the table, enable the stream again, and see that a process "
        + "always captures it (PostgresStream.run) or allow the slot more write-ahead log."
    )
  }
}
