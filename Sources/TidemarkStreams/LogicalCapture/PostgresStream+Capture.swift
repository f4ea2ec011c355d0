import LibPQ
import Logging
import Tidemark
import TidemarkPostgres
import Waiting

extension PostgresStream {
  private func capture(_ stream: StreamGeneration) -> LogicalCapture {
    LogicalCapture(PostgresCaptureStore(stream: stream.id, pool: pool), clock: clock, logger: logger)
  }

  /// Captures the stream's table whenever no other process does, until the task is cancelled or changes are lost.
  /// Whatever else goes wrong may pass, and the slot keeps the changes for as long.
  func captureForever(_ stream: StreamGeneration) async throws {
    var backoff = DoublingDelay(from: .milliseconds(100), to: .seconds(30))
    while true {
      let began = clock.now
      do {
        try await capture(stream).run()
        break
      } catch let error as TidemarkError where error.code == .captureLost {
        // Readers get an error when they reach its end. What was captured before is still theirs to read.
        logger.error(
          "The capture of the stream has ended",
          metadata: ["stream": "\(stream.fullName)", "error": "\(error)"]
        )
        break
      } catch let error as TidemarkError {
        if began.duration(to: clock.now) > .seconds(60) { backoff.reset() }
        let delay = backoff.next()
        logger.error(
          "Cannot capture the stream; the server keeps its changes until this succeeds",
          metadata: ["stream": "\(stream.fullName)", "error": "\(error)", "retry": "\(delay)"]
        )
        try await clock.sleep(for: delay)
      }
    }
    // Nobody rings it: the task stays until it is cancelled, because its end would be the pump's.
    await Alarm().wait()
    try Task.checkCancellation()
  }

  /// Returns once everything that was committed before is in the log, if the stream is captured by decoding.
  func captureCommitted(_ stream: StreamGeneration) async throws {
    guard let state = try await CaptureState.of(stream.id, on: pool) else { return }
    let mark = try await reading(.capture, on: pool) {
      try await pool.query("SELECT tidemark.mark_log(\(state.captureID))::text")[0].decode(String.self)
    }
    try await capture(stream).run(until: try CaptureState.place(mark))
  }
}
