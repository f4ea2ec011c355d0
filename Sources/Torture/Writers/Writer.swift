import LibPQ

/// A session that writes what its seed draws, for as long as the gate is open, whatever happens to its connections.
struct Writer: Sendable {
  /// A lock that is not had by then is held by somebody who will never give it up: all that a torture holds it holds
  /// for less.
  static let patience = Duration.seconds(20)

  private struct RolledBack: Error {}

  let number: Int
  let gate: WriterGate
  var draw: TransactionDraw

  static func configuration(url: String) throws -> PQConfiguration {
    var configuration = try PQConfiguration(url: url)
    configuration.applicationName = "torture writer"
    configuration.settings["lock_timeout"] = "\(Int(patience / .milliseconds(1)))"
    configuration.settings["deadlock_timeout"] = "50"
    return configuration
  }

  mutating func run() async throws {
    let clock = ContinuousClock()
    var count = 0
    while !gate.isStopped {
      try Task.checkCancellation()
      guard let next = draw.next(in: gate.phase) else {
        try await clock.sleep(for: .milliseconds(10))
        continue
      }
      count += 1
      for attempt in 1...PlannedTransaction.attempts {
        guard let pool = gate.enter() else {
          try await clock.sleep(for: .milliseconds(10))
          break
        }
        defer { gate.leave() }
        if await perform(next, named: "torture \(number) \(count) \(attempt)", on: pool) { break }
      }
      try await clock.sleep(for: next.pauseAfter)
    }
  }

  /// - Returns: whether it is done with, for better or worse.
  private func perform(_ planned: PlannedTransaction, named name: String, on pool: PQPool) async -> Bool {
    do {
      if let alone = planned.alone {
        try await pool.withConnection { try await $0.executeScript(alone) }
      } else if case .prepare(let commits, let after) = planned.ending {
        try await prepare(planned, named: name, on: pool)
        gate.add(WriterGate.Prepared(name: name, commits: commits, due: .now + after))
      } else {
        try await pool.transaction(isolation: planned.isolation) { transaction in
          for step in planned.steps {
            switch step {
            case .statement(let statement): try await transaction.execute(statement)
            case .pause(let duration): try await ContinuousClock().sleep(for: duration)
            }
          }
          if planned.ending == .rollback { throw RolledBack() }
        }
      }
      gate.note { $0.transactions += 1 }
      return true
    } catch is RolledBack {
      gate.note { $0.rollbacks += 1 }
      return true
    } catch let error as PQError {
      note(error, planned)
      return error.sqlState != "40001"
    } catch {
      return true
    }
  }

  private func prepare(_ planned: PlannedTransaction, named name: String, on pool: PQPool) async throws {
    var statements: [PQStatement] = ["BEGIN"]
    for case .statement(let statement) in planned.steps { statements.append(statement) }
    statements.append(PQStatement(stringLiteral: "PREPARE TRANSACTION '\(name)'"))
    _ = try await pool.pipeline(statements)
    gate.note { $0.prepared += 1 }
  }

  private func note(_ error: PQError, _ planned: PlannedTransaction) {
    let state = error.sqlState ?? "\(error.code)"
    gate.note { figures in
      if Self.isExpected(error, isDefinition: planned.alone != nil) {
        figures.refusals[state, default: 0] += 1
      } else {
        figures.wrong.append("A writer's transaction failed: \(error)")
      }
    }
  }

  /// What other writers, faults, or a definition that is there already, may do to a writer.
  private static func isExpected(_ error: PQError, isDefinition: Bool) -> Bool {
    // A lock that was not had; see `patience`.
    if error.sqlState == "55P03" { return false }
    if error.isRetryable || error.isOutcomeUnknown || error.code == .closed || error.code == .connectionLost {
      return true
    }
    // A key that somebody else took; a standby that is no primary yet; a statement that ended with the server.
    if ["23505", "25006", "57014"].contains(error.sqlState) { return true }
    return isDefinition && ["42701", "42703", "42P07", "42704"].contains(error.sqlState)
  }
}
