import Tidemark

extension LeaseStoreConformance {
  static let handoffCases = [
    Case("A handoff is requested of the owner, who keeps the lease and its epoch meanwhile") { fleet in
      let target = try await fleet.register()
      let grant = try await fleet.grantNew()
      let version = try await fleet.beat(grant.owner)?.assignmentVersion ?? 0
      let step = Assignment.handOff(shardID: "a", to: target)
      try expectEqual(await fleet.plan(as: target) { _ in [step] }, .applied([step], dead: []), "The plan")
      let lease = try await fleet.lease("a")
      try expectEqual(lease.handoffTo, target, "The target")
      try expectEqual(lease.owner, grant.owner, "The owner")
      try expectEqual(lease.epoch, grant.epoch, "The epoch")
      let after = try await fleet.beat(grant.owner)?.assignmentVersion ?? 0
      try expect(after > version, "The assignment version did not rise.")
      try expectEqual(await fleet.checkpoint(.record(1), grant), .accepted, "The owner's checkpoint")
    },
    Case("A transfer gives the lease to the worker that the handoff names, under the next epoch") { fleet in
      let target = try await fleet.register()
      let grant = try await fleet.grantNew()
      try await fleet.plan(as: target) { _ in [.handOff(shardID: "a", to: target)] }
      _ = try await fleet.checkpoint(.record(9), grant)
      try expectEqual(await fleet.store.transfer(grant), .accepted, "The transfer")
      let lease = try await fleet.lease("a")
      try expectEqual(lease.owner, target, "The owner")
      try expectEqual(lease.lastOwner, grant.owner, "The last owner")
      try expectEqual(lease.epoch, grant.epoch.next, "The epoch")
      try expectEqual(lease.handoffTo, nil, "The handoff")
      try expectEqual(lease.checkpoint, .record(9), "The checkpoint")
      try expectEqual(await fleet.checkpoint(.record(10), grant), .leaseLost, "The old owner's checkpoint")
      let new = LeaseGrant(scope: fleet.scope, shardID: "a", owner: target, epoch: lease.epoch)
      try expectEqual(await fleet.checkpoint(.record(10), new), .accepted, "The new owner's checkpoint")
    },
    Case("A transfer that nobody asked for gives the lease to nobody and calls for a plan") { fleet in
      let grant = try await fleet.grantNew()
      try await fleet.plan(as: grant.owner)
      try expectEqual(await fleet.store.transfer(grant), .accepted, "The transfer")
      let lease = try await fleet.lease("a")
      try expectEqual(lease.owner, nil, "The owner")
      try expectEqual(lease.epoch, grant.epoch.next, "The epoch")
      try expectEqual(await fleet.needsPlan(grant.owner), true, "A need for a plan")
    },
    Case("Repeating a transfer whose answer was lost is recognised and changes nothing") { fleet in
      let target = try await fleet.register()
      let grant = try await fleet.grantNew()
      try await fleet.plan(as: target) { _ in [.handOff(shardID: "a", to: target)] }
      try expectEqual(await fleet.store.transfer(grant), .accepted, "The transfer")
      let lease = try await fleet.lease("a")
      try expectEqual(await fleet.store.transfer(grant), .accepted, "The repeated transfer")
      try expectEqual(await fleet.lease("a"), lease, "The lease")
    },
    Case("A transfer after the lease went on is refused") { fleet in
      let grant = try await fleet.grantNew()
      let other = try await fleet.register()
      try expectEqual(await fleet.store.transfer(grant), .accepted, "The transfer")
      try await fleet.grant("a", to: other)
      try expectEqual(await fleet.store.transfer(grant), .leaseLost, "The late transfer")
      try expectEqual(await fleet.lease("a").owner, other, "The owner")
    },
    Case("A handoff that is overdue calls for a plan, which shows it as not requested") { fleet in
      let target = try await fleet.register()
      let grant = try await fleet.grantNew()
      try await fleet.plan(as: target, handoffTimeout: .milliseconds(100)) { _ in
        [.handOff(shardID: "a", to: target)]
      }
      try await fleet.environment.pass(.milliseconds(150))
      try expectEqual(await fleet.needsPlan(target), true, "A need for a plan")
      let shown = try await fleet.snapshot(as: target).leases[0]
      try expectEqual(shown.handoffTo, nil, "The handoff that a plan shows")
      try expectEqual(await fleet.lease("a").handoffTo, nil, "The handoff")
      try expectEqual(await fleet.lease("a").epoch, grant.epoch, "The epoch")
      try expectEqual(await fleet.needsPlan(target), false, "A need for a plan after it")
      try expectEqual(await fleet.store.transfer(grant), .accepted, "A transfer after it")
      try expectEqual(await fleet.lease("a").owner, nil, "The owner")
    },
    Case("A handoff that is not overdue stays") { fleet in
      let target = try await fleet.register()
      _ = try await fleet.grantNew()
      let step = Assignment.handOff(shardID: "a", to: target)
      try await fleet.plan(as: target) { _ in [step] }
      try expectEqual(await fleet.needsPlan(target), false, "A need for a plan")
      try expectEqual(await fleet.snapshot(as: target).leases[0].handoffTo, target, "The handoff")
      try expectEqual(await fleet.plan(as: target) { _ in [step] }, .applied([], dead: []), "Asking again")
    },
    Case("A handoff to a worker that died is cleared, and a transfer goes to nobody") { fleet in
      let target = try await fleet.register()
      let grant = try await fleet.grantNew()
      try await fleet.plan(as: target) { _ in [.handOff(shardID: "a", to: target)] }
      try await fleet.environment.killSession(of: target)
      let shown = try await fleet.snapshot(as: grant.owner)
      try expectEqual(shown.leases[0].handoffTo, nil, "The handoff")
      try expectEqual(shown.leases[0].owner, grant.owner, "The owner")
      try expectEqual(await fleet.store.transfer(grant), .accepted, "The transfer")
      try expectEqual(await fleet.lease("a").owner, nil, "The owner after it")
    },
    Case("A handoff to a worker that drains is not fulfilled") { fleet in
      let target = try await fleet.register()
      let grant = try await fleet.grantNew()
      try await fleet.plan(as: target) { _ in [.handOff(shardID: "a", to: target)] }
      try await fleet.beat(target, .draining)
      try expectEqual(await fleet.store.transfer(grant), .accepted, "The transfer")
      try expectEqual(await fleet.lease("a").owner, nil, "The owner")
    },
    Case("A handoff to the owner itself, or of a lease that nobody owns, is not requested") { fleet in
      let grant = try await fleet.grantNew()
      let other = try await fleet.register()
      try await fleet.create("b")
      let outcome = try await fleet.plan(as: other) { _ in
        [.handOff(shardID: "a", to: grant.owner), .handOff(shardID: "b", to: other)]
      }
      try expectEqual(outcome, .applied([], dead: []), "The plan")
    },
    Case("A worker that drains hands everything off and is given nothing") { fleet in
      let draining = try await fleet.register()
      let other = try await fleet.register()
      let shards = ["a", "b", "c"]
      try await fleet.create(shards.map { Shard(id: $0) })
      let grants = try await fleet.grant(shards, to: draining)
      try await fleet.beat(draining, .draining)
      try await fleet.plan(as: other) { snapshot in
        snapshot.leases.filter { $0.owner == draining }.map { .handOff(shardID: $0.shardID, to: other) }
      }
      for grant in grants { try expectEqual(await fleet.store.transfer(grant), .accepted, "A transfer") }
      let leases = try await fleet.store.leases(ownedBy: other, in: fleet.scope)
      try expectEqual(leases.map(\.shardID), shards, "The other's leases")
      try expectEqual(leases.map(\.epoch), grants.map(\.epoch.next), "The epochs")
      try await fleet.deregister(draining)
      try expectEqual(await fleet.store.leases(in: fleet.scope), leases, "The leases after it left")
    },
  ]
}
