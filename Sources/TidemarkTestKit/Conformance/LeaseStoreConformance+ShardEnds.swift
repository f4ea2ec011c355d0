import Tidemark

extension LeaseStoreConformance {
  static let shardEndCases = [
    Case("An end that was read on another history is refused, one on the store's own is not") { fleet in
      let grant = try await fleet.grantNew()
      let told = try await fleet.store.look(as: grant.owner, in: fleet.scope).history.number
      let before = try await fleet.lease("a")
      for other in [told - 1, told + 1] {
        try expectEqual(
          await fleet.store.endShard(grant, children: [], restingOn: ShardEnding(history: other)),
          .leaseLost,
          "An end of \(other)"
        )
        try expectEqual(await fleet.lease("a"), before, "The lease")
      }
      for attempt in ["The end", "The repeated end"] {
        try expectEqual(
          await fleet.store.endShard(grant, children: [], restingOn: ShardEnding(history: told)),
          .accepted,
          attempt
        )
      }
    },
    Case("The end of a shard adds its children at TRIM_HORIZON and gives the lease up") { fleet in
      let grant = try await fleet.grantNew()
      _ = try await fleet.store.prepareCheckpoint(.init(checkpoint: .record(1), state: []), for: grant)
      try await fleet.plan(as: grant.owner)
      let children = [
        Shard(id: "b", parentIDs: ["a"], hashRange: .init(start: 0, end: 9)),
        Shard(id: "c", parentIDs: ["a"], hashRange: .init(start: 10, end: .max)),
      ]
      try expectEqual(await fleet.store.endShard(grant, children: children), .accepted, "The end")
      let ended = Lease(
        shardID: "a",
        childShardIDs: ["b", "c"],
        lastOwner: grant.owner,
        lastEpoch: grant.epoch,
        epoch: grant.epoch.next,
        checkpoint: .shardEnd
      )
      let expected =
        [ended]
        + children.map {
          Lease(shardID: $0.id, parentShardIDs: ["a"], hashRange: $0.hashRange, checkpoint: .trimHorizon)
        }
      try expectEqual(await fleet.store.leases(in: fleet.scope), expected, "The leases")
      try expectEqual(await fleet.needsPlan(grant.owner), true, "A need for a plan")
    },
    Case("A child that has a lease keeps it as it is") { fleet in
      let grant = try await fleet.grantNew()
      try await fleet.create([Shard(id: "b", parentIDs: ["a"])], at: .latest)
      try expectEqual(
        await fleet.store.endShard(grant, children: [Shard(id: "b", parentIDs: ["a"])]),
        .accepted,
        "The end"
      )
      try expectEqual(await fleet.lease("b").checkpoint, .latest, "The child's checkpoint")
      try expectEqual(await fleet.lease("a").childShardIDs, ["b"], "The children")
    },
    Case("Repeating a shard's end whose answer was lost is recognised and changes nothing") { fleet in
      let grant = try await fleet.grantNew()
      let children = [Shard(id: "b", parentIDs: ["a"])]
      try expectEqual(await fleet.store.endShard(grant, children: children), .accepted, "The end")
      let child = try await fleet.grant("b", to: grant.owner)
      _ = try await fleet.checkpoint(.record(5), child)
      let leases = try await fleet.store.leases(in: fleet.scope)
      try expectEqual(await fleet.store.endShard(grant, children: children), .accepted, "The repeated end")
      try expectEqual(await fleet.store.leases(in: fleet.scope), leases, "The leases")
      try expectEqual(await fleet.store.transfer(grant), .leaseLost, "A transfer after the end")
    },
    Case("A shard's end without the lease ends nothing and adds no children") { fleet in
      let grant = try await fleet.grantNew()
      _ = try await fleet.store.transfer(grant)
      let outcome = try await fleet.store.endShard(grant, children: [Shard(id: "b", parentIDs: ["a"])])
      try expectEqual(outcome, .leaseLost, "The end")
      try expectEqual(await fleet.store.leases(in: fleet.scope).map(\.shardID), ["a"], "The leases")
      try expectEqual(await fleet.lease("a").checkpoint, .trimHorizon, "The checkpoint")
    },
    Case("The child of a merge is added by the end of the parent whose lease came last") { fleet in
      let worker = try await fleet.register()
      try await fleet.create("a")
      let first = try await fleet.grant("a", to: worker)
      let child = Shard(id: "c", parentIDs: ["a", "b"])
      try expectEqual(await fleet.store.endShard(first, children: [child]), .accepted, "The first end")
      try expectEqual(await fleet.store.leases(in: fleet.scope).map(\.shardID), ["a"], "The leases")
      try expectEqual(await fleet.lease("a").childShardIDs, ["c"], "The children")
      try await fleet.create("b")
      let second = try await fleet.grant("b", to: worker)
      try expectEqual(await fleet.store.endShard(second, children: [child]), .accepted, "The second end")
      try expectEqual(
        await fleet.store.leases(in: fleet.scope).map(\.shardID),
        ["a", "b", "c"],
        "The leases"
      )
    },
    Case("A plan sees when the second parent of a merge has ended, and is called for then") { fleet in
      let worker = try await fleet.register()
      try await fleet.create("a", "b")
      let grants = try await fleet.grant(["a", "b"], to: worker)
      let child = Shard(id: "c", parentIDs: ["a", "b"])
      // Starts what may start: unowned, and no parent is left that has not ended.
      let decide: @Sendable (FleetSnapshot) -> [Assignment] = { snapshot in
        let open = Set(snapshot.leases.filter { !$0.isEnded }.map(\.shardID))
        return snapshot.leases.filter {
          $0.owner == nil && !$0.isEnded && open.isDisjoint(with: $0.parentShardIDs)
        }
        .map { .assign(shardID: $0.shardID, to: worker) }
      }
      _ = try await fleet.store.endShard(grants[0], children: [child])
      try expectEqual(await fleet.plan(as: worker, decide), .applied([], dead: []), "With one parent ended")
      try expectEqual(await fleet.needsPlan(worker), false, "A need for a plan with one parent ended")
      _ = try await fleet.store.endShard(grants[1], children: [child])
      try expectEqual(await fleet.needsPlan(worker), true, "A need for a plan with both parents ended")
      let step = Assignment.assign(shardID: "c", to: worker)
      try expectEqual(
        await fleet.plan(as: worker, decide),
        .applied([step], dead: []),
        "With both parents ended"
      )
    },
    Case("Two parents of a merge may end at once") { fleet in
      let worker = try await fleet.register()
      try await fleet.create("a", "b")
      let grants = try await fleet.grant(["a", "b"], to: worker)
      let child = Shard(id: "c", parentIDs: ["a", "b"])
      try await withThrowingTaskGroup(of: Void.self) { group in
        for grant in grants {
          group.addTask {
            try expectEqual(await fleet.store.endShard(grant, children: [child]), .accepted, "The end")
          }
        }
        try await group.waitForAll()
      }
      let leases = try await fleet.store.leases(in: fleet.scope)
      try expectEqual(leases.map(\.checkpoint), [.shardEnd, .shardEnd, .trimHorizon], "The checkpoints")
      try expectEqual(leases[2].parentShardIDs, ["a", "b"], "The parents")
    },
    Case("A stopped lease belongs to nobody, says why, and stays so") { fleet in
      let grant = try await fleet.grantNew()
      _ = try await fleet.checkpoint(.record(3), grant)
      try expectEqual(await fleet.store.stop(grant, reason: "poison"), .accepted, "Stopping")
      let lease = try await fleet.lease("a")
      try expectEqual(lease.stoppedReason, "poison", "The reason")
      try expectEqual(lease.owner, nil, "The owner")
      try expectEqual(lease.epoch, grant.epoch.next, "The epoch")
      try expectEqual(lease.checkpoint, .record(3), "The checkpoint")
      try expectEqual(await fleet.store.stop(grant, reason: "again"), .accepted, "Stopping again")
      try expectEqual(await fleet.lease("a"), lease, "The lease")
      try expectEqual(await fleet.store.transfer(grant), .leaseLost, "A transfer after it")
    },
  ]
}
