import Tidemark
import TidemarkTestKit

/// What befalls one call to the lease store.
struct CallFault {
  var outcome = LeaseStoreFault.Outcome.answered
  /// How long the request and the answer are on their way.
  var delayBefore: Duration
  var delayAfter: Duration
  /// The request comes a second time, late.
  var isDoubled = false
}

/// Draws what befalls each call, from the kinds that a scenario allows, and counts what has struck.
final class Faults: @unchecked Sendable {
  // `@unchecked Sendable`: the scheduler's one thread uses it.
  private let scenario: Scenario
  private var random: SeededRandom
  private(set) var struck: [FaultKind: Int] = [:]
  /// Nothing strikes any more once this is false.
  var areOn = true

  init(_ scenario: Scenario, random: SeededRandom) {
    self.scenario = scenario
    self.random = random
  }

  func strike(_ kind: FaultKind) { struck[kind, default: 0] += 1 }

  /// Whether a kind may strike now.
  func allows(_ kind: FaultKind) -> Bool { areOn && scenario.faults.contains(kind) }

  /// Draws whether this call meets a fault of this kind, and counts it.
  func strikesCall(_ kind: FaultKind) -> Bool { strikes(kind, scenario.callFaultChance) }

  /// Draws whether this record meets a fault of this kind, and counts it.
  func strikesRecord(_ kind: FaultKind) -> Bool { strikes(kind, scenario.recordFaultChance) }

  private func strikes(_ kind: FaultKind, _ chance: Double) -> Bool {
    guard allows(kind), random.happens(chance) else { return false }
    strike(kind)
    return true
  }

  func draw(_ range: ClosedRange<Duration>) -> Duration { random.duration(in: range) }

  // MARK: The lease store

  func storeFault(for method: LeaseStoreCall.Method) -> CallFault {
    var fault = CallFault(delayBefore: transit(), delayAfter: transit())
    if strikesCall(.callRefused) {
      fault.outcome = .refused
    } else if strikesCall(.requestLost) {
      fault.outcome = .requestLost
    } else if strikesCall(.replyLost) {
      fault.outcome = .replyLost
    }
    fault.isDoubled = allows(.replyDoubled) && random.happens(scenario.callFaultChance)
    if strikesCall(.callSlow) {
      fault.delayBefore += random.duration(in: .zero...(.seconds(20)))
      fault.delayAfter += random.duration(in: .zero...(.seconds(20)))
    }
    return fault
  }

  /// How long a message is on its way.
  private func transit() -> Duration { random.duration(in: .microseconds(100)...(.milliseconds(5))) }

  func planPause() -> Duration {
    strikes(.planPaused, 0.1) ? random.duration(in: .milliseconds(1)...(.seconds(8))) : .zero
  }

  /// When a hint arrives: once, never or twice.
  func hintDelays() -> [Duration] {
    if strikesHint(.hintLost) { return [] }
    let late = strikesHint(.hintLate) ? random.duration(in: .zero...(.seconds(30))) : .zero
    return strikesHint(.hintDoubled) ? [transit(), transit() + late] : [transit() + late]
  }

  private func strikesHint(_ kind: FaultKind) -> Bool { strikes(kind, 0.3) }

  // MARK: The source

  func sourceDelay() -> Duration { transit() }

  func sourceError() -> TidemarkError? {
    if strikesCall(.iteratorExpired) { return TidemarkError(.iteratorExpired, "The iterator has expired.") }
    if strikesCall(.throttled) { return TidemarkError(.throttled, "Too many calls.") }
    if strikesCall(.sourceUnavailable) {
      return TidemarkError(.sourceUnavailable, "The source does not answer.")
    }
    return nil
  }

  /// What a listing shows. It may be an older one, lack shards that have only just come, show parents as open
  /// whose children it lists, and have any order.
  /// - Parameter older: what it could have shown not long ago.
  func listing(of shards: [Shard], older: [[Shard]]) -> [Shard] {
    var listed = shards
    if allows(.shardsStale), random.happens(0.3), let stale = older.randomElement(using: &random) {
      strike(.shardsStale)
      listed = stale
    }
    if allows(.shardsIncomplete), let oldest = older.first, random.happens(0.3) {
      strike(.shardsIncomplete)
      let settled = Set(oldest.map(\.id))
      let isCut = Int.random(in: 0...listed.count, using: &random)
      listed = listed.enumerated().filter { $0 < isCut || settled.contains($1.id) }.map(\.element)
      for index in listed.indices where random.happens(0.2) { listed[index].endingSequenceNumber = nil }
    }
    if allows(.shardsReordered), random.happens(0.5) {
      strike(.shardsReordered)
      listed.shuffle(using: &random)
    }
    return listed
  }
}

extension StoreCall {
  /// Whether it changes a lease in its owner's name.
  var isOwnersWrite: Bool {
    switch method {
    case .checkpoint, .prepareCheckpoint, .endShard, .transfer, .stop, .deadLetter: true
    default: false
    }
  }

  /// Whether the server may be asked for it a second time by a request that was sent again underneath. A
  /// registration and a plan belong to one session or transaction.
  var canComeTwice: Bool {
    switch method {
    case .register, .plan, .reset: false
    default: true
    }
  }
}
