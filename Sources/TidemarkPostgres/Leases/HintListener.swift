import LibPQ
import Synchronization

/// One reader of a worker's hints, across the sessions that the worker opens one after the other.
final class HintListener: Sendable {
  private let session: WorkerSession
  private let heard = Mutex<AsyncStream<PQNotification>?>(nil)

  init(_ session: WorkerSession) {
    self.session = session
  }

  /// Waits for a change; `nil` when there will be none any more.
  func next() async -> Void? {
    while !Task.isCancelled {
      if let stream = heard.withLock({ $0 }) {
        for await _ in stream { return () }
        heard.withLock { $0 = nil }
      }
      guard let stream = await session.listen() else { return nil }
      heard.withLock { $0 = stream }
      // Whatever was announced before was not heard.
      return ()
    }
    return nil
  }
}
