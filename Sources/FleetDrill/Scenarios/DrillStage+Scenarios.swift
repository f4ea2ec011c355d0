extension DrillStage {
  /// SIGKILL of one worker after the other; each is replaced.
  func kill() async throws -> [DrillMeasure] {
    var first = DrillMeasure(
      "SIGKILL → first record of a victim's shard",
      .seconds,
      limit: DrillMeasure.Limit(median: 0.10, max: 0.5)
    )
    var all = DrillMeasure(
      "SIGKILL → records of all its shards",
      .seconds,
      limit: DrillMeasure.Limit(median: 0.15)
    )
    try addMembers()
    for round in 1...drill.rounds {
      let (victim, shards) = try await settledVictim()
      let moment = HistoryEntry.now()
      victim.crash()
      let recovery = try await recovery(of: shards, from: victim, since: moment)
      first.add(recovery.first)
      all.add(recovery.last)
      tell(
        round,
        "first record after \(recovery.first.inSeconds), all shards after \(recovery.last.inSeconds)"
      )
      members.removeFirst()
      try addMember()
    }
    return [first, all]
  }

  /// One worker more than before joins, and another leaves.
  func join() async throws -> [DrillMeasure] {
    var measure = DrillMeasure(
      "a worker is started → balanced, all shards read",
      .seconds,
      limit: DrillMeasure.Limit(max: 1)
    )
    for _ in 1..<drill.workers { try addMember() }
    for round in 1...drill.rounds {
      try await balanced()
      let moment = HistoryEntry.now()
      try addMember()
      let duration = Duration.microseconds(try await balanced() - moment)
      measure.add(duration)
      tell(round, "balanced after \(duration.inSeconds)")
      let leaving = members[0]
      members.removeFirst()
      leaving.terminate()
      try await leaving.waitUntilExit()
    }
    return [measure]
  }

  /// SIGTERM to one worker after the other; each is replaced.
  func drain() async throws -> [DrillMeasure] {
    var gap = DrillMeasure(
      "SIGTERM → longest gap in a shard beyond the writers' own",
      .seconds,
      limit: DrillMeasure.Limit(max: 0.05)
    )
    var repeats = DrillMeasure("SIGTERM → repeated records", .count, limit: DrillMeasure.Limit(max: 0))
    try addMembers()
    for round in 1...drill.rounds {
      let (leaving, shards) = try await settledVictim()
      let moment = HistoryEntry.now()
      leaving.terminate()
      members.removeFirst()
      try await leaving.waitUntilExit()
      _ = try await recovery(of: shards, from: leaving, since: moment)
      let history = try fleet.history()
      let longest = HandlingGap.longest(in: shards, since: moment, history)
      gap.add(longest)
      let repeated = FleetCheck.repeats(in: history, since: moment)
      repeats.add(Double(repeated))
      tell(round, "longest gap \(longest.inSeconds), \(repeated) repeated")
      try addMember()
    }
    return [gap, repeats]
  }

  static let coldStartMeasure = DrillMeasure(
    "all workers are started → all shards leased, balanced and read",
    .seconds,
    limit: DrillMeasure.Limit(max: 1)
  )

  /// One round of a whole fleet's start.
  func coldStart(round: Int) async throws -> [DrillMeasure] {
    var measure = Self.coldStartMeasure
    let moment = HistoryEntry.now()
    try addMembers()
    let duration = Duration.microseconds(try await balanced() - moment)
    measure.add(duration)
    tell(round, "balanced after \(duration.inSeconds)")
    return [measure]
  }

  /// SIGSTOP of one worker after the other until others have its shards, then SIGCONT.
  func stale() async throws -> [DrillMeasure] {
    var elsewhere = DrillMeasure("SIGSTOP → records of all its shards", .seconds)
    var accepted = DrillMeasure(
      "SIGCONT → stale checkpoints accepted",
      .count,
      limit: DrillMeasure.Limit(max: 0)
    )
    var rewinds = DrillMeasure("SIGCONT → checkpoints moved back", .count, limit: DrillMeasure.Limit(max: 0))
    try addMembers()
    for round in 1...drill.rounds {
      let (victim, shards) = try await settledVictim()
      let moment = HistoryEntry.now()
      victim.pause()
      elsewhere.add(try await recovery(of: shards, from: victim, since: moment).last)
      victim.resume()
      let tried = try await staleCheckpoints(of: victim, shards, since: moment)
      let audit = try await fleet.audit.changes()
      let taken = FleetCheck.staleCheckpointsAccepted(
        in: try fleet.follower.entries(since: moment),
        audit: audit
      ).count
      accepted.add(Double(taken))
      let back = audit.count { $0.at >= moment && $0.wentBack }
      rewinds.add(Double(back))
      tell(round, "\(tried.count) stale checkpoints tried, \(taken) accepted, \(back) moved back")
      members.removeFirst()
      members.append(victim)
    }
    return [elsewhere, accepted, rewinds]
  }

  /// Waits until a worker that went on has tried to move the checkpoint of each of its shards.
  private func staleCheckpoints(
    of victim: WorkerProcess,
    _ shards: [String],
    since moment: Int64
  ) async throws -> [HistoryEntry] {
    var tried: [HistoryEntry] = []
    try await fleet.wait("\(victim.name) tries stale checkpoints") {
      tried = try fleet.follower.entries(since: moment).filter {
        $0.worker == victim.name && [.staleCheckpointRefused, .staleCheckpointAccepted].contains($0.kind)
      }
      return Set(tried.map(\.shard)).isSuperset(of: shards)
    }
    return tried
  }

  /// The network of one worker after the other is cut without a word; each is replaced.
  func vanish(on network: DrillNetwork) async throws -> [DrillMeasure] {
    var session = DrillMeasure("network cut → the server ends the worker's session", .seconds)
    var all = DrillMeasure(
      "network cut → records of all its shards",
      .seconds,
      limit: DrillMeasure.Limit(max: 5)
    )
    for _ in 1...drill.workers { try addMember(on: network) }
    for round in 1...drill.rounds {
      let (victim, shards) = try await settledVictim()
      let moment = HistoryEntry.now()
      try network.cut(host: victim.name)
      async let ended = fleet.sessionEnd(of: victim.name)
      let last = try await recovery(of: shards, from: victim, since: moment).last
      let sessionEnd = Duration.microseconds(try await ended - moment)
      session.add(sessionEnd)
      all.add(last)
      tell(round, "session ended after \(sessionEnd.inSeconds), all shards after \(last.inSeconds)")
      victim.crash()
      members.removeFirst()
      try addMember(on: network)
    }
    return [session, all]
  }
}
