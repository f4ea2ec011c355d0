import Tidemark

extension LeaseStoreConformance {
  private static let orders = LeaseKey(stream: "orders", shardID: "a")
  private static let items = LeaseKey(stream: "items/1", shardID: "a")

  static let streamCases = [
    Case("Leases of one shard id in two streams are two") { fleet in
      let worker = try await fleet.register(streams: ["orders", "items/1"])
      try await fleet.create([Shard(id: "a")], of: "orders")
      try await fleet.create([Shard(id: "a")], of: "items/1", at: .latest)
      let grants = try await fleet.grant([orders, items], to: worker)
      try expectEqual(grants.map(\.epoch), [Epoch(1), Epoch(1)], "The epochs")
      let writes = zip(grants, [5, 7] as [SequenceNumber]).map {
        CheckpointWrite(grant: $0, checkpoint: .record($1))
      }
      try expectEqual(await fleet.store.checkpoint(writes), [.accepted, .accepted], "The outcomes")
      try expectEqual(await fleet.store.lease(orders, in: fleet.scope)?.checkpoint, .record(5), "Of the one")
      try expectEqual(await fleet.store.lease(items, in: fleet.scope)?.checkpoint, .record(7), "Of the other")
      let write = CheckpointWrite(grant: grants[0], checkpoint: .record(8))
      try expectEqual(await fleet.store.deadLetter([fleet.letter(8)], passing: write), .accepted, "A letter")
      try expectEqual(await fleet.environment.deadLetters(of: items, in: fleet.scope), [], "Other letters")
      try expectEqual(await fleet.environment.deadLetters(of: orders, in: fleet.scope), ["8"], "Its letters")
      let load = Lease.Load(processing: 0.5, bytesPerSecond: 1e6)
      let measurement = Heartbeat.Measurement(load: load, millisBehindLatest: 12)
      try await fleet.beat(worker, measurements: [items: measurement])
      let loads = try await fleet.store.leases(ownedBy: worker, in: fleet.scope).map(\.load)
      try expectEqual(loads, [load, nil], "The loads, in the order of the streams")
      try expectEqual(await fleet.store.transfer(grants[1]), .accepted, "Giving one up")
      try expectEqual(await fleet.store.stop(grants[0], reason: "test"), .accepted, "Stopping the other")
      let rest = try await fleet.store.leases(in: fleet.scope)
      try expectEqual(rest.map(\.key), [items, orders], "The leases, in the order of their streams")
      try expectEqual(rest.map(\.stoppedReason), [nil, "test"], "Why they are stopped")
    },
    Case("Lineage stays within a stream") { fleet in
      let worker = try await fleet.register(streams: ["orders", "items/1"])
      let child = Shard(id: "b", parentIDs: ["a", "z"])
      try await fleet.create([Shard(id: "a")], of: "orders")
      try await fleet.create([Shard(id: "z"), Shard(id: "a"), Shard(id: "b")], of: "items/1")
      let grant = try await fleet.grant([orders], to: worker)[0]
      try expectEqual(await fleet.store.endShard(grant, children: [child]), .accepted, "The end")
      let key = LeaseKey(stream: "orders", shardID: "b")
      try expectEqual(
        await fleet.store.lease(key, in: fleet.scope),
        nil,
        "A child whose other parent has a lease in another stream only"
      )
      try await fleet.store.deleteEndedLeases([orders, items], in: fleet.scope)
      let left = try await fleet.store.leases(in: fleet.scope).map(\.key)
      let rest = ["b", "z"].map { LeaseKey(stream: "items/1", shardID: $0) }
      try expectEqual(
        left,
        [items] + rest + [orders],
        "The leases: the ended one has a child that is missing"
      )
    },
    Case("Ended leases of several streams are deleted in one call, each by its own lineage") { fleet in
      let worker = try await fleet.register(streams: ["orders", "items/1"])
      try await fleet.create([Shard(id: "a")], of: "orders")
      try await fleet.create([Shard(id: "a"), Shard(id: "b", parentIDs: ["a"])], of: "items/1")
      for grant in try await fleet.grant([orders, items], to: worker) {
        let children = grant.key == items ? [Shard(id: "b", parentIDs: ["a"])] : []
        try expectEqual(await fleet.store.endShard(grant, children: children), .accepted, "The end")
      }
      try await fleet.store.deleteEndedLeases([items, orders], in: fleet.scope)
      let left = try await fleet.store.leases(in: fleet.scope).map(\.key)
      try expectEqual(left, [items, LeaseKey(stream: "items/1", shardID: "b")], "What is left")
    },
    Case("A plan shows which streams each worker serves, and a change of that calls for one") { fleet in
      let first = try await fleet.register(streams: ["orders", "items/1"])
      let second = try await fleet.register(streams: [])
      let shown = try await fleet.snapshot(as: first).workers
      try expectEqual(shown.map(\.streams), [["orders", "items/1"], []], "What is served")
      let records = try await fleet.store.workers(in: fleet.scope)
      try expectEqual(records.map(\.registration.streams), shown.map(\.streams), "The workers' records")
      try expectEqual(await fleet.needsPlan(second), false, "A need for a plan before")
      try await fleet.store.serve(["items/1", "more"], version: 1, as: first, in: fleet.scope)
      try expectEqual(await fleet.needsPlan(second), true, "A need for a plan after")
      let after = try await fleet.snapshot(as: second).workers
      try expectEqual(after.map(\.streams), [["items/1", "more"], []], "What is served then")
      try expectEqual(await fleet.beat(first)?.streamsVersion, 1, "The version that a heartbeat tells")
      try await fleet.store.serve(["late"], version: 1, as: first, in: fleet.scope)
      try expectEqual(await fleet.needsPlan(second), false, "A need for a plan after one that came again")
      let beaten = try await fleet.snapshot(as: second).workers
      try expectEqual(beaten.map(\.streams), [["items/1", "more"], []], "What is served after a heartbeat")
    },
    Case("What a worker serves that is dead, unknown or another application's changes nothing") { fleet in
      let planner = try await fleet.register(streams: ["orders"])
      let dead = try await fleet.register(streams: ["orders"])
      try await fleet.environment.killSession(of: dead)
      try await fleet.plan(as: planner)
      let other = LeaseScope(application: fleet.scope.application + "-other")
      try await fleet.store.serve(["items/1"], version: 1, as: dead, in: fleet.scope)
      try await fleet.store.serve(
        ["items/1"],
        version: 1,
        as: WorkerIncarnation(planner.number + 1_000_000),
        in: fleet.scope
      )
      try await fleet.store.serve(["items/1"], version: 1, as: planner, in: other)
      let shown = try await fleet.snapshot(as: planner).workers
      try expectEqual(shown.map(\.streams), [["orders"]], "What is served")
      try expectEqual(await fleet.store.workers(in: other), [], "The other application's workers")
    },
    Case("A thousand streams of one shard are leased, served and planned as one") { fleet in
      let streams = (0..<1000).map { "stream-\(10_000 + $0)" }
      let worker = try await fleet.register(streams: Set(streams))
      let leases = streams.map { NewLease(stream: $0, shard: Shard(id: "a"), checkpoint: .trimHorizon) }
      try expectEqual(await fleet.store.createLeases(leases, in: fleet.scope), 1000, "Leases added")
      let grants = try await fleet.grant(leases.map(\.key), to: worker)
      let writes = grants.map { CheckpointWrite(grant: $0, checkpoint: .record(1)) }
      try expectEqual(await fleet.store.checkpoint(writes), writes.map { _ in .accepted }, "The outcomes")
      let shown = try await fleet.snapshot(as: worker)
      try expectEqual(shown.workers.first?.streams.count, 1000, "Streams that are served")
      try expectEqual(shown.leases.map(\.stream), streams, "The streams of the leases")
    },
  ]
}
