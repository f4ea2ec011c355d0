import CLibPQ
import Foundation

/// What a connection's statement is waiting for.
struct SocketState {
  enum Wait {
    case result
    /// Any bytes from the server, or the end of sending.
    case progress
  }

  var watch: SocketWatch?
  var usesTLS = false
  var needsFlush = false
  var isPaused = false
  var wait = Wait.result
  var waiter: CheckedContinuation<Void, Never>?

  mutating func resumeWaiter() {
    waiter?.resume()
    waiter = nil
  }
}

extension PQConnection {
  /// The next of what libpq has for the statements that were sent; nil where it has NULL.
  ///
  /// - Parameter told: What the server said before; thrown when the connection is lost, as the better reason.
  func nextResult(_ told: PQError? = nil) async throws -> QueryResult? {
    flush()
    while failure == nil, PQisBusy(try handle.get()) == 1 { await wait(.result) }
    let connection = try handle.get()
    // What has arrived before the end can be read still; for more than that PQgetResult would block.
    if let failure, PQisBusy(connection) == 1 { throw told ?? failure }
    return PQgetResult(connection).map(QueryResult.init)
  }

  /// Waits until everything is sent, or the connection is lost.
  func waitForFlush() async {
    flush()
    while failure == nil, socket.needsFlush { await wait(.progress) }
  }

  func waitForInput() async {
    flush()
    if failure == nil { await wait(.progress) }
  }

  /// While nobody reads, the kernel's buffers fill up and the server stops sending.
  func pauseReading() {
    socket.isPaused = true
    updateInterest()
  }

  func resumeReading() {
    socket.isPaused = false
    updateInterest()
  }

  private func wait(_ wait: SocketState.Wait) async {
    socket.wait = wait
    await withCheckedContinuation { socket.waiter = $0 }
  }

  func flush() {
    guard let connection = try? handle.get() else { return }
    // A failed write is no end yet: the server's last message may be there to be read.
    socket.needsFlush = PQflush(connection) == 1
    updateInterest()
  }

  func updateInterest() {
    socket.watch?.events =
      (socket.isPaused ? 0 : Int16(POLLIN)) | (socket.needsFlush ? Int16(POLLOUT) : 0)
  }

  /// Called by the event loop.
  func socketIsReady() {
    guard failure == nil, let connection = try? handle.get() else { return }
    let neededFlush = socket.needsFlush
    var isAlive = PQconsumeInput(connection) == 1
    // A TLS record can be larger than the room that libpq had left, and what TLS keeps back makes no socket
    // readable: ask again, with the room that there is now.
    if isAlive, socket.usesTLS, socket.wait == .progress || PQisBusy(connection) == 1 {
      isAlive = PQconsumeInput(connection) == 1
    }
    if !isAlive {
      lose(lossError(connection))
      return
    }
    flush()
    deliverNotifications()
    let isDone =
      switch socket.wait {
      case .result: PQisBusy(connection) == 0
      case .progress: !neededFlush || !socket.needsFlush
      }
    guard isDone, socket.waiter != nil else { return }
    // Nothing more until the waiter has taken what is there: at the end of the stream libpq forgets the results
    // of a pipeline that were not fetched yet, the server's last words among them.
    socket.watch?.events = 0
    socket.resumeWaiter()
  }

  private func lossError(_ connection: OpaquePointer) -> PQError {
    let message = trimmed(String(cString: PQerrorMessage(connection)))
    return PQError(.connectionLost, message.isEmpty ? "The connection was lost." : message)
  }
}
