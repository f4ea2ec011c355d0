import Logging
import Synchronization

/// The calls to the lease store and to the streams, each of which posts what came of it.
extension WorkerShell {
  func serve(_ statement: ServedStreams.Statement, as incarnation: WorkerIncarnation) async {
    await answer(.serveFailed) {
      let (streams, version) = (statement.streams, statement.version)
      try await self.store.serve(streams, version: version, as: incarnation, in: self.scope)
      return .served
    }
  }

  func look(as incarnation: WorkerIncarnation) async {
    await answer(.lookFailed) {
      let reply = try await self.store.look(as: incarnation, in: self.scope)
      self.environment.told.note(reply.history)
      return .looked(reply)
    }
  }

  func release(_ grant: LeaseGrant) async {
    _ = try? await retry.untilAnswered("give up a lease") { try await self.store.transfer(grant) }
  }

  private func answer(
    _ failure: LeaseCoordinator.Event,
    _ body: () async throws -> LeaseCoordinator.Event
  ) async {
    do {
      post(try await body())
    } catch {
      if !(error is CancellationError) {
        environment.logger.debug("a call to the lease store failed", metadata: ["error": "\(error)"])
      }
      post(failure)
    }
  }

  func register(serving streams: Set<String>) async {
    let sentAt = clock.now
    var registration = registration
    registration.streams = streams
    do {
      let incarnation = try await store.register(registration)
      events.workerRegistered(incarnation)
      post(.registered(incarnation, sentAt: sentAt))
      await withDiscardingTaskGroup { group in
        group.addTask {
          for await blockage in self.store.blockages(for: incarnation, in: self.scope) {
            self.events.leaseBlocked(blockage)
          }
        }
        for await _ in store.hints(for: incarnation, in: scope) { post(.hint) }
        group.cancelAll()
      }
    } catch let error as TidemarkError where !error.isRetryable {
      inbox.yield(.impossible(error))
    } catch {
      if !(error is CancellationError) { events.heartbeatFailed(error) }
      post(.registrationFailed)
    }
  }

  func examineLoss(_ finished: [LeaseKey: Epoch], _ running: [LeaseKey: Epoch]) async {
    let leases = try? await retry.untilAnswered("read the leases") {
      try await self.store.leases(in: self.scope)
    }
    guard let leases else { return }
    events.historyLost(HistoryLoss(of: finished, running: running, in: leases))
  }

  func examineRegistration(_ incarnation: WorkerIncarnation) async {
    let workers = try? await retry.untilAnswered("read the workers") {
      try await self.store.workers(in: self.scope)
    }
    guard let workers, !workers.contains(where: { $0.incarnation == incarnation }) else { return }
    events.historyLost(HistoryLoss(registration: incarnation))
  }

  func heartbeat(_ beat: Heartbeat) async {
    let sentAt = clock.now
    do {
      let reply = try await store.heartbeat(beat)
      if let reply { environment.told.note(reply.history) }
      post(.heartbeatAnswered(reply, sentAt: sentAt))
    } catch let error as TidemarkError where error.code == .schemaMismatch {
      // Somebody has migrated the store, or removed its schema, under this worker.
      inbox.yield(.impossible(error))
    } catch {
      if !(error is CancellationError) { events.heartbeatFailed(error) }
      post(.heartbeatFailed)
    }
  }

  func plan(as incarnation: WorkerIncarnation) async {
    let planner = AssignmentPlanner(tolerance: configuration.planning.tolerance)
    await answer(.planFailed) {
      .planned(
        try await self.store.plan(
          as: incarnation,
          in: self.scope,
          handoffTimeout: self.configuration.handoff.timeout,
          decide: { snapshot in
            self.tellOfUnserved(snapshot.unservedStreams)
            return planner.plan(snapshot)
          }
        )
      )
    }
  }

  private func tellOfUnserved(_ streams: [String]) {
    let isNews = unserved.withLock { last in
      defer { last = streams }
      return last != streams
    }
    if isNews, !streams.isEmpty { events.streamsUnserved(streams) }
  }

  func refresh(_ incarnation: WorkerIncarnation, _ consumers: [ShardConsumerRunner]) async {
    await answer(.refreshFailed) {
      .refreshed(
        try await self.comparing(consumers) {
          try await self.store.leases(ownedBy: incarnation, in: self.scope)
        }
      )
    }
  }

