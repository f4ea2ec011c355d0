import Tidemark

extension LeaseStoreConformance {
  static let operatorCases = [
    Case("A reset sets the checkpoint back, takes the lease from its owner and calls for a plan") { fleet in
      let grant = try await fleet.grantNew()
      _ = try await fleet.store.prepareCheckpoint(.init(checkpoint: .record(20), state: []), for: grant)
      _ = try await fleet.checkpoint(.record(10), grant)
      try await fleet.plan(as: grant.owner)
      let lease = try await fleet.store.reset("a", in: fleet.scope, to: .record(4, subSequenceNumber: 1))
      try expectEqual(lease.checkpoint, .record(4, subSequenceNumber: 1), "The checkpoint")
      try expectEqual(lease.owner, nil, "The owner")
      try expectEqual(lease.epoch, grant.epoch.next, "The epoch")
      try expectEqual(lease.pendingCheckpoint, nil, "The pending checkpoint")
      try expectEqual(await fleet.lease("a"), lease, "The lease that was returned")
      try expectEqual(await fleet.needsPlan(grant.owner), true, "A need for a plan")
      for (write, outcome) in try await fleet.allWrites(grant) {
        try expectEqual(outcome, .leaseLost, "\(write) of the owner before")
      }
    },
    Case("A reset of a lease that nobody owns raises its epoch, too") { fleet in
      let grant = try await fleet.grantNew()
      _ = try await fleet.store.transfer(grant)
      let lease = try await fleet.store.reset("a", in: fleet.scope, to: .trimHorizon)
      try expectEqual(lease.epoch, grant.epoch.next.next, "The epoch")
    },
    Case("A reset without a checkpoint starts a stopped lease again from where it was") { fleet in
      let grant = try await fleet.grantNew()
      _ = try await fleet.checkpoint(.record(3), grant)
      _ = try await fleet.store.stop(grant, reason: "poison")
      try await fleet.plan(as: grant.owner)
      let lease = try await fleet.store.reset("a", in: fleet.scope, to: nil)
      try expectEqual(lease.stoppedReason, nil, "The reason")
      try expectEqual(lease.checkpoint, .record(3), "The checkpoint")
      try expectEqual(await fleet.needsPlan(grant.owner), true, "A need for a plan")
      let again = try await fleet.grant("a", to: grant.owner)
      try expectEqual(await fleet.checkpoint(.record(4), again), .accepted, "A checkpoint")
    },
    Case("A reset without a checkpoint leaves a lease that is not stopped to its owner") { fleet in
      let grant = try await fleet.grantNew()
      let lease = try await fleet.store.reset("a", in: fleet.scope, to: nil)
      try expectEqual(lease.owner, grant.owner, "The owner")
      try expectEqual(lease.epoch, grant.epoch, "The epoch")
      try expectEqual(await fleet.checkpoint(.record(4), grant), .accepted, "A checkpoint")
    },
    Case("A reset reads a shard again that has ended") { fleet in
      let grant = try await fleet.grantNew()
      _ = try await fleet.store.endShard(grant, children: [Shard(id: "b", parentIDs: ["a"])])
      let lease = try await fleet.store.reset("a", in: fleet.scope, to: .trimHorizon)
      try expectEqual(lease.isEnded, false, "Whether it has ended")
      try expectEqual(lease.childShardIDs, [], "The children")
      let again = try await fleet.grant("a", to: grant.owner)
      try expectEqual(await fleet.checkpoint(.record(1), again), .accepted, "A checkpoint")
    },
    Case("A reset of a lease that does not exist is an error") { fleet in
      for checkpoint in [Checkpoint.trimHorizon, nil] {
        do {
          _ = try await fleet.store.reset("a", in: fleet.scope, to: checkpoint)
          throw ConformanceFailure(message: "It was accepted.", file: #fileID, line: #line)
        } catch let error as TidemarkError {
          try expectEqual(error.code, .leaseNotFound, "The error")
        }
      }
      try expectEqual(await fleet.store.leases(in: fleet.scope), [], "The leases")
    },
    Case("A lease that has not ended is not deleted") { fleet in
      let grant = try await fleet.grantNew()
      _ = try await fleet.checkpoint(.record(3), grant)
      try await fleet.store.deleteEndedLeases(["a", "unknown"], in: fleet.scope)
      try expectEqual(await fleet.lease("a").owner, grant.owner, "The owner")
    },
    Case("An ended lease is deleted once every child has progress of its own") { fleet in
      let grant = try await fleet.grantNew()
      let children = ["b", "c"].map { Shard(id: $0, parentIDs: ["a"]) }
      _ = try await fleet.store.endShard(grant, children: children)
      try await fleet.store.deleteEndedLeases(["a"], in: fleet.scope)
      try expectEqual(await fleet.store.leases(in: fleet.scope).count, 3, "Leases while no child was read")
      let grants = try await fleet.grant(["b", "c"], to: grant.owner)
      _ = try await fleet.checkpoint(.record(1), grants[0])
      try await fleet.store.deleteEndedLeases(["a"], in: fleet.scope)
      try expectEqual(
        await fleet.store.leases(in: fleet.scope).count,
        3,
        "Leases while one child was not read"
      )
      _ = try await fleet.checkpoint(.record(1), grants[1])
      try await fleet.store.deleteEndedLeases(["a"], in: fleet.scope)
      try expectEqual(
        await fleet.store.leases(in: fleet.scope).map(\.shardID),
        ["b", "c"],
        "Leases after it"
      )
    },
    Case("An ended lease stays while a lease of a parent is left: the oldest goes first") { fleet in
      let first = try await fleet.grantNew()
      _ = try await fleet.store.endShard(first, children: [Shard(id: "b", parentIDs: ["a"])])
      let second = try await fleet.grant("b", to: first.owner)
      _ = try await fleet.store.endShard(second, children: [Shard(id: "c", parentIDs: ["b"])])
      let third = try await fleet.grant("c", to: first.owner)
      _ = try await fleet.checkpoint(.record(1), third)
      try await fleet.store.deleteEndedLeases(["b"], in: fleet.scope)
      try expectEqual(await fleet.store.leases(in: fleet.scope).count, 3, "Leases while the parent is left")
      try await fleet.store.deleteEndedLeases(["a", "b"], in: fleet.scope)
      try expectEqual(
        await fleet.store.leases(in: fleet.scope).map(\.shardID),
        ["b", "c"],
        "Leases after one round"
      )
      try await fleet.store.deleteEndedLeases(["a", "b"], in: fleet.scope)
      try expectEqual(
        await fleet.store.leases(in: fleet.scope).map(\.shardID),
        ["c"],
        "Leases after two rounds"
      )
    },
    Case("An ended lease stays while a lease names it as a parent that was not read") { fleet in
      let grant = try await fleet.grantNew()
      try await fleet.create([Shard(id: "b", parentIDs: ["a"])])
      _ = try await fleet.store.endShard(grant, children: [])
      try await fleet.store.deleteEndedLeases(["a"], in: fleet.scope)
      try expectEqual(await fleet.store.leases(in: fleet.scope).map(\.shardID), ["a", "b"], "Leases")
    },
  ]
}
