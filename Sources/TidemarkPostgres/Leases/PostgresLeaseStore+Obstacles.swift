import LibPQ
import Logging
import Synchronization
import Tidemark

/// A session that somebody else has at the server.
struct DatabaseSession: Hashable {
  /// `nil` for a prepared transaction, which has no session.
  var processID: Int32?
  /// As text; `nil` where this role may not see it.
  var startedAt: String?
  var description: String
}

/// Whoever is dead must hold nothing up: neither a lease, nor rows of the user's that the next owner waits for.
extension PostgresLeaseStore {
  /// What a plan that has committed found in its way.
  struct Hindrance {
    /// Workers that are dead and may still have sessions.
    var ghosts: [WorkerIncarnation] = []
    /// Leases that were locked.
    var skipped: Set<LeaseKey> = []

    var isEmpty: Bool { ghosts.isEmpty && skipped.isEmpty }
  }

  /// Ends the sessions of the dead and of what has locked their leases, and tells `planner` of those that it may not
  /// end. After the plan, not in it: whatever goes wrong here must not undo that. The next plan tries again.
  func clearTheWay(of hindrance: Hindrance, for planner: WorkerIncarnation, in scope: LeaseScope) async {
    let isLong = obstacles.withLock { $0.skip(hindrance.skipped, in: scope, at: .now) }
    if hindrance.isEmpty { return }
    do {
      var blockages: [LeaseBlockage] = []
      if !hindrance.ghosts.isEmpty { blockages += try await endSessions(of: hindrance.ghosts, in: scope) }
      if !hindrance.skipped.isEmpty {
        blockages += try await release(hindrance.skipped, isLong: isLong, in: scope)
      }
      obstacles.withLock { $0.tell(blockages, to: planner) }
    } catch {
      logger.debug("could not find out what is in a plan's way", metadata: ["error": "\(error)"])
    }
  }

  /// Says whose transaction keeps all others from planning.
  func tellOfPlanner(in scope: LeaseScope) async {
    do {
      for row in try await pool.query(SessionStatements.planning(in: scope)) {
        let (processID, startedAt, description) = try row.decode((Int32?, String?, String?).self)
        let session = DatabaseSession(
          processID: processID,
          startedAt: startedAt,
          description: processID == nil ? "A prepared transaction" : description ?? "A session"
        )
        let blockage = blockage([], session, isForeign: false)
        logger.warning(
          "no worker can plan: somebody else holds the turn",
          metadata: ["scope": "\(scope)", "held by": "\(blockage.holder)", "advice": "\(blockage.advice)"]
        )
      }
    } catch {
      logger.debug("could not find out whose turn it is", metadata: ["error": "\(error)"])
    }
  }

  private func endSessions(of dead: [WorkerIncarnation], in scope: LeaseScope) async throws -> [LeaseBlockage]
  {
    let sessions = try await pool.query(SessionStatements.ofDeadWorkers(in: scope)).map { row in
      let (processID, startedAt, description) = try row.decode((Int32, String?, String).self)
      return DatabaseSession(processID: processID, startedAt: startedAt, description: description)
    }
    if sessions.isEmpty {
      try await pool.execute(SessionStatements.note(haveLeft: dead, in: scope))
      return []
    }
    var blockages: [LeaseBlockage] = []
    for session in sessions where await !end(session) {
      blockages.append(blockage([], session, isForeign: true))
    }
    return blockages
  }

  private func release(
    _ keys: Set<LeaseKey>,
    isLong: Set<LeaseKey>,
    in scope: LeaseScope
  ) async throws -> [LeaseBlockage] {
    var held: [DatabaseSession: [LeaseKey]] = [:]
    var isInTheWay: Set<DatabaseSession> = []
    let statement = { SessionStatements.holding(keys.sorted(), in: scope, isGroup: $0) }
    var rows = try await pool.query(statement(false))
    // It fails where a row's number is no group's.
    if rows.isEmpty { rows = (try? await pool.query(statement(true))) ?? rows }
    for row in rows {
      let (stream, shardID, processID, startedAt, description, isOfDead, isOlder) = try row.decode(
        (String, String, Int32?, String?, String?, Bool, Bool?).self
      )
      let session = DatabaseSession(
        processID: processID,
        startedAt: startedAt,
        description: processID == nil ? "A prepared transaction" : description ?? "A session"
      )
      let key = LeaseKey(stream: stream, shardID: shardID)
      held[session, default: []].append(key)
      // Where this role may not see how old the transaction is, that of a plan would have ended by then.
      if isOfDead, isOlder ?? isLong.contains(key) { isInTheWay.insert(session) }
    }
    var blockages: [LeaseBlockage] = []
    for (session, keys) in held {
      if isInTheWay.contains(session), await end(session) { continue }
      let isDue = isInTheWay.contains(session) || !isLong.isDisjoint(with: keys)
      if isDue {
        blockages.append(blockage(keys.sorted(), session, isForeign: isInTheWay.contains(session)))
      }
    }
    return blockages
  }

  /// - Returns: whether it ends; `false` if this role may not end it.
  private func end(_ session: DatabaseSession) async -> Bool {
    guard session.processID != nil else { return false }
    do {
      try await pool.execute(SessionStatements.end(session))
      logger.info("ended a session of a dead worker", metadata: ["session": "\(session.description)"])
      return true
    } catch {
      return false
    }
  }

  private func blockage(_ leases: [LeaseKey], _ session: DatabaseSession, isForeign: Bool) -> LeaseBlockage {
    let advice: String
    if let processID = session.processID {
      advice =
        "End it: SELECT pg_terminate_backend(\(processID))."
        + (isForeign ? " Or let workers do so: GRANT pg_signal_backend TO their role." : "")
    } else {
      advice = "End it: ROLLBACK PREPARED; pg_prepared_xacts has its name."
    }
    return LeaseBlockage(leases: leases, holder: session.description, advice: advice)
  }
}
