import LibPQ
import Logging
import Tidemark
import TidemarkPostgres
import Waiting

/// Keeps a pump going on one connection after the other, until the task is cancelled.
struct PumpDriver: Sendable {
  var batchingInterval: Duration
  var pollInterval: Duration
  var clock: any MonotonicClock
  var logger: Logger

  /// Trouble with the database is logged and ridden out.
  func drive(_ pump: StreamPump) async throws {
    var backoff = DoublingDelay(from: .milliseconds(100), to: .seconds(2))
    while true {
      try Task.checkCancellation()
      do {
        try await reading(.stream, on: pump.pool) {
          try await pump.pool.withConnection { connection in
            do {
              let session = PumpSession(
                pump: pump,
                connection: connection,
                isPooled: await connection.isPooled,
                pollInterval: pollInterval,
                clock: clock,
                logger: logger
              )
              pump.schedule { $0.begin(batchingInterval: batchingInterval, pollInterval: pollInterval) }
              try await session.run { backoff.reset() }
            } catch {
              // It listens to its end, so it must not go back to the pool.
              await connection.close()
              throw error
            }
          }
        }
      } catch let error as TidemarkError where error.isRetryable {
        let delay = backoff.next()
        logger.warning("Cannot advance the streams", metadata: ["error": "\(error)", "retry": "\(delay)"])
        try await clock.sleep(for: delay)
      }
    }
  }
}
