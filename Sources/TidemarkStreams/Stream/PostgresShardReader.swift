import LibPQ
import Logging
import Tidemark
import TidemarkPostgres
import Waiting

/// A cursor in one shard of a PostgreSQL stream: the last sequence number that was returned.
actor PostgresShardReader: ShardReader {
  /// How long a read waits for a first record.
  private static let patience = Duration.seconds(1)

  private let stream: PostgresStream
  private let generation: StreamGeneration
  private let shardID: String
  private let shardOrdinal: Int32
  let origin: Checkpoint
  private var position: ShardPosition
  /// The history that the stream was on when it was last read.
  private var history: Int64
  /// What was known of the shard when it was last read to its head; `nil` if there was more.
  private var caughtUp: StreamHeads.Mark?
  /// How many records a page holds by its limit in bytes, if they are like those of the last one: to ask for more only
  /// makes the server count.
  private var likelyRecords = Int.max
  private var hasWarnedOfOmission = false
  /// The records that came with the news.
  private var fresh: FreshRecords?
  /// How many records were asked for last.
  private var maximumRecords = 1

  private init(
    _ stream: PostgresStream,
    _ generation: StreamGeneration,
    _ shardID: String,
    _ shardOrdinal: Int32,
    _ origin: Checkpoint,
    _ position: ShardPosition
  ) {
    self.stream = stream
    self.generation = generation
    self.shardID = shardID
    self.shardOrdinal = shardOrdinal
    self.origin = origin
    self.position = position
    // So that the first page says what was lost before.
    self.history = -1
  }

  static func open(
    _ shardID: String,
    after checkpoint: Checkpoint,
    in stream: PostgresStream
  ) async throws -> PostgresShardReader {
    let shard = try await ShardRow.of(shardID, in: stream)
    var position = try await position(after: checkpoint, of: shardID, in: shard, on: stream.pool)
    let next = shard.partitions.first { $0 >= position.nextOrdinal }
    if position.goesOn(in: next, endingSequence: shard.bounds.endingSequence) { position.enter(next) }
    if position.hasMissed(trimmedThrough: shard.bounds.trimmedThrough), case .record = checkpoint {
      throw trimmed(shardID, after: position.last, through: shard.bounds.trimmedThrough)
    }
    // A place that the words mean now: opened there again, a reader misses nothing in between.
    let origin =
      switch checkpoint {
      case .latest, .trimHorizon: Checkpoint.record(SequenceNumber(UInt64(position.last)))
      case .record, .atTimestamp, .shardEnd: checkpoint
      }
    return PostgresShardReader(stream, shard.generation, shardID, shard.ordinal, origin, position)
  }

  private static func position(
    after checkpoint: Checkpoint,
    of shardID: String,
    in shard: ShardRow,
    on pool: PQPool
  ) async throws -> ShardPosition {
    var number: Int64?
    switch checkpoint {
    case .atTimestamp(let time):
      return ShardPosition(after: try await positionAt(time, in: shard, on: pool))
    case .record(let sequence, _):
      number = sequence.uint64Value.flatMap { Int64(exactly: $0) }
      if number == nil {
        throw TidemarkError(
          .checkpointOutOfRange,
          "The sequence number \(sequence) is not one of the stream \(shard.generation.fullName)."
        )
      }
    case .trimHorizon, .latest, .shardEnd: break
    }
    guard let position = ShardPosition(checkpoint, number: number, in: shard.bounds) else {
      throw TidemarkError(
        .checkpointOutOfRange,
        "The shard \(shardID) is open: it has no end to start after."
      )
    }
    return position
  }

  private static func positionAt(
    _ time: Timestamp,
    in shard: ShardRow,
    on pool: PQPool
  ) async throws -> Int64 {
    try await reading(.stream, on: pool) {
      let rows = try await pool.query(
        """
        SELECT tidemark.position_at(\(shard.generation.id), \(shard.ordinal),
          timestamptz 'epoch' + \(time.microsecondsSinceEpoch) * interval '1 microsecond')
        """
      )
      return try rows[0].decode(Int64.self)
    }
  }

  func nextPage(maximumRecords: Int) async throws -> ShardPage {
    self.maximumRecords = max(1, maximumRecords)
    if let fresh = fresh.take(), fresh.position == position.last, fresh.rows.count <= self.maximumRecords {
      return page(of: fresh)
    }
    let deadline = stream.clock.now.advanced(by: Self.patience)
    var delay = DoublingDelay(from: .milliseconds(1), to: stream.pollInterval)
    while true {
      let mark = generation.heads.mark(of: shardOrdinal)
      caughtUp = nil
      let (page, isCutShort) = try await read(maximumRecords: max(1, maximumRecords))
      if !isCutShort { caughtUp = mark }
      if !page.records.isEmpty || page.end != nil { return page }
      if try await !hasNews(since: mark, until: deadline, &delay) { return page }
    }
  }

  func waitForNews() async throws {
    let (heads, shard) = (generation.heads, shardOrdinal)
    while let mark = caughtUp, heads.isPumped, heads.mark(of: shard) == mark {
      let wish = position.partition.map { partition in
        PageWish(
          position: position.last,
          partition: partition,
          maximumRecords: min(maximumRecords, likelyRecords)
        )
      }
      fresh = await heads.news(of: shard, since: mark, wish: wish)
      try Task.checkCancellation()
    }
  }

  private func page(of fresh: FreshRecords) -> ShardPage {
    let content = RecordPage(fresh.storage, fresh.rows)
    returned(content)
    caughtUp = fresh.mark
    return ShardPage(records: content.records, readAt: fresh.readAt)
  }

  /// Waits for news of the shard until the deadline; looks for some once even when that has passed, so that a
  /// slow database is no reason never to get on.
  private func hasNews(
    since mark: StreamHeads.Mark,
    until deadline: ContinuousClock.Instant,
    _ delay: inout DoublingDelay
  ) async throws -> Bool {
    let (heads, shard) = (generation.heads, shardOrdinal)
    repeat {
      try Task.checkCancellation()
      if heads.isPumped {
        await waiting(atMost: stream.clock.now.duration(to: deadline), on: stream.clock) {
          await heads.news(of: shard, since: mark)
        }
      } else {
        let answer = try await stream.advance(generation)
        if answer.moved > 0 || answer.isBusy { delay.reset() }
        if answer.moved == 0, heads.mark(of: shard) == mark {
          try await stream.clock.sleep(for: delay.next())
        }
      }
      if heads.mark(of: shard) != mark { return true }
    } while stream.clock.now < deadline
    return false
  }

  /// Reads what there is, without waiting.
  /// - Returns: the page, and whether more is there, or may be.
  func read(maximumRecords: Int) async throws -> (ShardPage, isCutShort: Bool) {
    var missing: Int64?
    while true {
      do {
        if let result = try await readPartition(maximumRecords: maximumRecords) { return result }
      } catch let gone as PartitionIsGone {
        // Retention has taken it, or the whole stream: the next look says which.
        if missing == gone.ordinal { throw gone.asTidemarkError(stream: generation.id) }
        missing = gone.ordinal
        position.enter(nil)
      }
    }
  }

  /// Reads from one partition of the log.
  /// - Returns: nil if it has nothing, and another one follows.
  private func readPartition(maximumRecords: Int) async throws -> (ShardPage, isCutShort: Bool)? {
    let results = try await reading(.stream, on: stream.pool) {
      do {
        return try await ask(maximumRecords)
      } catch let error as PQError where error.isUntranslatable {
        return try await ask(maximumRecords, takesAnyText: true)
      }
    }
    guard let before = results.first?.first, let after = results.last?.first else {
      throw TidemarkError.noShard(shardID, in: stream.name)
    }
    let (endingSequence, history, next, _, _) = try before.decode(
      (Int64?, Int64, Int64?, String, String).self
    )
    let (trimmedThrough, now) = try after.decode((Int64, Int64).self)
    if position.hasMissed(trimmedThrough: trimmedThrough) {
      throw Self.trimmed(shardID, after: position.last, through: trimmedThrough)
    }
    let content = position.partition == nil ? RecordPage() : try RecordPage(results[1], of: generation)
    let isRead = !content.isCutShort && position.goesOn(in: next, endingSequence: endingSequence)
    if isRead, content.records.isEmpty {
      position.enter(next)
      return nil
    }
    let isCutShort = content.isCutShort || isRead
    var page = ShardPage(records: content.records, readAt: Timestamp(microsecondsSinceEpoch: now))
    if isCutShort, let last = content.records.last {
      page.millisBehindLatest = max(0, now - last.approximateCreationTime.microsecondsSinceEpoch) / 1000
    } else if endingSequence != nil {
      page.end = try await end(isNext: content.records.isEmpty)
    }
    if history != self.history {
      page.loss = try await loss()
      self.history = history
    }
    // Nothing throws from here on.
    returned(content)
    if isRead { position.enter(next) }
    return (page, isCutShort)
  }

  private func returned(_ content: RecordPage) {
    if let last = content.lastPosition { position.returned(last) }
    if let record = content.firstOmitting { warnOfOmission(record) }
    likelyRecords = content.likelyRecords
  }

  private func warnOfOmission(_ record: Int64) {
    if hasWarnedOfOmission { return }
    hasWarnedOfOmission = true
    stream.logger.warning(
      "Records of this shard lack an image, because it is larger than the stream takes (stream alter --max-image)",
      metadata: ["stream": "\(generation.fullName)", "shard": "\(shardID)", "sequenceNumber": "\(record)"]
    )
  }

  /// What the database says of the shard and, in between, the records.
  private func ask(_ maximumRecords: Int, takesAnyText: Bool = false) async throws -> [PQRows] {
    let partition = position.partition
    // In this order, each with a snapshot of its own: a shard that was closed, and a partition that was followed by
    // another, before the records were read have no more of them; and what was dropped before they were read is known to
    // be when asked after. The stream first of all, as everybody else: whoever migrates waits for it with nothing locked.
    var statements: [PQStatement] = [
      """
      SELECT s.ending_sequence, t.history_number,
        (SELECT min(p.partition_ordinal) FROM tidemark.log_partition p
          WHERE p.stream_id = s.stream_id AND p.partition_ordinal >= \(position.nextOrdinal)),
        set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)
      FROM tidemark.stream t JOIN tidemark.shard s USING (stream_id)
      WHERE s.stream_id = \(generation.id) AND s.shard_ordinal = \(shardOrdinal) AND s.shard_id = \(shardID)
      """,
      """
      SELECT s.trimmed_through, (date_part('epoch', clock_timestamp()) * 1000000)::bigint
      FROM tidemark.shard s WHERE s.stream_id = \(generation.id) AND s.shard_ordinal = \(shardOrdinal)
      """,
    ]
    if let partition {
      let page = RecordPage.statement(
        stream: generation.id,
        partition: partition,
        shard: shardOrdinal,
        after: position.last,
        maximumRecords: min(maximumRecords, likelyRecords),
        takesAnyText: takesAnyText
      )
      statements.insert(page, at: 1)
    }
    do {
      return try await stream.pool.pipeline(statements)
    } catch let error as PQError where error.sqlState == "42P01" {
      throw partition.map { PartitionIsGone(ordinal: $0) as any Error } ?? error
    }
  }

  /// The closed shard's end. That of a stream whose capture was lost looks like the end of one that was disabled, but
  /// must not pass for it: it is an error, once all records before it have been returned,
  /// until somebody enables the stream again.
  private func end(isNext: Bool) async throws -> ShardPage.End? {
    try await reading(.stream, on: stream.pool) {
      let children = try await Shard.list(
        of: stream.name,
        for: stream.application,
        childrenOf: shardID,
        on: stream.pool
      )
      if children.isEmpty, let failure = try await captureFailure() {
        if isNext { throw TidemarkError.captureLost(failure) }
        return nil
      }
      return ShardPage.End(children: children)
    }
  }

  /// What was returned before, and is lost since the stream's numbers have jumped.
  private func loss() async throws -> ShardPage.Loss? {
    try await reading(.stream, on: stream.pool) {
      let jumps = try await stream.pool.query(
        """
        SELECT j.from_head, j.to_head FROM tidemark.jump j
        WHERE j.stream_id = \(generation.id) AND j.from_head < \(position.last) AND j.to_head >= \(position.last)
        """
      ).map { row in
        let (from, to) = try row.decode((Int64, Int64).self)
        return ShardPosition.Jump(fromHead: from, toHead: to)
      }
      guard let loss = position.loss(in: jumps) else { return nil }
      // For whoever looks at the stream.
      _ = try await stream.pool.query("SELECT tidemark.note_loss(\(generation.id), \(position.last))")
      return loss
    }
  }

  private func captureFailure() async throws -> String? {
    let rows = try await stream.pool.query(
      "SELECT s.failure FROM tidemark.stream s WHERE s.stream_id = \(generation.id)"
    )
    return try rows.first?.decode(String?.self)
  }

  private static func trimmed(_ shardID: String, after position: Int64, through trimmed: Int64)
    -> TidemarkError
  {
    TidemarkError(
      .recordsTrimmed,
      "Records of the shard \(shardID) after \(position) and up to \(trimmed) are older than the stream's "
        + "retention and gone.",
      advice: "Go on from TRIM_HORIZON, and give the stream a longer retention or the consumer more time."
    )
  }
}

