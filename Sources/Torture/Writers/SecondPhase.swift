import LibPQ

/// Commits or rolls back what writers have prepared, from sessions of its own: the writers may wait for just that.
struct SecondPhase: Sendable {
  let gate: WriterGate

  func run() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await finishDue() }
      group.addTask { try await finishForgotten() }
      try await group.waitForAll()
    }
  }

  /// Rolls back what was prepared by a session that was lost before it had its answer.
  private func finishForgotten() async throws {
    while true {
      try await ContinuousClock().sleep(for: .seconds(1))
      let pool = gate.pool
      do {
        let rows = try await pool.query(
          """
          SELECT gid FROM pg_prepared_xacts
          WHERE database = current_database() AND prepared < clock_timestamp() - interval '4 s'
          """
        )
        for row in rows {
          let name = try row.decode(String.self)
          _ = await finish(WriterGate.Prepared(name: name, commits: false, due: .now), on: pool)
        }
      } catch is PQError {}
    }
  }

  private func finishDue() async throws {
    while true {
      try await ContinuousClock().sleep(for: .milliseconds(10))
      while let due = gate.takeDue() {
        if await !finish(due.prepared, on: due.pool) {
          var later = due.prepared
          later.due = .now + .milliseconds(100)
          gate.add(later)
        }
      }
    }
  }

  /// - Returns: whether it is over.
  private func finish(_ prepared: WriterGate.Prepared, on pool: PQPool) async -> Bool {
    do {
      try await pool.withConnection {
        try await $0.executeScript("\(prepared.commits ? "COMMIT" : "ROLLBACK") PREPARED '\(prepared.name)'")
      }
      return true
    } catch let error as PQError {
      // It was finished by an attempt that had no answer, or lost with a server.
      return error.sqlState == "42704"
    } catch {
      return false
    }
  }
}
