import LibPQ
import Logging
import Tidemark
import TidemarkPostgres

/// Performs what a ``PumpSchedule`` decides.
struct PumpDriver: Sendable {
  var batchingInterval: Duration
  var pollInterval: Duration
  var clock: any MonotonicClock
  var logger: Logger

  /// How long a statement watches: so short that no log of slow statements has it.
  private static let watchInterval = Duration.milliseconds(200)
  /// What the one who watches rests between two looks at the bells.
  private static let watchPause = 0.002
  /// How much one step may move, of all streams together.
  private static let maximumBytes: Int64 = 8 << 20

  /// Until the task is cancelled. Trouble with the database is logged and ridden out.
  func drive(_ pump: StreamPump) async throws {
    var backoff = DoublingDelay(from: .milliseconds(100), to: .seconds(2))
    while true {
      try Task.checkCancellation()
      do {
        try await reading(.stream, on: pump.pool) {
          try await pump.pool.withConnection { connection in
            do {
              try await self.drive(pump, on: connection) { backoff.reset() }
            } catch {
              // It listens to its end, so it must not go back to the pool.
              await connection.close()
              throw error
            }
          }
        }
      } catch let error as TidemarkError where error.isRetryable {
        let delay = backoff.next()
        logger.warning("Streams cannot be advanced", metadata: ["error": "\(error)", "retry": "\(delay)"])
        try await clock.sleep(for: delay)
      }
    }
  }

  /// Until something fails.
  private func drive(_ pump: StreamPump, on connection: PQConnection, onSuccess: () -> Void) async throws {
    _ = pump.schedule { $0.forget() }
    let isPooled = await connection.isPooled
    // A shard's news are few, whatever the statistics say.
    if !isPooled {
      for setting in ["enable_seqscan", "enable_bitmapscan", "jit"] {
        _ = try await connection.query("SELECT set_config(\(setting), 'off', false)")
      }
    }
    // Behind a pooler it would be others who listen; polling must do.
    let hints = isPooled ? nil : try await connection.listen(to: "tidemark_bell")
    try await withThrowingTaskGroup(of: Void.self) { group in
      if let hints { group.addTask { for await _ in hints { pump.alarm.ring() } } }
      defer { group.cancelAll() }
      while true {
        try Task.checkCancellation()
        switch pump.schedule({ $0.next(at: clock.now) }) {
        case .look(let streams): try await look(at: streams, isPooled: isPooled, pump, on: connection)
        case .sleep(let time): try await clock.sleep(until: time, tolerance: nil)
        case .watch(let time):
          try await watch(until: time, isPooled: isPooled, pump, on: connection)
        case nil: throw CancellationError()
        }
        onSuccess()
      }
    }
  }

  // MARK: Bells

  private func watch(
    until time: ContinuousClock.Instant,
    isPooled: Bool,
    _ pump: StreamPump,
    on connection: PQConnection
  ) async throws {
    let known = pump.schedule { $0.bells } ?? []
    let left = max(.zero, clock.now.duration(to: time))
    // A pooler's connections are not for waiting.
    let patience = isPooled ? .zero : min(Self.watchInterval, left)
    let rows = try await connection.query(
      "CALL tidemark.watch(\(known), NULL, \(patience / .seconds(1)), \(Self.watchPause))"
    )
    let (bells, isWatching) = try rows[0].decode(([Int64], Bool).self)
    _ = pump.schedule { $0.heard(bells) }
    if bells != known || (isWatching && !isPooled) { return }
    let pause = min(pollInterval, max(.zero, clock.now.duration(to: time)))
    await waiting(atMost: pause, on: clock) { await pump.alarm.wait() }
  }

  // MARK: Looks

  private func look(at streams: [Int32], isPooled: Bool, _ pump: StreamPump, on connection: PQConnection)
    async throws
  {
    do {
      return try await step(streams, isPooled: isPooled, pump, on: connection)
    } catch {
      if connection.isClosed || error is CancellationError { throw error }
      if streams.count == 1 { return try await failed(streams[0], error, pump, on: connection) }
      logger.debug("A step of several streams has failed", metadata: ["error": "\(error)"])
    }
    // Each by itself: what is wrong with one must not stop the others.
    for stream in streams { try await look(at: [stream], isPooled: isPooled, pump, on: connection) }
  }

