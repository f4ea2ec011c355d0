import Synchronization
import Tidemark

extension LeaseStoreConformance {
  static let planningCases = [
    Case("Creating leases adds those that do not exist, leaves the others alone and calls for a plan") {
      fleet in
      let worker = try await fleet.register()
      try await fleet.plan(as: worker)
      let shard = Shard(
        id: "a",
        parentIDs: ["p", "q"],
        hashRange: .init(start: 1 << 100, end: .max)
      )
      let first = try await fleet.store.createLeases(
        [NewLease(shard: shard, checkpoint: .latest)],
        in: fleet.scope
      )
      try expectEqual(first, 1, "Leases added")
      try expectEqual(await fleet.needsPlan(worker), true, "A need for a plan")
      let second = try await fleet.store.createLeases(
        [
          NewLease(shard: Shard(id: "a"), checkpoint: .trimHorizon),
          NewLease(shard: Shard(id: "b"), checkpoint: .latest),
        ],
        in: fleet.scope
      )
      try expectEqual(second, 1, "Leases added where one exists")
      let expected = Lease(
        shardID: "a",
        parentShardIDs: ["p", "q"],
        hashRange: shard.hashRange,
        checkpoint: .latest
      )
      try expectEqual(await fleet.lease("a"), expected, "The lease")
      try expectEqual(await fleet.store.createLeases([], in: fleet.scope), 0, "Leases added of none")
    },
    Case("A lease that does not exist is none") { fleet in
      try expectEqual(await fleet.store.lease("a", in: fleet.scope), nil, "The lease")
    },
    Case("A plan shows all leases, the living workers, their limits and which of them drain") { fleet in
      let planner = try await fleet.register(maximumLeases: 3)
      let draining = try await fleet.register()
      let dead = try await fleet.register()
      try await fleet.create("b", "a")
      try await fleet.grant("a", to: planner)
      try await fleet.beat(draining, .draining)
      try await fleet.environment.killSession(of: dead)
      let shown = try await fleet.snapshot(as: planner)
      let workers = [
        FleetSnapshot.Worker(incarnation: planner, maximumLeases: 3),
        FleetSnapshot.Worker(incarnation: draining, isDraining: true),
      ]
      try expectEqual(shown.workers, workers, "The workers")
      try expectEqual(shown.leases, await fleet.store.leases(in: fleet.scope), "The leases")
    },
    Case("Assigning gives an unowned lease to a worker under the next epoch") { fleet in
      let worker = try await fleet.register()
      try await fleet.create("a", "b")
      let version = try await fleet.beat(worker)?.assignmentVersion ?? 0
      try await fleet.grant("a", to: worker)
      let lease = try await fleet.lease("a")
      try expectEqual(lease.owner, worker, "The owner")
      try expectEqual(lease.epoch, Epoch(1), "The epoch")
      try expectEqual(lease.lastOwner, nil, "The last owner")
      let owned = try await fleet.store.leases(ownedBy: worker, in: fleet.scope)
      try expectEqual(owned, [lease], "The worker's leases")
      try expectEqual(await fleet.lease("b").owner, nil, "The other lease's owner")
      let after = try await fleet.beat(worker)?.assignmentVersion ?? 0
      try expect(after > version, "The assignment version did not rise.")
    },
    Case("A lease that has an owner is not assigned") { fleet in
      let other = try await fleet.register()
      let grant = try await fleet.grantNew()
      let outcome = try await fleet.plan(as: other) { _ in [.assign(shardID: "a", to: other)] }
      try expectEqual(outcome, .applied([], dead: []), "The plan")
      try expectEqual(await fleet.lease("a").owner, grant.owner, "The owner")
      try expectEqual(await fleet.lease("a").epoch, grant.epoch, "The epoch")
    },
    Case("A lease that is stopped, has ended or does not exist is not assigned") { fleet in
      let worker = try await fleet.register()
      try await fleet.create("a", "b")
      let grants = try await fleet.grant(["a", "b"], to: worker)
      try expectEqual(await fleet.store.stop(grants[0], reason: "test"), .accepted, "Stopping")
      try expectEqual(await fleet.store.endShard(grants[1], children: []), .accepted, "Ending")
      let outcome = try await fleet.plan(as: worker) { _ in
        ["a", "b", "c"].map { .assign(shardID: $0, to: worker) }
      }
      try expectEqual(outcome, .applied([], dead: []), "The plan")
    },
    Case("Nothing is given to a worker that drains, is dead or does not exist") { fleet in
      let planner = try await fleet.register()
      let draining = try await fleet.register()
      let dead = try await fleet.register()
      try await fleet.beat(draining, .draining)
      try await fleet.create("a", "b", "c", "d")
      try await fleet.grant("d", to: planner)
      try await fleet.environment.killSession(of: dead)
      let outcome = try await fleet.plan(as: planner) { _ in
        [
          .assign(shardID: "a", to: draining), .assign(shardID: "b", to: dead),
          .assign(shardID: "c", to: WorkerIncarnation(dead.number + 1_000_000)),
          .handOff(shardID: "d", to: draining),
        ]
      }
      try expectEqual(outcome, .applied([], dead: [dead]), "The plan")
      try expectEqual(await fleet.store.leases(in: fleet.scope).compactMap(\.handoffTo), [], "Handoffs")
    },
    Case("Of several steps for one lease the first counts") { fleet in
      let first = try await fleet.register()
      let second = try await fleet.register()
      try await fleet.create("a")
      let steps = [Assignment.assign(shardID: "a", to: first), .assign(shardID: "a", to: second)]
      try expectEqual(await fleet.plan(as: first) { _ in steps }, .applied([steps[0]], dead: []), "The plan")
      try expectEqual(await fleet.lease("a").owner, first, "The owner")
      try expectEqual(await fleet.lease("a").epoch, Epoch(1), "The epoch")
    },
    Case("One planning round runs at a time") { fleet in
      let running = RunningRounds()
      let worker = try await fleet.register()
      let outcomes = try await withThrowingTaskGroup(of: PlanOutcome.self) { group in
        for _ in 1...8 {
          group.addTask {
            try await fleet.store.plan(as: worker, in: fleet.scope, handoffTimeout: .seconds(1)) { _ in
              running.begin()
              // Long enough for another round to begin, were it let.
              let end = ContinuousClock.now + .milliseconds(5)
              while ContinuousClock.now < end {}
              running.end()
              return []
            }
          }
        }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      let (most, rounds) = running.counted
      try expectEqual(most, 1, "Rounds at a time")
      try expectEqual(outcomes.count { $0 != .busy }, rounds, "Rounds that were not turned away")
    },
    Case("Many workers that plan the same give every lease to one owner, once") { fleet in
      let shards = (0..<50).map { "shard-\($0)" }
      var workers: [WorkerIncarnation] = []
      for _ in 1...6 { workers.append(try await fleet.register()) }
      try await fleet.create(shards.map { Shard(id: $0) })
      try await withThrowingTaskGroup(of: Void.self) { group in
        for worker in workers {
          group.addTask {
            try await fleet.plan(as: worker) { snapshot in
              snapshot.leases.map { .assign(shardID: $0.shardID, to: worker) }
            }
          }
        }
        try await group.waitForAll()
      }
      let leases = try await fleet.store.leases(in: fleet.scope)
      try expectEqual(leases.map(\.epoch), shards.map { _ in Epoch(1) }, "The epochs")
      try expectEqual(Set(leases.map(\.owner)).count, 1, "Owners")
    },
    Case("A worker that is not registered may not plan") { fleet in
      let worker = try await fleet.register()
      try await fleet.deregister(worker)
      try expectEqual(await fleet.plan(as: worker), .dead, "The plan")
    },
    Case("Nothing to do calls for no further plan, even if leases stay unowned") { fleet in
      let worker = try await fleet.register(maximumLeases: 0)
      try await fleet.create("a")
      try await fleet.plan(as: worker)
      try expectEqual(await fleet.needsPlan(worker), false, "A need for a plan")
      _ = try await fleet.register()
      try expectEqual(await fleet.needsPlan(worker), true, "A need for a plan once there is somebody else")
    },
  ]
}

/// Counts planning rounds and how many of them run at a time.
private final class RunningRounds: Sendable {
  private let state = Mutex((now: 0, most: 0, all: 0))

  var counted: (most: Int, all: Int) { state.withLock { ($0.most, $0.all) } }

  func begin() {
    state.withLock {
      $0.now += 1
      $0.all += 1
      $0.most = max($0.most, $0.now)
    }
  }

  func end() {
    state.withLock { $0.now -= 1 }
  }
}
