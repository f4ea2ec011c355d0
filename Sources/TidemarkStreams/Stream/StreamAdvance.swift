import LibPQ
import Logging
import Tidemark
import TidemarkPostgres

/// What `tidemark.advance` answers.
struct StreamAdvance: Sendable {
  /// Somebody else was moving rows; what came after they had looked is still in the inbox.
  var isBusy: Bool
  var moved: Int
  /// The last sequence number of the stream.
  var head: Int64
  var isEnabled: Bool
  /// The shards with news and their last sequence numbers; `nil` when any shard may have some.
  var shardHeads: [Int32: Int64]?

  /// - Parameters:
  ///   - shards: as the database has them; `nil` when any shard may have news.
  ///   - shardHeads: of these shards.
  init(isBusy: Bool, moved: Int, head: Int64, isEnabled: Bool, shards: [Int32]?, shardHeads: [Int64]?) {
    self.isBusy = isBusy
    self.moved = moved
    self.head = head
    self.isEnabled = isEnabled
    self.shardHeads = shards.map { Dictionary(uniqueKeysWithValues: zip($0, shardHeads ?? [])) }
  }

  /// Moves what is in the inbox to the log, unless somebody else does just now, and asks what is new.
  ///
  /// - Parameters:
  ///   - seenHead: the last sequence number of the stream that the caller knows about.
  ///   - size: how much to move at most.
  static func advance(
    _ stream: Int32,
    from seenHead: Int64?,
    size: StepSize = StepSize(),
    on session: some PQQueryable
  ) async throws -> Self {
    try await reading(.stream) { try await ask(stream, seenHead, size, on: session) }
  }

  static func advance(
    _ stream: Int32,
    from seenHead: Int64?,
    size: StepSize = StepSize(),
    on pool: PQPool
  ) async throws -> Self {
    try await reading(.stream, on: pool) {
      try await pool.writingLog { try await ask(stream, seenHead, size, on: $0) }
    }
  }

  private static func ask(
    _ stream: Int32,
    _ seenHead: Int64?,
    _ size: StepSize,
    on session: some PQQueryable
  ) async throws -> Self {
    let rows = try await session.query(
      PQStatement(
        """
        SELECT busy, moved, head, enabled, changed_shards, changed_heads
        FROM tidemark.advance($1, $2, $3, $4)
        """,
        stream,
        seenHead,
        Int32(size.rows),
        size.bytes
      )
    )
    let (busy, moved, head, enabled, shards, heads) = try rows[0].decode(
      (Bool, Int, Int64, Bool, [Int32]?, [Int64]?).self
    )
    return StreamAdvance(
      isBusy: busy,
      moved: moved,
      head: head,
      isEnabled: enabled,
      shards: shards,
      shardHeads: heads
    )
  }

  /// Moves all that is committed by now, in steps of ``StepSize/maximumRows``. A caller that waits for a step that finds
  /// nothing to move waits for ever where there are always writers.
  ///
  /// - Parameters:
  ///   - seenHead: see ``advance(_:from:size:on:)``; asked before each step.
  ///   - answered: is given the answer of each step.
  ///   - waitForTurn: waits while somebody else has the turn; `nil` to leave the rest to them.
  static func advanceFully(
    _ stream: Int32,
    from seenHead: () -> Int64? = { nil },
    on pool: PQPool,
    answered: (Self) -> Void = { _ in },
    waitForTurn: (() async throws -> Void)? = nil
  ) async throws {
    while true {
      let answer = try await advance(stream, from: seenHead(), size: StepSize(bytes: .max), on: pool)
      answered(answer)
      if answer.isBusy {
        guard let waitForTurn else { return }
        try await waitForTurn()
      } else if answer.moved < StepSize.maximumRows {
        return
      }
    }
  }
}

extension PostgresStream {
  /// A step for all who read the stream in this process, with what they know and for them to know. A step that the server
  /// has cancelled is followed by smaller ones. If others keep the turn for long without a step, this says so.
  func advance(_ stream: StreamGeneration) async throws -> StreamAdvance {
    let heads = stream.heads
    do {
      let answer = try await StreamAdvance.advance(
        stream.id,
        from: heads.streamHead,
        size: heads.stepSize,
        on: pool
      )
      if heads.isKeptWaiting(answer, at: clock.now) { await stream.tellOfTurn(on: pool, logger) }
      heads.apply(answer)
      return answer
    } catch let error as TidemarkError where (error.underlying as? PQError)?.sqlState == "57014" {
      heads.shrinkSteps()
      throw error
    }
  }
}

extension StreamGeneration {
  /// Says that others keep the stream's turn for long.
  func tellOfTurn(on pool: PQPool, _ logger: Logger) async {
    guard let holders = try? await LockHolder.ofTurn(of: id, on: pool), !holders.isEmpty else { return }
    logger.warning(
      "Cannot advance the stream: another session holds its turn",
      metadata: holders.metadata.merging(["stream": "\(name)"]) { $1 }
    )
  }
}

extension PQPool {
  /// Runs what adds to a stream's log. A session that does not know the log's newest partition (see `tidemark.log_table`)
  /// refuses to, and goes on refusing: it is closed.
  nonisolated(nonsending) func writingLog<Result>(
    _ body: (PQConnection) async throws -> Result
  ) async throws -> Result {
    try await withConnection { connection in
      do {
        return try await body(connection)
      } catch {
        let cause = (error as? TidemarkError)?.underlying ?? error
        if (cause as? PQError)?.isUnknownPartition == true { await connection.close() }
        throw error
      }
    }
  }
}
