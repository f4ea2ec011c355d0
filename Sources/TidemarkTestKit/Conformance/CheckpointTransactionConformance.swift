import Synchronization
import Tidemark

/// What every ``Tidemark/CheckpointTransaction`` must do, as cases that throw ``ConformanceFailure``.
///
/// ```swift
/// @Test(arguments: CheckpointTransactionConformance.cases)
/// func conforms(_ test: CheckpointTransactionConformance.Case) async throws {
///   try await test.run(in: MyEnvironment())
/// }
/// ```
public enum CheckpointTransactionConformance {
  /// One behaviour.
  public struct Case: Sendable, CustomStringConvertible {
    /// The behaviour as a sentence.
    public let name: String
    fileprivate let body: @Sendable (Fixture) async throws -> Void

    fileprivate init(_ name: String, _ body: @escaping @Sendable (Fixture) async throws -> Void) {
      self.name = name
      self.body = body
    }

    public var description: String { name }

    /// Runs the case in a scope of its own.
    public func run(in environment: any CheckpointTransactionEnvironment) async throws {
      try await LeaseStoreFixture.with(environment) { fleet in
        try await body(Fixture(environment: environment, fleet: fleet))
      }
    }
  }

  /// All cases.
  public static let cases = [
    Case("A checkpoint commits together with the transaction's other writes") { fixture in
      let grant = try await fixture.fleet.grantNew()
      try await fixture.expect(committing: true, "effect") { try await $0.accept(5, grant) }
      try await fixture.expect(place: 5, of: grant)
    },
    Case("A transaction that is undone leaves neither") { fixture in
      let grant = try await fixture.fleet.grantNew()
      try await fixture.expect(committing: false, "effect") {
        try await $0.accept(5, grant)
        throw Undo()
      }
      try await fixture.expect(place: nil, of: grant)
    },
    Case("A worker that has lost the lease is refused, and can commit nothing") { fixture in
      let grant = try await fixture.fleet.grantNew()
      _ = try await fixture.fleet.store.transfer(grant)
      try await fixture.expect(committing: false, "effect") {
        try expectEqual(await $0.write(5, grant), .leaseLost, "The write")
      }
      try await fixture.expect(place: nil, of: grant)
    },
    Case("Another owner, an older or a newer epoch and no lease are refused, and can commit nothing") {
      fixture in
      let other = try await fixture.fleet.register()
      let first = try await fixture.fleet.grantNew()
      _ = try await fixture.fleet.store.transfer(first)
      let grant = try await fixture.fleet.grant("a", to: first.owner)
      var (stolen, future, unknown) = (grant, grant, grant)
      stolen.owner = other
      future.epoch = grant.epoch.next
      unknown.key.shardID = "b"
      for (name, wrong) in [
        ("old", first), ("other owner", stolen), ("future", future), ("unknown", unknown),
      ] {
        try await fixture.expect(committing: false, name) {
          try expectEqual(await $0.write(5, wrong), .leaseLost, name)
        }
      }
      try await fixture.expect(place: nil, of: grant)
    },
    Case("A checkpoint that would go back is refused, and takes the rest with it") { fixture in
      let grant = try await fixture.fleet.grantNew()
      _ = try await fixture.fleet.checkpoint(.record(10), grant)
      try await fixture.expect(committing: false, "effect") {
        try expectEqual(await $0.write(9, grant), .wouldGoBack, "The write")
      }
      try await fixture.expect(place: 10, of: grant)
    },
    Case("A checkpoint that must advance is refused where it is there already") { fixture in
      let grant = try await fixture.fleet.grantNew()
      _ = try await fixture.fleet.checkpoint(.record(10), grant)
      try await fixture.expect(committing: false, "again") {
        try expectEqual(await $0.write(10, grant, mustAdvance: true), .wouldGoBack, "The same")
      }
      try await fixture.expect(committing: true, "on") {
        try expectEqual(await $0.write(11, grant, mustAdvance: true), .accepted, "The next")
      }
      try await fixture.expect(place: 11, of: grant)
    },
    Case("Repeating a checkpoint that need not advance is harmless") { fixture in
      let grant = try await fixture.fleet.grantNew()
      for effect in ["one", "two"] {
        try await fixture.expect(committing: true, effect) { try await $0.accept(5, grant) }
      }
      try await fixture.expect(place: 5, of: grant)
    },
    Case("Of several checkpoints in a transaction all commit, or none") { fixture in
      let worker = try await fixture.fleet.register()
      try await fixture.fleet.create("a", "b")
      let grants = try await fixture.fleet.grant(["a", "b"], to: worker)
      try await fixture.expect(committing: true, "all") {
        try await $0.accept(3, grants[0])
        try await $0.accept(4, grants[0])
        try await $0.accept(5, grants[1])
      }
      _ = try await fixture.fleet.store.transfer(grants[1])
      try await fixture.expect(committing: false, "none") {
        try await $0.accept(6, grants[0])
        try expectEqual(await $0.write(6, grants[1]), .leaseLost, "The write of the lost lease")
      }
      try await fixture.expect(place: 4, of: grants[0])
      try await fixture.expect(place: 5, of: grants[1])
    },
    Case("A lease that is not as far as its owner knows counts as lost") { fixture in
      let grant = try await fixture.fleet.grantNew()
      _ = try await fixture.fleet.checkpoint(.record(5), grant)
      try await fixture.expect(committing: false, "effect") {
        try expectEqual(await $0.write(9, grant, from: 6), .leaseLost, "From ahead")
      }
      try await fixture.expect(committing: true, "known") {
        try expectEqual(await $0.write(9, grant, from: 5), .accepted, "From there")
      }
    },
    Case("A lease that its owner gives up meanwhile changes hands after the transaction, or prevents it") {
      fixture in
      let grant = try await fixture.fleet.grantNew()
      let store = fixture.fleet.store
      let (written, isWritten) = AsyncStream<Void>.makeStream()
      async let transfer = {
        for await _ in written { break }
        return try await store.transfer(grant)
      }()
      let environment = fixture.environment
      let end: Void? = try? await environment.transaction(writing: fixture.name("effect")) {
        try await $0.accept(5, grant)
        // The owner's other write waits for the transaction, or is through before that ends.
        isWritten.yield()
        try await environment.pass(.milliseconds(50))
      }
      isWritten.finish()
      try expectEqual(await transfer, .accepted, "Giving the lease up")
      try await fixture.expect(effect: "effect", isCommitted: end != nil)
      try await fixture.expect(place: end == nil ? nil : 5, of: grant)
    },
    Case("What follows a commit is done after it, and never after a transaction that is undone") { fixture in
      guard fixture.environment.confirmsCommits else { return }
      let grant = try await fixture.fleet.grantNew()
      let confirmed = Mutex<[String]>([])
      try await fixture.expect(committing: false, "undone") {
        try await $0.accept(5, grant)
        $0.onCommit { confirmed.withLock { $0.append("undone") } }
        throw Undo()
      }
      try await fixture.expect(committing: true, "done") {
        try await $0.accept(6, grant)
        $0.onCommit { confirmed.withLock { $0.append("done") } }
        try expectEqual(confirmed.withLock { $0 }, [], "What was confirmed before the commit")
      }
      try expectEqual(confirmed.withLock { $0 }, ["done"], "What was confirmed")
    },
  ]

