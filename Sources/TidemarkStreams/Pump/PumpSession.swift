import LibPQ
import Logging
import Tidemark
import TidemarkPostgres

/// What a pump does on one connection: performs what its ``PumpSchedule`` decides, until something fails.
struct PumpSession: Sendable {
  let pump: StreamPump
  let connection: PQConnection
  let isPooled: Bool
  let pollInterval: Duration
  let clock: any MonotonicClock
  let logger: Logger

  /// How long a statement watches: so short that no log of slow statements has it.
  private static let watchInterval = Duration.milliseconds(200)
  /// What the one who watches rests between two looks at the bells, in seconds.
  private static let watchPause = 0.001

  /// - Parameter onSuccess: is called again and again while all goes well.
  func run(onSuccess: () -> Void) async throws {
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
        case .look(let streams): try await look(at: streams)
        case .sleep(let time): try await clock.sleep(until: time, tolerance: nil)
        case .watch(let time): try await watch(until: time)
        }
        onSuccess()
      }
    }
  }

  // MARK: Bells

  private func watch(until time: ContinuousClock.Instant) async throws {
    let known = pump.schedule { $0.bells }
    let left = max(.zero, clock.now.duration(to: time))
    // A pooler's connections are not for waiting.
    let patience = isPooled ? .zero : min(Self.watchInterval, left)
    let rows = try await connection.query(
      "CALL tidemark.watch(\(known), NULL, \(patience / .seconds(1)), \(Self.watchPause))"
    )
    let (bells, isWatching) = try rows[0].decode(([Int64], Bool).self)
    pump.schedule { $0.heard(bells) }
    if bells != known || (isWatching && !isPooled) { return }
    let pause = min(pollInterval, max(.zero, clock.now.duration(to: time)))
    await waiting(atMost: pause, on: clock) { await pump.alarm.wait() }
  }

  // MARK: Looks

  private func look(at streams: [Int32]) async throws {
    do {
      return try await step(streams)
    } catch {
      if connection.isClosed || error is CancellationError { throw error }
      if streams.count == 1 { return try failed(streams[0], error) }
      logger.debug("A step of several streams has failed", metadata: ["error": "\(error)"])
    }
    // Each by itself: what is wrong with one must not stop the others.
    for stream in streams { try await look(at: [stream]) }
  }

  private func failed(_ stream: Int32, _ error: any Error) throws {
    let cause = (error as? TidemarkError)?.underlying as? PQError
    // A session that does not know the log's newest partition goes on refusing.
    if cause?.isUnknownPartition == true { throw error }
    let generations = pump.generations(of: stream)
    if cause?.sqlState == "57014" { for generation in generations { generation.heads.shrinkSteps() } }
    guard let error = error as? TidemarkError, !error.isRetryable else {
      let delay = pump.schedule { $0.failed(stream, at: clock.now) }
      logger.warning(
        "Cannot advance the stream",
        metadata: [
          "stream": "\(generations.first?.fullName ?? "\(stream)")", "error": "\(error)",
          "retry": "\(delay)",
        ]
      )
      return
    }
    pump.end(stream, failure: error)
  }

  private func step(_ streams: [Int32]) async throws {
    let start = clock.now
    let readers = streams.map { pump.generations(of: $0) }
    let places = pump.schedule { schedule in streams.map { schedule.place(of: $0) } }
    // Of two that read one stream, the one that knows less.
    let heads = readers.map { generations in
      let heads = generations.map(\.heads.streamHead)
      return heads.contains(nil) ? nil : heads.compactMap(\.self).min()
    }
    let sizes = readers.joined().map(\.heads.stepSize)
    let maximumRows = sizes.map(\.rows).min() ?? StepSize.maximumRows
    let maximumBytes = sizes.map(\.bytes).min() ?? StepSize().bytes
    let answers = try await reading(.stream, on: pump.pool) {
      try await connection.query(
        """
        SELECT stream_id, busy, moved, head, enabled, last_id, open_xid::text, changed_shards, changed_heads
        FROM tidemark.advance_streams(\(streams), \(heads), \(places.map(\.lastID)),
          \(places.map(\.openXID))::text[]::xid8[], \(Int32(maximumRows)), \(maximumBytes))
        """
      )
    }
    let indices = Dictionary(uniqueKeysWithValues: zip(streams, streams.indices))
    var findings: [Int32: PumpSchedule.Finding] = [:]
    for row in answers {
      let (stream, busy, moved, head, enabled, lastID, openXID, shards, shardHeads) = try row.decode(
        (Int32, Bool, Int, Int64?, Bool?, Int64?, String?, [Int32]?, [Int64]?).self
      )
      guard let head, let enabled, let index = indices[stream] else {
        pump.end(stream)
        continue
      }
      let answer = StreamAdvance(
        isBusy: busy,
        moved: moved,
        head: head,
        isEnabled: enabled,
        shards: shards,
        shardHeads: shardHeads
      )
      findings[stream] = PumpSchedule.Finding(
        isBusy: busy,
        hasNews: moved > 0 || head != heads[index],
        isCutShort: moved >= maximumRows,
        place: PumpSchedule.Place(lastID: lastID, openXID: openXID)
      )
      for generation in readers[index] { await apply(answer, to: generation) }
      if !enabled { pump.end(stream) }
    }
    pump.schedule { $0.looked(at: streams, finding: findings, from: start, to: clock.now) }
  }

  private func apply(_ answer: StreamAdvance, to generation: StreamGeneration) async {
    if generation.heads.isKeptWaiting(answer, at: clock.now) {
      await generation.tellOfTurn(on: pump.pool, logger)
    }
    await wake(generation.heads.take(answer), of: generation)
  }

  // MARK: Reads

  /// Wakes readers, with what they would read now: one statement for all of a stream instead of some for each.
  private func wake(_ waiters: [StreamHeads.Waiter], of generation: StreamGeneration) async {
    let partition = (generation.heads.streamHead ?? 0) >> 32
    var shards: Set<Int32> = []
    var wishes: [FreshRecords.Wish] = []
    var others: [StreamHeads.Waiter] = []
    for waiter in waiters {
      // Behind a pooler no setting makes sure of the plan. What is in another partition a reader has to find by itself.
      if !isPooled, let wish = waiter.wish, wish.partition == partition, shards.insert(waiter.shard).inserted
      {
        wishes.append(.init(waiter: waiter, page: wish, mark: generation.heads.mark(of: waiter.shard)))
      } else {
        others.append(waiter)
      }
    }
    for waiter in others { waiter.resume() }
    if wishes.isEmpty { return }
    let records = await read(wishes, in: partition, of: generation)
    for wish in wishes { wish.waiter.resume(with: records[wish.waiter.shard]) }
  }

  /// - Returns: by shard; none if something is wrong: each reads by itself then, and says what it is.
  private func read(
    _ wishes: [FreshRecords.Wish],
    in partition: Int64,
    of generation: StreamGeneration
  ) async -> [Int32: FreshRecords] {
    do {
      let rows = try await connection.query(
        FreshRecords.statement(for: wishes, in: partition, of: generation)
      )
      return try FreshRecords.slices(of: rows, for: wishes, of: generation)
    } catch {
      logger.debug("Cannot read new records together", metadata: ["error": "\(error)"])
      return [:]
    }
  }
}
