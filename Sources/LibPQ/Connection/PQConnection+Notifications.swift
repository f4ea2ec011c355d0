import CLibPQ

extension PQConnection {
  /// Subscribes to a channel. Notifications arrive while the connection runs other statements, too, and between
  /// the statements of others; not within a transaction.
  ///
  /// The stream finishes when the connection is lost or closed; the connection stays subscribed until then. A
  /// reader that falls behind by more than 16 384 notifications misses the oldest of them.
  public func listen(to channel: String) async throws -> AsyncStream<PQNotification> {
    try await takeTurn()
    defer { turns.release() }
    let (stream, continuation) = AsyncStream.makeStream(
      of: PQNotification.self,
      bufferingPolicy: .bufferingNewest(16_384)
    )
    lastListenerID += 1
    let id = lastListenerID
    // Before LISTEN, since the first notification may come with its answer.
    listeners[channel, default: [:]][id] = continuation
    continuation.onTermination = { [weak self, loop] _ in
      loop.execute { [weak self] in
        self?.assumeIsolated { _ = $0.listeners[channel]?.removeValue(forKey: id) }
      }
    }
    do {
      _ = try await run([PQStatement("LISTEN \(identifier: channel)")], prepares: false)
    } catch {
      continuation.finish()
      throw error
    }
    return stream
  }

  func deliverNotifications() {
    while let connection = try? handle.get(), let notify = PQnotifies(connection) {
      defer { PQfreemem(notify) }
      let notification = PQNotification(
        channel: String(cString: notify.pointee.relname),
        payload: String(cString: notify.pointee.extra),
        processID: notify.pointee.be_pid
      )
      for listener in listeners[notification.channel, default: [:]].values { listener.yield(notification) }
    }
  }
}
