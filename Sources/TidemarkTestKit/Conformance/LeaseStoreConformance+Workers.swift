import Tidemark

extension LeaseStoreConformance {
  static let workerCases = [
    Case("A registered worker is listed as it said, active and with a fresh heartbeat") { fleet in
      let worker = try await fleet.register("w", failover: .milliseconds(1500), maximumLeases: 7)
      let records = try await fleet.store.workers(in: fleet.scope)
      try expectEqual(records.map(\.incarnation), [worker], "Workers")
      let registration = WorkerRegistration(
        scope: fleet.scope,
        workerID: "w",
        host: "host",
        processID: 1,
        failoverInterval: .milliseconds(1500),
        maximumLeases: 7
      )
      try expectEqual(records[0].registration, registration, "The registration")
      try expectEqual(records[0].state, .active, "The state")
      try expect(records[0].heartbeatAge < .seconds(10), "The heartbeat is \(records[0].heartbeatAge) old.")
    },
    Case("Registering again makes another, greater incarnation") { fleet in
      let first = try await fleet.register("w")
      let second = try await fleet.register("w")
      try expect(first < second, "\(second) does not follow \(first).")
    },
    Case("A heartbeat tells the assignment version and how many workers live") { fleet in
      let worker = try await fleet.register()
      _ = try await fleet.register()
      let before = try unwrap(await fleet.beat(worker), "The first reply")
      try expectEqual(before.liveWorkers, 2, "Living workers")
      try await fleet.create("a")
      try await fleet.grant("a", to: worker)
      let after = try unwrap(await fleet.beat(worker), "The second reply")
      try expect(after.assignmentVersion > before.assignmentVersion, "The version did not rise.")
      let look = try await fleet.store.look(as: worker, in: fleet.scope)
      try expectEqual(look.assignmentVersion, after.assignmentVersion, "The version that a look tells")
    },
    Case("A heartbeat changes neither owner nor epoch nor assignment version") { fleet in
      let grant = try await fleet.grantNew()
      let before = try await fleet.beat(grant.owner)
      try expectEqual(await fleet.beat(grant.owner), before, "The second reply")
      let lease = try await fleet.lease("a")
      try expectEqual(lease.epoch, grant.epoch, "The epoch")
      try expectEqual(lease.owner, grant.owner, "The owner")
    },
    Case("A heartbeat of an incarnation that does not exist is answered with nothing") { fleet in
      let worker = try await fleet.register()
      try expectEqual(await fleet.beat(WorkerIncarnation(worker.number + 1_000_000)), nil, "The reply")
    },
    Case("A worker that says so drains, and that calls for a plan") { fleet in
      let worker = try await fleet.register()
      try await fleet.plan(as: worker)
      try expectEqual(await fleet.needsPlan(worker), false, "A need for a plan before")
      try await fleet.beat(worker, .draining)
      try expectEqual(await fleet.state(of: worker), .draining, "The state")
      try expectEqual(await fleet.needsPlan(worker), true, "A need for a plan after")
    },
    Case("A plan shows what a worker refuses, and a change of that calls for one") { fleet in
      let worker = try await fleet.register()
      try await fleet.plan(as: worker)
      try await fleet.beat(worker, refusing: [OneStream.key("b"), OneStream.key("a")])
      try expectEqual(await fleet.needsPlan(worker), true, "A need for a plan")
      let shown = try await fleet.snapshot(as: worker).workers
      try expectEqual(shown.map(\.refused), [[OneStream.key("a"), OneStream.key("b")]], "What is refused")
      try await fleet.beat(worker, refusing: [OneStream.key("a"), OneStream.key("b")])
      try expectEqual(await fleet.needsPlan(worker), false, "A need for a plan when nothing has changed")
      try await fleet.beat(worker)
      try expectEqual(
        await fleet.needsPlan(worker),
        true,
        "A need for a plan when nothing is refused any more"
      )
      let after = try await fleet.snapshot(as: worker).workers
      try expectEqual(after.map(\.refused), [[]], "What is refused after")
    },
    Case("A worker cannot report itself dead") { fleet in
      let worker = try await fleet.register()
      do {
        _ = try await fleet.store.heartbeat(
          Heartbeat(incarnation: worker, scope: fleet.scope, state: .dead)
        )
        throw ConformanceFailure(message: "It was accepted.", file: #fileID, line: #line)
      } catch let error as TidemarkError {
        try expectEqual(error.code, .unsupported, "The error")
      }
      try expectEqual(await fleet.state(of: worker), .active, "The state")
    },
    Case("Measurements are stored for leases that the worker owns, and for no others") { fleet in
      let grant = try await fleet.grantNew()
      try await fleet.create("b")
      let load = Lease.Load(processing: 0.5, bytesPerSecond: 1e6)
      let measurement = Heartbeat.Measurement(load: load, millisBehindLatest: 12)
      let measured = Dictionary(
        uniqueKeysWithValues: ["a", "b", "c"].map { (OneStream.key($0), measurement) }
      )
      try await fleet.beat(grant.owner, measurements: measured)
      let (mine, other) = (try await fleet.lease("a"), try await fleet.lease("b"))
      try expectEqual(mine.load, load, "The load")
      try expectEqual(mine.millisBehindLatest, 12, "Milliseconds behind")
      try expectEqual(other.load, nil, "The load of a lease that is not owned")
      let shown = try await fleet.snapshot(as: grant.owner).leases.first
      try expectEqual(shown?.load, load, "The load that a plan sees")
    },
    Case("A new worker calls for a plan, and once there was one nothing does") { fleet in
      let first = try await fleet.register()
      try await fleet.plan(as: first)
      try expectEqual(await fleet.needsPlan(first), false, "A need for a plan before")
      let second = try await fleet.register()
      try expectEqual(await fleet.needsPlan(first), true, "A need for a plan with a new worker")
      try await fleet.plan(as: second)
      try expectEqual(await fleet.needsPlan(first), false, "A need for a plan after")
    },
    Case("Deregistering gives up all leases under a new epoch and calls for a plan") { fleet in
      let other = try await fleet.register()
      let grant = try await fleet.grantNew()
      try await fleet.store.deregister(grant.owner, in: fleet.scope)
      let lease = try await fleet.lease("a")
      try expectEqual(lease.owner, nil, "The owner")
      try expectEqual(lease.lastOwner, grant.owner, "The last owner")
      try expectEqual(lease.epoch, grant.epoch.next, "The epoch")
      try expectEqual(await fleet.beat(grant.owner), nil, "The reply to a heartbeat after it")
      try expectEqual(await fleet.needsPlan(other), true, "A need for a plan")
      try expectEqual(await fleet.checkpoint(.record(1), grant), .leaseLost, "A checkpoint after it")
    },
    Case("Deregistering twice is harmless") { fleet in
      let grant = try await fleet.grantNew()
      try await fleet.store.deregister(grant.owner, in: fleet.scope)
      try await fleet.store.deregister(grant.owner, in: fleet.scope)
      try expectEqual(await fleet.lease("a").epoch, grant.epoch.next, "The epoch")
    },
    Case("Hints arrive at every worker when owners change, and end with the registration") { fleet in
      let planner = try await fleet.register()
      let worker = try await fleet.register(at: try await fleet.environment.makeStore())
      let hints = fleet.hints(for: worker)
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          // The first hint may be about anything; those after it come from the plans below.
          var count = 0
          for await _ in hints where count < 3 {
            count += 1
            if count == 3 { try await fleet.deregister(worker) }
          }
          try expectEqual(count, 3, "Hints before the end")
        }
        group.addTask {
          for number in 0... {
            try await fleet.create("shard-\(number)")
            try await fleet.environment.pass(.milliseconds(10))
            if try await fleet.state(of: worker) == nil { return }
            try expect(number < 1000, "Hints are missing.")
          }
        }
        try await group.next()
        try await group.next()
      }
      try expectEqual(await fleet.state(of: planner), .active, "The other worker's state")
    },
    Case("Scopes do not see each other") { fleet in
      let grant = try await fleet.grantNew()
      let other = LeaseScope(application: fleet.scope.application + "-other")
      try expectEqual(await fleet.store.leases(in: other), [], "Leases of the other scope")
      try expectEqual(await fleet.store.workers(in: other), [], "Workers of the other scope")
      try expectEqual(await fleet.store.leases(ownedBy: grant.owner, in: other), [], "Its own leases there")
      var elsewhere = grant
      elsewhere.scope = other
      try expectEqual(await fleet.checkpoint(.record(1), elsewhere), .leaseLost, "A write there")
      let outcome = try await fleet.store.plan(as: grant.owner, in: other, handoffTimeout: .seconds(1)) { _ in
        []
      }
      try expectEqual(outcome, .dead, "A plan there")
    },
  ]
}
