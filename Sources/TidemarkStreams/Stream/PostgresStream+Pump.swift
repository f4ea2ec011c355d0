import LibPQ
import Logging
import Tidemark

extension PostgresStream {
  /// How often to look for a new stream of a name whose newest one is disabled, in case that it is enabled again.
  private static let successionInterval = Duration.seconds(1)

  /// Keeps the stream moving for all readers of this process, and looks after all streams of the
  /// database, until the task is cancelled. When the stream is disabled, waits for the next one of its name.
  ///
  /// Trouble with the database is logged and ridden out.
  ///
  /// - Throws: ``TidemarkError/Code/streamNotFound`` when there is no such stream (any more).
  public func run() async throws {
    let pump = StreamPump.of(pool)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        var stream = try await self.listedOrIdentified()
        while true {
          try await self.keepMoving(stream)
          stream = try await self.successor(of: stream)
        }
      }
      group.addTask {
        let driver = PumpDriver(
          batchingInterval: self.batchingInterval,
          pollInterval: self.pollInterval,
          clock: self.clock,
          logger: self.logger
        )
        try await pump.drive(driver) {
          await self.warmUp()
          try await self.maintainForever()
        }
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
        logger.debug("Cannot look up the stream's successor", metadata: ["error": "\(error)"])
      }
      try await clock.sleep(for: Self.successionInterval)
    }
  }

  /// Keeps one stream moving until it is disabled. Its shards are closed then, and their readers have nothing to wait
  /// for.
  private func keepMoving(_ stream: StreamGeneration) async throws {
    stream.heads.pumpStarted()
    defer { stream.heads.pumpEnded() }
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await StreamPump.of(self.pool).keepMoving(stream) }
      if stream.capture == .logical {
        group.addTask { try await self.captureForever(stream) }
      }
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  /// Opens connections and prepares the statements of reading on them, before shards are taken over from somebody:
  /// to connect takes longer than all the rest of a takeover.
  private func warmUp() async {
    // What fails here is tried again, and reported, when it is needed.
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
        let found = Set(try await admin.maintain(atMostEvery: maintenanceInterval * 0.75))
        for shortcoming in found.subtracting(shortcomings) {
          logger.warning(
            "This worker leaves expired rows to others",
            metadata: ["stream": "\(shortcoming.stream)", "advice": "\(shortcoming.advice ?? "")"]
          )
        }
        shortcomings = found
      }
    }
  }

  private func warning(_ work: () async throws -> Void) async throws {
    do { try await work() } catch let error as TidemarkError {
      logger.warning("Stream maintenance failed", metadata: ["error": "\(error)"])
    }
  }
}
