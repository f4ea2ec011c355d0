import PostgresClient

/// Commits or rolls back what writers have prepared, from sessions of its own: the writers may wait for just that.
struct SecondPhase: Sendable {
  let gate: WriterGate

  func run() async throws {
    while !gate.isStopped {
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
  private func finish(_ prepared: WriterGate.Prepared, on pool: PostgresPool) async -> Bool {
    do {
      try await pool.withConnection {
        try await $0.executeScript("\(prepared.commits ? "COMMIT" : "ROLLBACK") PREPARED '\(prepared.name)'")
      }
      return true
    } catch let error as PostgresError {
      // It was finished by an attempt that had no answer, or lost with a server.
      return error.sqlState == "42704"
    } catch {
      return false
    }
  }
}
