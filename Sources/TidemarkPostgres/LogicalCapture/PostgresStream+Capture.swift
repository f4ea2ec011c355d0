import Logging
import PostgresClient
import Tidemark

extension PostgresStream {
  private func capture(_ stream: StreamGeneration, onAppend: @escaping @Sendable () -> Void = {})
    -> LogicalCapture
  {
    LogicalCapture(stream: stream.id, pool: pool, clock: clock, logger: logger, onAppend: onAppend)
  }

  /// Captures the stream's table whenever no other process does, until the task is cancelled.
  func captureForever(_ stream: StreamGeneration, alarm: Alarm) async throws {
    do {
      try await capture(stream) { alarm.ring() }.run()
    } catch let error as TidemarkError where !error.isRetryable {
      // Readers are told when they get to its end. What was captured before is still theirs to read.
      logger.error("The stream is not captured any more", metadata: ["error": "\(error)"])
    }
    // Nobody rings it: the task stays until it is cancelled, because its end would be the pump's.
    await Alarm().wait()
    try Task.checkCancellation()
  }

  /// Returns once everything that was committed before is in the log, if the stream is captured by decoding.
  func captureCommitted(_ stream: StreamGeneration) async throws {
    guard let state = try await CaptureState.of(stream.id, on: pool) else { return }
    let mark = try await mappingStreamErrors {
      try await pool.query("SELECT tidemark.mark_log(\(state.captureID))::text")[0].decode(String.self)
    }
    try await capture(stream).run(until: try CaptureState.place(mark))
  }
}