  private struct Undo: Error {}

  /// The scope of one case and short words for what cases do in it.
  fileprivate struct Fixture: Sendable {
    var environment: any CheckpointTransactionEnvironment
    var fleet: LeaseStoreFixture

    func name(_ effect: String) -> String { "\(fleet.scope.application) \(effect)" }

    /// Runs a transaction, which must end so.
    func expect(
      committing: Bool,
      _ effect: String,
      file: String = #fileID,
      line: Int = #line,
      _ body: @escaping @Sendable (any CheckpointTransaction) async throws -> Void
    ) async throws {
      let failure = Mutex<(any Error)?>(nil)
      do {
        try await environment.transaction(writing: name(effect)) { transaction in
          do {
            try await body(transaction)
          } catch let error as ConformanceFailure {
            failure.withLock { $0 = error }
            throw error
          }
        }
        if !committing {
          throw ConformanceFailure(message: "The transaction committed.", file: file, line: line)
        }
      } catch {
        if committing || error is ConformanceFailure { throw failure.withLock { $0 } ?? error }
        if let failure = failure.withLock({ $0 }) { throw failure }
      }
      try await expect(effect: effect, isCommitted: committing, file: file, line: line)
    }

    func expect(
      effect: String,
      isCommitted: Bool,
      file: String = #fileID,
      line: Int = #line
    ) async throws {
      let found = try await environment.hasCommitted(name(effect))
      try expectEqual(found, isCommitted, "Whether the effect is there", file: file, line: line)
    }

    /// - Parameter place: `nil` for where a new lease begins.
    func expect(
      place: SequenceNumber?,
      of grant: LeaseGrant,
      file: String = #fileID,
      line: Int = #line
    ) async throws {
      let lease = try await fleet.lease(grant.shardID, file: file, line: line)
      let expected = place.map { Checkpoint.record($0) } ?? .trimHorizon
      try expectEqual(lease.checkpoint, expected, "The checkpoint", file: file, line: line)
    }
  }
}

extension CheckpointTransaction {
  fileprivate func write(
    _ place: SequenceNumber,
    _ grant: LeaseGrant,
    from: SequenceNumber? = nil,
    mustAdvance: Bool = false
  ) async throws -> WriteOutcome {
    let from = from.map { Checkpoint.record($0) } ?? .latest
    return try await write(
      CheckpointWrite(grant: grant, checkpoint: .record(place), from: from),
      mustAdvance: mustAdvance
    )
  }

  fileprivate func accept(
    _ place: SequenceNumber,
    _ grant: LeaseGrant,
    file: String = #fileID,
    line: Int = #line
  ) async throws {
    try expectEqual(await write(place, grant), .accepted, "The write of \(place)", file: file, line: line)
  }
}
