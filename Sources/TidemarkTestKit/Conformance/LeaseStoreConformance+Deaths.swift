import Tidemark

extension LeaseStoreConformance {
  static let deathCases = [
    Case("A lost session is a death: it calls for a plan, which frees the leases under a new epoch") {
      fleet in
      let witness = try await fleet.register()
      let grant = try await fleet.grantNew()
      try expectEqual(await fleet.needsPlan(witness), false, "A need for a plan before")
      try await fleet.environment.killSession(of: grant.owner)
      try expectEqual(await fleet.needsPlan(witness), true, "A need for a plan after")
      try expectEqual(await fleet.plan(as: witness), .applied([], dead: [grant.owner]), "The plan")
      let lease = try await fleet.lease("a")
      try expectEqual(lease.owner, nil, "The owner")
      try expectEqual(lease.lastOwner, grant.owner, "The last owner")
      try expect(lease.epoch > grant.epoch, "The epoch did not rise.")
      try expectEqual(await fleet.state(of: grant.owner), .dead, "The state")
    },
    Case("One plan finds a death and gives the lease to another worker") { fleet in
      let witness = try await fleet.register()
      let grant = try await fleet.grantNew()
      _ = try await fleet.checkpoint(.record(5), grant)
      try await fleet.environment.killSession(of: grant.owner)
      let step = Assignment.assign(shardID: "a", to: witness)
      let outcome = try await fleet.plan(as: witness) { snapshot in
        snapshot.workers.map(\.incarnation) == [witness] && snapshot.leases[0].owner == nil ? [step] : []
      }
      try expectEqual(outcome, .applied([step], dead: [grant.owner]), "The plan")
      let lease = try await fleet.lease("a")
      try expectEqual(lease.owner, witness, "The owner")
      try expect(lease.epoch > grant.epoch, "The epoch did not rise.")
      try expectEqual(lease.checkpoint, .record(5), "The checkpoint")
    },
    Case("The dead cannot write anything any more") { fleet in
      let witness = try await fleet.register()
      let grant = try await fleet.grantNew()
      try await fleet.environment.killSession(of: grant.owner)
      try await fleet.plan(as: witness)
      for (write, outcome) in try await fleet.allWrites(grant) {
        try expectEqual(outcome, .leaseLost, write)
      }
      try expectEqual(await fleet.store.lease("child-of-nobody", in: fleet.scope), nil, "The child")
      try expectEqual(
        await fleet.environment.deadLetters(of: OneStream.key("a"), in: fleet.scope),
        [],
        "Dead letters"
      )
    },
    Case("The dead learn it from their heartbeat and may not plan") { fleet in
      let witness = try await fleet.register()
      let worker = try await fleet.register()
      try await fleet.environment.killSession(of: worker)
      try await fleet.plan(as: witness)
      try expectEqual(await fleet.plan(as: worker), .dead, "A plan of the dead")
      try expectEqual(await fleet.beat(worker), nil, "The reply to a heartbeat")
      try expectEqual(await fleet.beat(witness)?.liveWorkers, 1, "Living workers")
    },
    Case("A worker that lost its session and beats before anybody plans lives and keeps its leases") {
      fleet in
      let witness = try await fleet.register()
      let grant = try await fleet.grantNew()
      try await fleet.environment.killSession(of: grant.owner)
      try expect(await fleet.beat(grant.owner) != nil, "It was declared dead.")
      try expectEqual(await fleet.needsPlan(witness), false, "A need for a plan")
      try expectEqual(await fleet.plan(as: witness), .applied([], dead: []), "The plan")
      try expectEqual(await fleet.checkpoint(.record(1), grant), .accepted, "A checkpoint")
      try await fleet.environment.killSession(of: grant.owner)
      try expectEqual(await fleet.needsPlan(witness), true, "A need for a plan when it is lost again")
    },
    Case("A restart of the server is nobody's death, and lost sessions count again after it") { fleet in
      let witness = try await fleet.register()
      let grant = try await fleet.grantNew()
      try await fleet.environment.restartServer(in: fleet.scope)
      try expect(await fleet.beat(witness) != nil, "The first that came back was declared dead.")
      try expectEqual(await fleet.needsPlan(witness), false, "A need for a plan")
      try expectEqual(await fleet.plan(as: witness), .applied([], dead: []), "The plan")
      try expect(await fleet.beat(grant.owner) != nil, "The second that came back was declared dead.")
      try expectEqual(await fleet.checkpoint(.record(1), grant), .accepted, "A checkpoint")
      try await fleet.environment.killSession(of: grant.owner)
      try expectEqual(
        await fleet.plan(as: witness),
        .applied([], dead: [grant.owner]),
        "The plan after a loss"
      )
    },
    Case("An old heartbeat is a death for a worker that has beaten without a gap") { fleet in
      let silent = try await fleet.register(failover: fleet.failover)
      let witness = try await fleet.register(failover: fleet.failover)
      try await fleet.pass(fleet.failover * 1.3, beating: witness)
      try expectEqual(await fleet.needsPlan(witness), true, "A need for a plan")
      try expectEqual(await fleet.plan(as: witness), .applied([], dead: [silent]), "The plan")
      try expectEqual(await fleet.beat(silent), nil, "The reply to its next heartbeat")
    },
    Case("Nobody dies whose heartbeats arrive") { fleet in
      let first = try await fleet.register(failover: fleet.failover)
      let second = try await fleet.register(failover: fleet.failover)
      try await fleet.pass(fleet.failover * 1.5, beating: first, second)
      try expectEqual(await fleet.plan(as: first), .applied([], dead: []), "The first's plan")
      try expectEqual(await fleet.plan(as: second), .applied([], dead: []), "The second's plan")
    },
    Case("An old heartbeat is no death for a worker that has only just come") { fleet in
      let silent = try await fleet.register(failover: fleet.failover)
      try await fleet.environment.pass(fleet.failover * 1.3)
      let newcomer = try await fleet.register(failover: fleet.failover)
      try expectEqual(await fleet.plan(as: newcomer), .applied([], dead: []), "The plan")
      try expect(await fleet.beat(silent) != nil, "The silent one was declared dead.")
    },
    Case("An old heartbeat is no death for a worker whose own heartbeats had a gap") { fleet in
      let silent = try await fleet.register(failover: fleet.failover)
      let witness = try await fleet.register(failover: fleet.failover)
      try await fleet.pass(fleet.failover * 1.3, beating: witness, silent)
      try await fleet.environment.pass(fleet.failover * 1.3)
      try expectEqual(await fleet.plan(as: witness), .applied([], dead: []), "A plan in the gap")
      try await fleet.beat(witness)
      try expectEqual(await fleet.plan(as: witness), .applied([], dead: []), "A plan right after the gap")
      try await fleet.pass(fleet.failover * 1.3, beating: witness)
      try expectEqual(
        await fleet.plan(as: witness),
        .applied([], dead: [silent]),
        "A plan one failover interval after the gap"
      )
    },
    Case("An old heartbeat is judged by the longer of two failover intervals") { fleet in
      let silent = try await fleet.register(failover: fleet.failover)
      let witness = try await fleet.register(failover: fleet.failover * 4)
      try await fleet.pass(fleet.failover * 1.3, beating: witness)
      try expectEqual(await fleet.plan(as: witness), .applied([], dead: []), "A plan after the shorter one")
      try await fleet.pass(fleet.failover * 3, beating: witness)
      try expectEqual(
        await fleet.plan(as: witness),
        .applied([], dead: [silent]),
        "A plan after the longer one"
      )
    },
    Case("A worker that comes back registers again and owns nothing of what it had") { fleet in
      let witness = try await fleet.register()
      let grant = try await fleet.grantNew()
      try await fleet.environment.killSession(of: grant.owner)
      try await fleet.plan(as: witness)
      let again = try await fleet.register()
      try expect(again > grant.owner, "The incarnation is not greater.")
      try expectEqual(await fleet.store.leases(ownedBy: again, in: fleet.scope), [], "Its leases")
      let new = try await fleet.grant("a", to: again)
      try expect(new.epoch > grant.epoch, "The epoch did not rise.")
      try expectEqual(await fleet.checkpoint(.record(1), grant), .leaseLost, "The old grant's checkpoint")
      try expectEqual(await fleet.checkpoint(.record(1), new), .accepted, "The new grant's checkpoint")
    },
  ]
}
