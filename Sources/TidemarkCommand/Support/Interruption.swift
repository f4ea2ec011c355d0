import ArgumentParser
import UnixSignals

/// Runs `body` and cancels it at the first SIGINT, SIGTERM or SIGHUP, so that what it started is ended
/// properly.
///
/// - Throws: what `body` throws; after a signal a ``CommandFailure`` with the shell's exit code for it.
func endingOnSignals<Success: Sendable>(
  _ body: @escaping @Sendable () async throws -> Success
) async throws -> Success {
  let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
  return try await withThrowingTaskGroup(of: Event<Success>?.self) { group in
    group.addTask {
      do { return .ended(.success(try await body())) } catch { return .ended(.failure(error)) }
    }
    group.addTask { await signals.first { _ in true }.map { .interrupted($0) } }
    var signal: UnixSignal?
    while let event = try await group.next() {
      switch event {
      case .interrupted(let received):
        signal = received
      case .ended(.success(let success)):
        group.cancelAll()
        return success
      case .ended(.failure(let error)):
        group.cancelAll()
        guard let signal else { throw error }
        throw CommandFailure("Interrupted.", exitCode: ExitCode(128 + signal.rawValue))
      case nil: continue
      }
      group.cancelAll()
    }
    throw CancellationError()
  }
}

private enum Event<Success: Sendable>: Sendable {
  case ended(Result<Success, any Error>)
  case interrupted(UnixSignal)
}