  /// - Parameter known: the streams that are read now.
  func syncShards(_ known: [String: any StreamSource], _ consumers: [ShardConsumerRunner]) async {
    await answer(.syncFailed) {
      let (streams, isCurrent) = await self.listStreams(known)
      let shards = await self.listShards(of: streams)
      guard !shards.isEmpty || streams.isEmpty else { return .syncFailed }
      try await self.createAndDelete(
        shards,
        try await self.comparing(consumers) { try await self.store.leases(in: self.scope) }
      )
      return isCurrent && shards.count == streams.count ? .synced : .syncedInPart
    }
  }

  /// The streams to sync; those that are read already if the catalog does not answer.
  private func listStreams(
    _ known: [String: any StreamSource]
  ) async -> (streams: [String: any StreamSource], isCurrent: Bool) {
    do {
      let listed = try await directory.streams()
      inbox.yield(.listed(listed))
      let streams = listed.merging(known) { $1 }
      return (streams.filter { listed[$0.key] != nil && (known[$0.key] != nil || !startsWithSnapshot) }, true)
    } catch {
      if !(error is CancellationError) {
        environment.logger.warning("could not list the streams", metadata: ["error": "\(error)"])
      }
      return (known, false)
    }
  }

  /// Reads leases, and ends the consumers whose lease is at an earlier place than they had committed: the store has lost
  /// that, and a consumer that has nothing to write would never be refused.
  private func comparing(
    _ consumers: [ShardConsumerRunner],
    _ read: () async throws -> [Lease]
  ) async throws -> [Lease] {
    let committed = consumers.map(\.committed)
    let leases = try await read()
    guard !consumers.isEmpty else { return leases }
    let byKey = Dictionary(leases.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
    for (consumer, committed) in zip(consumers, committed) {
      guard let lease = byKey[consumer.grant.key] else { continue }
      consumer.compare(with: lease, readAfter: committed)
    }
    return leases
  }

  private func createAndDelete(_ shards: [String: [Shard]], _ leases: [Lease]) async throws {
    let changes = ShardSync.changes(
      shards: shards,
      leases: leases,
      position: configuration.reading.initialPosition
    )
    if !changes.missing.isEmpty { _ = try await store.createLeases(changes.missing, in: scope) }
    for keys in changes.deletable { try await store.deleteEndedLeases(keys, in: scope) }
  }

  /// How many streams are listed at once.
  private static let listings = 8

  /// The shards of those streams that could be listed.
  private func listShards(of streams: [String: any StreamSource]) async -> [String: [Shard]] {
    let together: [String: [Shard]]
    do {
      together = try await directory.catalog.shards(of: streams)
    } catch {
      if !(error is CancellationError) {
        environment.logger.warning("could not list the shards", metadata: ["error": "\(error)"])
      }
      return [:]
    }
    return await withTaskGroup(of: (String, [Shard]?).self) { group in
      var waiting = streams.filter { together[$0.key] == nil }.sorted { $0.key < $1.key }.makeIterator()
      var shards = together
      for _ in 0..<Self.listings {
        if let next = waiting.next() { group.addTask { await self.listShards(of: next.key, next.value) } }
      }
      for await (stream, listed) in group {
        shards[stream] = listed
        if let next = waiting.next() { group.addTask { await self.listShards(of: next.key, next.value) } }
      }
      return shards
    }
  }

  /// A worker that may not list has nothing to do, and should not be silent about it.
  private func listShards(of stream: String, _ source: any StreamSource) async -> (String, [Shard]?) {
    do {
      return (stream, try await source.shards())
    } catch {
      if !(error is CancellationError) {
        environment.logger.warning(
          "could not list the shards",
          metadata: ["stream": "\(stream)", "error": "\(error)"]
        )
      }
      return (stream, nil)
    }
  }

  /// A few tries, for a failover interval at most: if the store is away, or a hanging processor's transaction holds
  /// a lease, the end of the session or of the heartbeats says the same by then.
  func deregister(_ incarnation: WorkerIncarnation) async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await self.tryToDeregister(incarnation) }
      group.addTask { try? await self.clock.sleep(for: self.configuration.failover.interval) }
      await group.next()
      group.cancelAll()
    }
    post(.deregistered)
  }

  private func tryToDeregister(_ incarnation: WorkerIncarnation) async {
    for _ in 1...3 {
      do {
        return try await store.deregister(incarnation, in: scope)
      } catch {
        environment.logger.warning("could not deregister", metadata: ["error": "\(error)"])
        guard (try? await clock.sleep(for: .milliseconds(200))) != nil else { return }
      }
    }
  }
}
