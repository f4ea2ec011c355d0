import Logging
import Waiting

/// The streams that come and go: the work of their sources, and snapshots before their first read.
extension WorkerShell {
  func add(_ name: String, _ source: any StreamSource, _ state: inout LoopState) {
    let stream = RunningStream(source: source)
    state.streams[name] = stream
    startStream.yield(stream)
  }

  func listed(
    _ streams: [String: any StreamSource],
    _ state: inout LoopState,
    in group: inout ThrowingDiscardingTaskGroup<any Error>
  ) -> LeaseCoordinator.Event {
    state.listed = Set(streams.keys)
    for (name, source) in streams.sorted(by: { $0.key < $1.key }) where state.streams[name] == nil {
      if !startsWithSnapshot {
        add(name, source, &state)
      } else if state.preparing.insert(name).inserted {
        group.addTask { await self.prepare(name, source) }
      }
    }
    endUnlistedStreams(&state)
    return .streamsListed(state.listed.intersection(state.streams.keys))
  }

  func prepared(
    _ name: String,
    _ source: (any StreamSource)?,
    _ state: inout LoopState
  ) -> LeaseCoordinator.Event {
    state.preparing.remove(name)
    if let source, state.listed.contains(name), state.streams[name] == nil {
      add(name, source, &state)
      post(.fired(.shardSync))
    }
    return .streamsListed(state.listed.intersection(state.streams.keys))
  }

  func endUnlistedStreams(_ state: inout LoopState) {
    let unlisted = state.streams.keys.filter { !state.listed.contains($0) }.sorted()
    if unlisted.isEmpty { return }
    let read = Set(state.consumers.keys.map(\.stream))
    for name in unlisted where !read.contains(name) { state.streams.removeValue(forKey: name)?.end.fire() }
  }

  var startsWithSnapshot: Bool { configuration.reading.initialPosition == .snapshot }

  private func prepare(_ name: String, _ source: any StreamSource) async {
    do {
      let source = try await retry.untilAnswered("start with a snapshot") {
        let leases = try await self.store.leases(in: self.scope)
        let isNew = !leases.contains { $0.stream == name }
        return try await source.startingWithSnapshot(for: self.scope.application, isNew: isNew)
      }
      inbox.yield(.prepared(name, source))
    } catch {
      if !(error is CancellationError) {
        environment.logger.error(
          "a stream cannot start with a snapshot, it is not read",
          metadata: ["stream": "\(name)", "error": "\(error)"]
        )
      }
      inbox.yield(.prepared(name, nil))
    }
  }

  /// These have a group of their own as consumers do.
  func runStreams() async {
    await withDiscardingTaskGroup { group in
      for await stream in newStreams {
        group.addTask { await self.run(stream) }
      }
    }
  }

  private func run(_ stream: RunningStream) async {
    await withDiscardingTaskGroup { group in
      group.addTask { await self.runSource(stream.source) }
      await stream.end.wait()
      group.cancelAll()
    }
  }

  /// Keeps the source's own work going.
  private func runSource(_ source: any StreamSource) async {
    var attempt = 0
    var random = environment.random
    while !Task.isCancelled {
      do {
        return try await source.run()
      } catch {
        // Whatever a source throws when it is cancelled: that is no failure.
        if Task.isCancelled { return }
        attempt += 1
        environment.logger.warning("the stream's own work failed", metadata: ["error": "\(error)"])
        try? await clock.sleep(for: Backoff().pause(afterAttempt: attempt, using: &random))
      }
    }
  }
}