  private func failed(
    _ stream: Int32,
    _ error: any Error,
    _ pump: StreamPump,
    on connection: PQConnection
  ) async throws {
    let cause = (error as? TidemarkError)?.underlying as? PQError
    // A session that does not know the log's newest partition goes on refusing.
    if cause?.isUnknownPartition == true { throw error }
    let generations = pump.generations(of: stream)
    if cause?.sqlState == "57014" { for generation in generations { generation.heads.shrinkSteps() } }
    guard let error = error as? TidemarkError, !error.isRetryable else {
      let delay = pump.schedule { $0.failed(stream, at: clock.now) } ?? .zero
      logger.warning(
        "The stream cannot be advanced",
        metadata: [
          "stream": "\(generations.first?.fullName ?? "\(stream)")", "error": "\(error)",
          "retry": "\(delay)",
        ]
      )
      return
    }
    pump.end(stream, failure: error)
  }

  private func step(_ streams: [Int32], isPooled: Bool, _ pump: StreamPump, on connection: PQConnection)
    async throws
  {
    let start = clock.now
    let readers = streams.map { pump.generations(of: $0) }
    let places = pump.schedule { schedule in streams.map { schedule.place(of: $0) } } ?? []
    let heads = readers.map { generations in
      let heads = generations.map(\.heads.streamHead)
      return heads.contains(nil) ? nil : heads.compactMap(\.self).min()
    }
    let sizes = readers.joined().map(\.heads.stepSize)
    let rows = sizes.map(\.rows).min() ?? StepSize.maximumRows
    let answers = try await reading(.stream, on: pump.pool) {
      try await connection.query(
        """
        SELECT stream_id, busy, moved, head, enabled, last_id, open_xid::text, changed_shards, changed_heads
        FROM tidemark.advance_streams(\(streams), \(heads), \(places.map(\.lastID)),
          \(places.map(\.openXID))::text[]::xid8[], \(Int32(rows)), \(sizes.map(\.bytes).min() ?? Self.maximumBytes))
        """
      )
    }
    let indices = Dictionary(uniqueKeysWithValues: zip(streams, streams.indices))
    var findings: [Int32: PumpSchedule.Finding] = [:]
    for row in answers {
      let (stream, busy, moved, head, enabled, lastID, openXID, shards, shardHeads) = try row.decode(
        (Int32, Bool, Int, Int64?, Bool?, Int64?, String?, [Int32]?, [Int64]?).self
      )
      guard let head, let enabled else {
        pump.end(stream)
        continue
      }
      let answer = StreamAdvance(
        isBusy: busy,
        moved: moved,
        head: head,
        isEnabled: enabled,
        shardHeads: shards.map { Dictionary(uniqueKeysWithValues: zip($0, shardHeads ?? [])) }
      )
      guard let index = indices[stream] else { continue }
      findings[stream] = PumpSchedule.Finding(
        isBusy: busy,
        hasNews: moved > 0 || head != heads[index],
        isCutShort: moved >= rows,
        place: PumpSchedule.Place(lastID: lastID, openXID: openXID)
      )
      for generation in readers[index] {
        if generation.heads.isKeptWaiting(answer, at: clock.now) {
          await generation.tellOfTurn(on: pump.pool, logger)
        }
        await wake(generation.heads.take(answer), of: generation, isPooled: isPooled, pump, on: connection)
      }
      if !enabled { pump.end(stream) }
    }
    _ = pump.schedule { $0.looked(at: streams, finding: findings, from: start, to: clock.now) }
  }

  // MARK: Reads

  /// Wakes readers, with what they would read now: one statement for all of a stream instead of some for each.
  private func wake(
    _ waiters: [StreamHeads.Waiter],
    of generation: StreamGeneration,
    isPooled: Bool,
    _ pump: StreamPump,
    on connection: PQConnection
  ) async {
    let head = generation.heads.streamHead ?? 0
    var wishing: [StreamHeads.Waiter] = []
    var shards: Set<Int32> = []
    for waiter in waiters {
      if !isPooled, waiter.wish?.partition == head >> 32, shards.insert(waiter.shard).inserted {
        wishing.append(waiter)
      } else {
        waiter.resume()
      }
    }
    guard let maximumRecords = wishing.compactMap(\.wish?.maximumRecords).min() else { return }
    let marks = Dictionary(
      wishing.map { ($0.shard, generation.heads.mark(of: $0.shard)) },
      uniquingKeysWith: { first, _ in first }
    )
    var slices: [Int32: FreshRecords] = [:]
    do {
      let rows = try await connection.query(
        FreshRecords.statement(
          stream: generation.id,
          partition: head >> 32,
          of: wishing,
          maximumRecords: maximumRecords
        )
      )
      slices = try FreshRecords.slices(
        rows,
        of: generation,
        for: wishing,
        marks: marks,
        maximumRecords: maximumRecords
      )
    } catch {
      // They read by themselves, and say what is wrong.
      logger.debug("New records cannot be read together", metadata: ["error": "\(error)"])
    }
    for waiter in wishing { waiter.resume(with: slices[waiter.shard]) }
  }
}
