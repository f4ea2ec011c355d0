import LibPQ
import Logging
import Tidemark

extension PostgresStream {
  /// How often a name whose newest stream is disabled is looked up, in case that it is enabled again.
  private static let successionInterval = Duration.seconds(1)

  /// Keeps the stream moving for all readers of this process, and looks after all streams of the
  /// database, until the task is cancelled. When the stream is disabled, waits for the next one of its name.
  ///
  /// Waits for the writers' wake-ups and polls beneath them. Trouble with the database is logged and ridden out.
  ///
  /// - Throws: ``TidemarkError/Code/streamNotFound`` when there is no such stream (any more).
  public func run() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        var stream = try await self.identified()
        while true {
          try await self.pump(stream)
          stream = try await self.successor(of: stream)
        }
      }
      group.addTask {
        await self.warmUp()
        try await self.maintainForever()
      }
      // None of them returns: the first to end has failed or was cancelled.
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  /// Waits until another stream of the name is the newest.
  private func successor(of stream: StreamGeneration) async throws -> StreamGeneration {
    while true {
      do {
        let newest = try await identified()
        if newest.id != stream.id { return newest }
      } catch let error as TidemarkError where error.isRetryable {
        logger.debug("The next stream cannot be looked for", metadata: ["error": "\(error)"])
      }
      try await clock.sleep(for: Self.successionInterval)
    }
  }

  /// Keeps one stream moving until it is disabled. Its shards are closed then, and who reads them has nothing to wait
  /// for.
  private func pump(_ stream: StreamGeneration) async throws {
    stream.heads.pumpStarted()
    defer { stream.heads.pumpEnded() }
    let alarm = Alarm()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await self.listenForever(stream, alarm: alarm) }
      group.addTask { try await self.advanceUntilDisabled(stream, alarm: alarm) }
      if stream.capture == .logical {
        group.addTask { try await self.captureForever(stream, alarm: alarm) }
      }
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  /// Opens connections and prepares the statements of reading on them, before shards are taken over from somebody:
  /// to connect takes longer than all the rest of a takeover.
  private func warmUp() async {
    // Whatever fails here is tried again, and told, when it is needed.
    guard let shards = try? await shards() else { return }
    await withTaskGroup(of: Void.self) { group in
      for shard in shards.suffix(4) {
        group.addTask {
          let reader = try? await PostgresShardReader.open(shard.id, after: .trimHorizon, in: self)
          _ = try? await reader?.read(maximumRecords: 1)
        }
      }
    }
  }

  private func advanceUntilDisabled(_ stream: StreamGeneration, alarm: Alarm) async throws {
    var backoff = DoublingDelay(from: .milliseconds(100), to: .seconds(2))
    var idle = DoublingDelay(from: .milliseconds(1), to: pollInterval)
    while true {
      try Task.checkCancellation()
      do {
        let answer = try await self.advance(stream)
        if !answer.isEnabled { return }
        backoff.reset()
        // Not while another session is at it: that one says when there is something new, and may be at it for long.
        if answer.moved > 0 { idle.reset() }
        // After a step that moved something more is likely to have come already.
        if answer.moved > 0 { continue }
        await waiting(atMost: idle.next(), on: clock) { await alarm.wait() }
      } catch let error as TidemarkError where error.isRetryable {
        let delay = backoff.next()
        logger.warning("The stream cannot be advanced", metadata: ["error": "\(error)", "retry": "\(delay)"])
        try await clock.sleep(for: delay)
      }
    }
  }

  private func listenForever(_ stream: StreamGeneration, alarm: Alarm) async throws {
    var backoff = DoublingDelay(from: .milliseconds(100), to: .seconds(5))
    while true {
      try Task.checkCancellation()
      do {
        try await pool.withConnection { connection in
          // Behind a pooler it would be others who listen; polling must do.
          if await connection.isPooled { return }
          do {
            try await self.listen(stream, on: connection, alarm: alarm) { backoff.reset() }
          } catch {
            await connection.close()
            throw error
          }
          // It listens to its end, so it must not go back to the pool.
          await connection.close()
        }
      } catch let error as PQError where error.code != .cancelled {
        logger.debug("Wake-ups are off", metadata: ["error": "\(error)"])
      }
      try await clock.sleep(for: backoff.next())
    }
  }

  private func listen(
    _ stream: StreamGeneration,
    on connection: PQConnection,
    alarm: Alarm,
    onStart: () -> Void
  ) async throws {
    let inbox = try await connection.listen(to: "tidemark_inbox_\(stream.id)")
    let log = try await connection.listen(to: "tidemark_log_\(stream.id)")
    onStart()
    // Something may have come before this listened.
    alarm.ring()
    await withTaskGroup(of: Void.self) { group in
      group.addTask { for await _ in inbox { alarm.ring() } }
      group.addTask {
        for await notification in log where Self.isNews(notification.payload, to: stream.heads) {
          alarm.ring()
        }
      }
    }
  }

  /// Whether a step's notification, which carries the stream's head, says something that is not known here.
  private static func isNews(_ payload: String, to heads: StreamHeads) -> Bool {
    guard let head = Int64(payload), let known = heads.streamHead else { return true }
    return head > known
  }

  private func maintainForever() async throws {
    let admin = PostgresStreamAdmin(pool, logger: logger)
    var problems = ProblemLog()
    var shortcomings: Set<PostgresStreamCondition> = []
    while true {
      // At random phases, so that the workers of a fleet do not all come at once.
      try await clock.sleep(for: maintenanceInterval * Double.random(in: 0.5...1.5))
      try await warning {
        // A fleet of any size looks about as often as one worker.
        problems.write(try await admin.watchConditions(atMostEvery: maintenanceInterval * 0.75), to: logger)
      }
      try await warning {
        let found = Set(try await admin.maintain())
        for shortcoming in found.subtracting(shortcomings) {
          logger.warning(
            "Expired rows are left to other workers",
            metadata: ["stream": "\(shortcoming.stream)", "advice": "\(shortcoming.advice ?? "")"]
          )
        }
        shortcomings = found
      }
    }
  }

  private func warning(_ work: () async throws -> Void) async throws {
    do { try await work() } catch let error as TidemarkError {
      logger.warning("Streams could not be looked after", metadata: ["error": "\(error)"])
    }
  }
}
