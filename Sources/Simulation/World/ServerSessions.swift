import Tidemark

/// What the world knows of each registered worker's session and heartbeats, kept apart from the store's own tables:
/// whether a worker that was declared dead had given reason for it.
struct ServerSessions {
  enum Evidence { case lostSession, oldHeartbeat }

  private struct Session {
    /// The newest beats, and how long the store had been reachable by then, all in all. What the store has lost of
    /// them is no beat to anybody.
    var beats: [(at: Duration, up: Duration)]
    var isCut = false
    /// The server has restarted since.
    var isOfAnEarlierServer = false
  }

  private var sessions: [WorkerIncarnation: Session] = [:]

  /// A heartbeat, or a registration, has arrived.
  /// - Parameters:
  ///   - now: the time on the server's clock.
  ///   - up: how long the store has been reachable by now.
  mutating func beat(_ incarnation: WorkerIncarnation, at now: Duration, up: Duration) {
    let earlier = sessions[incarnation]?.beats.suffix(99) ?? []
    sessions[incarnation] = Session(beats: earlier + [(now, up)])
  }

  mutating func cut(_ incarnation: WorkerIncarnation) { sessions[incarnation]?.isCut = true }

  /// The store has lost what came after that time.
  mutating func lose(after time: Duration) {
    for incarnation in sessions.keys { sessions[incarnation]?.beats.removeAll { $0.at > time } }
  }

  mutating func restart() {
    for incarnation in sessions.keys { sessions[incarnation]?.isOfAnEarlierServer = true }
  }

  func isOfAnEarlierServer(_ incarnation: WorkerIncarnation) -> Bool {
    sessions[incarnation]?.isOfAnEarlierServer ?? false
  }

  /// A reason to take a worker for dead; `nil` if there is none.
  ///
  /// The session counts only if it was lost by itself, on the server that runs. An old heartbeat counts only if the
  /// store was there for a good part of the time in which the worker should have sent another.
  func evidence(
    against incarnation: WorkerIncarnation,
    failover: Duration,
    at now: Duration,
    up: Duration
  ) -> Evidence? {
    guard let session = sessions[incarnation] else { return nil }
    if session.isCut && !session.isOfAnEarlierServer { return .lostSession }
    // All that is known of its beats is lost.
    guard let last = session.beats.last else { return .oldHeartbeat }
    let hadChance = up - last.up >= failover / 4
    return now - last.at > failover && hadChance ? .oldHeartbeat : nil
  }
}
