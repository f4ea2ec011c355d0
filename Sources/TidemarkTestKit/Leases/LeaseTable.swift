import Tidemark

/// The tables of a lease store as a value, and every change of them as a function of the store's own time.
struct LeaseTable {
  typealias Instant = ContinuousClock.Instant

  /// How long a dead worker's row is kept for people to see.
  static let deadWorkersAreKept = Duration.seconds(3600)
  /// How long a planning round may take before the next one takes its place.
  static let planningLimit = Duration.seconds(5)

  struct WorkerRow {
    var registration: WorkerRegistration
    var state: WorkerRecord.State = .active
    var refused: Set<LeaseKey> = []
    /// Which of its announcements of streams was the last.
    var streamsVersion: Int64 = 0
    var heartbeatAt: Instant
    var heartbeatingSince: Instant
    /// Which start of the server the session was opened on.
    var serverStart: Int
    var hasSession = true
  }

  struct LeaseRow {
    var lease: Lease
    var handoffDeadline: Instant?
    /// The epoch that followed when the last owner left it.
    var leftEpoch: Epoch?

    mutating func clearHandoff() {
      lease.handoffTo = nil
      handoffDeadline = nil
    }

    /// The only place where a lease gets another owner: the epoch rises here and nowhere else, past all that may have
    /// been granted in what the store has lost.
    mutating func give(to owner: WorkerIncarnation?, atLeast floor: Epoch) {
      let previous = lease
      lease.owner = owner
      lease.epoch = max(lease.epoch.next, floor)
      if let last = previous.owner {
        (lease.lastOwner, lease.lastEpoch, leftEpoch) = (last, previous.epoch, lease.epoch)
      }
      clearHandoff()
    }
  }

  struct Scope {
    var leases: [LeaseKey: LeaseRow] = [:]
    var deadLetters: [DeadLetterKey: DeadLetter] = [:]
    var assignmentVersion: Int64 = 0
    /// Rises with all that may call for a plan; the last plan notes which version it has seen.
    var changeVersion: Int64 = 0
    var plannedVersion: Int64 = 0
    var planner: (token: Int, since: Instant)?
    var history = LeaseHistory()
  }

  struct DeadLetterKey: Hashable {
    var lease: LeaseKey
    var checkpoint: Checkpoint
  }

  var scopes: [LeaseScope: Scope] = [:]
  var workers: [WorkerIncarnation: WorkerRow] = [:]
  /// Which start of the server this is, when it was, and whether its history is noted.
  var serverStart = 1
  var startedAt: Int64 = 0
  var isHistoryNoted = true
  var lastNumber: Int64 = 0
  var lastToken = 0
  /// The newest history that is noted.
  var historyNumber: Int64 = 0
  /// Scopes whose workers are to hear of a change.
  var announced: Set<LeaseScope> = []

  mutating func nextNumber() -> Int64 {
    lastNumber += 1
    return lastNumber
  }

  mutating func nextToken() -> Int {
    lastToken += 1
    return lastToken
  }

  /// The number of the history that the table is on. The first call on a new one notes it, and has incarnations go on
  /// from there.
  @discardableResult
  mutating func enterHistory() -> Int64 {
    if !isHistoryNoted {
      historyNumber = max(historyNumber + 1, startedAt)
      lastNumber = max(lastNumber, historyNumber << 12)
      isHistoryNoted = true
    }
    return historyNumber
  }

  /// What every epoch that is granted from now on is no less than.
  mutating func epochFloor() -> Epoch { Epoch(enterHistory() << 32) }

  /// Notes in a scope that it is on another history, before anything is given out on that.
  mutating func noteHistory(of scope: LeaseScope) {
    let number = enterHistory()
    guard scopes[scope, default: Scope()].history.number != number else { return }
    let version = scopes[scope]?.assignmentVersion ?? 0
    scopes[scope]?.history = LeaseHistory(number: number, beganAt: version)
  }

  /// Notes that owners or handoffs have changed, and what may have to be planned.
  mutating func note(_ scope: LeaseScope, assignments: Bool = false, callsForPlan: Bool = false) {
    if assignments {
      noteHistory(of: scope)
      scopes[scope, default: Scope()].assignmentVersion += 1
    }
    if callsForPlan { scopes[scope, default: Scope()].changeVersion += 1 }
    announced.insert(scope)
  }

  func row(_ key: LeaseKey, in scope: LeaseScope) -> LeaseRow? {
    scopes[scope]?.leases[key]
  }

  func sortedLeases(in scope: LeaseScope) -> [Lease] {
    (scopes[scope]?.leases.values.map(\.lease) ?? []).sorted { $0.key < $1.key }
  }

  func isActive(_ incarnation: WorkerIncarnation, in scope: LeaseScope) -> Bool {
    guard let worker = workers[incarnation] else { return false }
    return worker.state == .active && worker.registration.scope == scope
  }

  func livingWorkers(in scope: LeaseScope) -> [(WorkerIncarnation, WorkerRow)] {
    workers.filter { $0.value.registration.scope == scope && $0.value.state != .dead }
      .sorted { $0.key < $1.key }
      .map { ($0.key, $0.value) }
  }
}
