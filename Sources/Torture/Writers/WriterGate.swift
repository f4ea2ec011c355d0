import LibPQ
import Synchronization

/// What the writers are to do now, and what came of it.
final class WriterGate: Sendable {
  struct Prepared: Sendable {
    var name: String
    var commits: Bool
    var due: ContinuousClock.Instant
  }

  struct Figures: Sendable {
    var transactions = 0
    var rollbacks = 0
    /// Transactions that the server refused because of others, or lost, by SQLSTATE.
    var refusals: [String: Int] = [:]
    var prepared = 0
    /// Errors that writers must not see.
    var wrong: [String] = []
  }

  private struct State {
    var pool: PQPool
    var phase = RoundPlan.Phase.Kind.idle
    var isStopped = false
    var isPaused = false
    var busy = 0
    var prepared: [Prepared] = []
    var figures = Figures()
  }

  private let state: Mutex<State>

  init(pool: PQPool) {
    state = Mutex(State(pool: pool))
  }

  var phase: RoundPlan.Phase.Kind {
    get { state.withLock(\.phase) }
    set { state.withLock { $0.phase = newValue } }
  }
  var pool: PQPool { state.withLock(\.pool) }
  var figures: Figures { state.withLock(\.figures) }
  var isStopped: Bool { state.withLock(\.isStopped) }

  func stop() { state.withLock { $0.isStopped = true } }

  /// Returns once no writer is in a transaction; those that are prepared may be.
  func pause() async throws {
    state.withLock { $0.isPaused = true }
    while state.withLock({ $0.busy > 0 }) { try await ContinuousClock().sleep(for: .milliseconds(5)) }
  }

  /// - Parameter pool: where to go on, if not in the same database.
  func resume(on pool: PQPool? = nil) {
    state.withLock { state in
      if let pool { state.pool = pool }
      state.isPaused = false
    }
  }

  /// Another database from here on; what is under way fails or not.
  func move(to pool: PQPool) {
    state.withLock { state in
      state.pool = pool
      state.prepared = []
    }
  }

  /// - Returns: where to write; `nil` while nobody may. Followed by ``leave()``.
  func enter() -> PQPool? {
    state.withLock { state in
      guard !state.isPaused, !state.isStopped else { return nil }
      state.busy += 1
      return state.pool
    }
  }

  func leave() { state.withLock { $0.busy -= 1 } }

  func note(_ change: (inout Figures) -> Void) { state.withLock { change(&$0.figures) } }

  func add(_ prepared: Prepared) { state.withLock { $0.prepared.append(prepared) } }

  /// A prepared transaction whose second phase is due.
  func takeDue() -> (prepared: Prepared, pool: PQPool)? {
    state.withLock { state in
      state.prepared.firstIndex { $0.due <= .now }.map { (state.prepared.remove(at: $0), state.pool) }
    }
  }
}