/// The table of a log partition is not there, or no more.
private struct PartitionIsGone: Error {
  var ordinal: Int64

  func asTidemarkError(stream: Int32) -> TidemarkError {
    TidemarkError(
      .unsupported,
      "The table tidemark.log_\(stream)_\(ordinal), which holds records of the stream, is gone.",
      advice: "It was not Tidemark that dropped it. Disable the stream and enable it again."
    )
  }
}

/// A shard as it is when a reader is opened.
private struct ShardRow {
  var generation: StreamGeneration
  var ordinal: Int32
  var bounds: ShardPosition.Bounds
  /// The ordinals of the log's partitions.
  var partitions: [Int64]

  static func of(_ shardID: String, in stream: PostgresStream) async throws -> ShardRow {
    let rows = try await reading(.stream, on: stream.pool) {
      try await stream.pool.query(
        """
        SELECT t.stream_id, t.name, t.label, t.uid, t.view_type, t.capture, s.shard_ordinal, s.starting_sequence,
          s.ending_sequence, s.trimmed_through,
          (SELECT max(p.head) FROM tidemark.step p WHERE p.stream_id = s.stream_id),
          ARRAY(SELECT p.partition_ordinal FROM tidemark.log_partition p WHERE p.stream_id = s.stream_id ORDER BY 1)
        FROM tidemark.streams_named(\(stream.name)) t JOIN tidemark.shard s ON s.stream_id = t.stream_id
        WHERE s.shard_id = \(shardID)
        """
      )
    }
    guard let row = rows.first else { throw TidemarkError.noShard(shardID, in: stream.name) }
    let (id, name, label, uid, viewType, capture, ordinal, starting, ending, trimmed, head, partitions) =
      try row.decode(
        (Int32, String, String, Int64, String?, String, Int32, Int64, Int64?, Int64, Int64, [Int64]).self
      )
    return ShardRow(
      generation: stream.known(
        StreamGeneration(id: id, name: name, label: label, uid: uid, viewType: viewType, capture: capture)
      ),
      ordinal: ordinal,
      bounds: ShardPosition.Bounds(
        startingSequence: starting,
        endingSequence: ending,
        trimmedThrough: trimmed,
        streamHead: head
      ),
      partitions: partitions
    )
  }
}

extension TidemarkError {
  fileprivate static func noShard(_ shardID: String, in stream: String) -> TidemarkError {
    TidemarkError(
      .shardNotFound,
      "The stream \(stream) has no shard \(shardID), or has it no more.",
      advice: """
        A closed shard goes when all its records are older than the retention, and one that a database has lost does \
        not come back. To end its lease: tidemark leases reset --application … --stream \(stream) --shard \(shardID) \
        --to SHARD_END
        """
    )
  }
}
