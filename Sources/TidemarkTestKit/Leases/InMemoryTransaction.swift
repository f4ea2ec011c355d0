import Synchronization
import Tidemark

/// A transaction of an ``InMemoryLeaseStore``; see ``InMemoryLeaseStore/transaction(_:)``.
public final class InMemoryTransaction: CheckpointTransaction {
  struct Step: Sendable {
    var write: CheckpointWrite
    var mustAdvance: Bool
  }

  private struct State {
    var steps: [Step] = []
    var effects: [@Sendable () -> Void] = []
    var commitActions: [@Sendable () -> Void] = []
  }

  private let state = Mutex(State())
  private let outcome: @Sendable ([Step]) throws -> WriteOutcome

  /// - Parameter outcome: what would become of the last of these steps now.
  init(outcome: @escaping @Sendable ([Step]) throws -> WriteOutcome) {
    self.outcome = outcome
  }

  var steps: [Step] { state.withLock { $0.steps } }

  public func write(_ write: CheckpointWrite, mustAdvance: Bool) async throws -> WriteOutcome {
    let steps = state.withLock { state in
      state.steps.append(Step(write: write, mustAdvance: mustAdvance))
      return state.steps
    }
    return try outcome(steps)
  }

  /// Stands for what else the transaction writes: `effect` runs when it commits, also if the answer to that is lost.
  public func stage(_ effect: @escaping @Sendable () -> Void) {
    state.withLock { $0.effects.append(effect) }
  }

  public func onCommit(_ action: @escaping @Sendable () -> Void) {
    state.withLock { $0.commitActions.append(action) }
  }

  func performEffects() {
    for effect in state.withLock({ $0.effects }) { effect() }
  }

  func performCommitActions() {
    for action in state.withLock({ $0.commitActions }) { action() }
  }
}

extension LeaseTable {
  /// What would become of the last step of a transaction.
  func outcome(of steps: [InMemoryTransaction.Step]) throws -> WriteOutcome {
    var draft = self
    return try steps.reduce(.accepted) { try draft.checkpoint($1.write, mustAdvance: $1.mustAdvance) }
  }

  /// Makes all writes of a transaction, or none.
  mutating func commit(_ steps: [InMemoryTransaction.Step]) throws {
    var draft = self
    for step in steps {
      try draft.checkpoint(step.write, mustAdvance: step.mustAdvance).orThrow(for: step.write.grant)
    }
    self = draft
  }
}
