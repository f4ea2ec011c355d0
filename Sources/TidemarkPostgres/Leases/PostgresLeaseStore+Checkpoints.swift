import LibPQ
import Tidemark

extension PostgresLeaseStore {
  public func checkpoint(_ writes: [CheckpointWrite]) async throws -> [WriteOutcome] {
    try await write { try await Self.checkpoint(writes, in: pool) }
  }

  private static func checkpoint(
    _ writes: [CheckpointWrite],
    in database: some PQQueryable
  ) async throws -> [WriteOutcome] {
    var outcomes = [WriteOutcome?](repeating: nil, count: writes.count)
    var rest = Array(writes.indices)
    // An UPDATE changes a row once; a second write of a lease takes a second statement.
    while !rest.isEmpty {
      var named: Set<LeaseGrant> = []
      let batch = rest.filter { named.insert(writes[$0].grant).inserted }
      let taken = Set(batch)
      rest.removeAll { taken.contains($0) }
      let result = try await checkpointOnce(batch.map { writes[$0] }, in: database)
      for (index, outcome) in zip(batch, result) { outcomes[index] = outcome }
    }
    return outcomes.map { $0 ?? .leaseLost }
  }

  private static func checkpointOnce(
    _ writes: [CheckpointWrite],
    in database: some PQQueryable
  ) async throws -> [WriteOutcome] {
    let checkpoints = try writes.map { try storable($0.checkpoint) }
    let from = try writes.map { try storable($0.from) }
    let rows = try await database.query(
      writes.count == 1
        ? PQStatement(
          checkpointing(
            """
            (SELECT $1::text AS application, $2::text AS stream, $3::text AS shard_id, $4::bigint AS owner,
              $5::bigint AS epoch, $6::text AS checkpoint, $7::bigint AS sub_sequence_number,
              $8::text AS from_checkpoint, $9::bigint AS from_sub_sequence_number, 1::bigint AS position) AS w
            """
          ),
          writes[0].grant.scope.application,
          writes[0].grant.stream,
          writes[0].grant.shardID,
          writes[0].grant.owner.number,
          writes[0].grant.epoch.number,
          checkpoints[0].text,
          checkpoints[0].subSequenceNumber,
          from[0].text,
          from[0].subSequenceNumber
        )
        : PQStatement(
          checkpointing(
            """
            unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[],
              $8::text[], $9::bigint[]) WITH ORDINALITY AS w (
              application, stream, shard_id, owner, epoch, checkpoint, sub_sequence_number, from_checkpoint,
              from_sub_sequence_number, position)
            """
          ),
          writes.map(\.grant.scope.application),
          writes.map(\.grant.stream),
          writes.map(\.grant.shardID),
          writes.map(\.grant.owner.number),
          writes.map(\.grant.epoch.number),
          checkpoints.map(\.text),
          checkpoints.map(\.subSequenceNumber),
          from.map(\.text),
          from.map(\.subSequenceNumber)
        )
    )
    let accepted = Set(try rows.map { try $0.decode("position", as: Int.self) - 1 })
    let refused = writes.indices.filter { !accepted.contains($0) }
    var outcomes = [WriteOutcome](repeating: .accepted, count: writes.count)
    let reasons = try await reasons(ofRefused: refused.map { (writes[$0].grant, from[$0]) }, in: database)
    for (index, reason) in zip(refused, reasons) { outcomes[index] = reason }
    return outcomes
  }

  /// - Parameter writes: a table `w` of them. Of one it is no array: the server would take the plan for any number of writes
  ///   for the dearer one, and plan a single one again each time.
  private static func checkpointing(_ writes: String) -> String {
    """
    UPDATE tidemark_leases.lease AS l SET
      checkpoint = w.checkpoint, sub_sequence_number = w.sub_sequence_number,
      pending_checkpoint = NULL, pending_sub_sequence_number = NULL, pending_state = NULL,
      updated_at = clock_timestamp()
    FROM \(writes)
    WHERE l.application = w.application AND l.stream = w.stream AND l.shard_id = w.shard_id
      AND l.owner = w.owner AND l.epoch = w.epoch
      AND (tidemark_leases.checkpoint_rank(w.checkpoint), w.sub_sequence_number)
        >= (tidemark_leases.checkpoint_rank(l.checkpoint), l.sub_sequence_number)
      AND (tidemark_leases.checkpoint_rank(l.checkpoint), l.sub_sequence_number)
        >= (tidemark_leases.checkpoint_rank(w.from_checkpoint), w.from_sub_sequence_number)
    RETURNING w.position
    """
  }

  /// Why writes were refused. A grant that still holds, of a lease as far as the write says, must have been going back,
  /// for within an epoch a checkpoint only rises; so it does not matter that this is asked later.
  private static func reasons(
    ofRefused writes: [(grant: LeaseGrant, from: StoredCheckpoint)],
    in database: some PQQueryable
  ) async throws -> [WriteOutcome] {
    if writes.isEmpty { return [] }
    let (grants, from) = (writes.map(\.grant), writes.map(\.from))
    let rows = try await database.query(
      """
      SELECT w.position
      FROM unnest(
        \(grants.map(\.scope.application)), \(grants.map(\.stream)), \(grants.map(\.shardID)),
        \(grants.map(\.owner.number)), \(grants.map(\.epoch.number)), \(from.map(\.text)),
        \(from.map(\.subSequenceNumber))
      ) WITH ORDINALITY AS w (
        application, stream, shard_id, owner, epoch, from_checkpoint, from_sub_sequence_number, position)
      JOIN tidemark_leases.lease AS l USING (application, stream, shard_id, owner, epoch)
      WHERE (tidemark_leases.checkpoint_rank(l.checkpoint), l.sub_sequence_number)
        >= (tidemark_leases.checkpoint_rank(w.from_checkpoint), w.from_sub_sequence_number)
      """
    )
    let holding = Set(try rows.map { try $0.decode("position", as: Int.self) - 1 })
    return grants.indices.map { holding.contains($0) ? .wouldGoBack : .leaseLost }
  }

  private static func storable(_ checkpoint: Checkpoint) throws -> StoredCheckpoint {
    guard checkpoint != .shardEnd else {
      throw TidemarkError(
        .checkpointOutOfRange,
        "A worker cannot write SHARD_END as a checkpoint.",
        advice: "Use endShard."
      )
    }
    return try StoredCheckpoint(checkpoint)
  }

  public func prepareCheckpoint(
    _ pending: Lease.PendingCheckpoint,
    for grant: LeaseGrant,
    from: Checkpoint
  ) async throws -> WriteOutcome {
    let stored = try StoredCheckpoint(pending.checkpoint)
    let from = try StoredCheckpoint(from)
    let statement = PQStatement(
      """
      UPDATE tidemark_leases.lease SET pending_checkpoint = $6, pending_sub_sequence_number = $7,
        pending_state = $8, updated_at = clock_timestamp()
      WHERE \(Self.granted("$1", "$2", "$3", "$4", "$5"))
        AND (tidemark_leases.checkpoint_rank($6), $7) >= (tidemark_leases.checkpoint_rank(checkpoint), sub_sequence_number)
        AND \(Self.hasReached("$9", "$10"))
      """,
      grant.scope.application,
      grant.stream,
      grant.shardID,
      grant.owner.number,
      grant.epoch.number,
      stored.text,
      stored.subSequenceNumber,
      pending.state,
      from.text,
      from.subSequenceNumber
    )
    return try await write {
      if try await pool.execute(statement) == 1 { return .accepted }
      return try await Self.reasons(ofRefused: [(grant, from)], in: pool)[0]
    }
  }

  // MARK: Dead letters

  public func deadLetter(
    _ letters: [DeadLetter],
    passing write: CheckpointWrite
  ) async throws -> WriteOutcome {
    let checkpoint = try Self.storable(write.checkpoint)
    let from = try Self.storable(write.from)
    return try await Self.writingText { text in
      let rows = try letters.map { try DeadLetterRow($0, text) }
      let statement = Self.deadLetterStatement(rows, write.grant, checkpoint, from: from)
      return try await self.write {
        if try await !pool.query(statement).isEmpty { return .accepted }
        return try await Self.reasons(ofRefused: [(write.grant, from)], in: pool)[0]
      }
    }
  }

  private static func deadLetterStatement(
    _ rows: [DeadLetterRow],
    _ grant: LeaseGrant,
    _ checkpoint: StoredCheckpoint,
    from: StoredCheckpoint
  ) -> PQStatement {
    PQStatement(
      """
      WITH passed AS (
        UPDATE tidemark_leases.lease SET checkpoint = $6, sub_sequence_number = $7,
          pending_checkpoint = NULL, pending_sub_sequence_number = NULL, pending_state = NULL,
          updated_at = clock_timestamp()
        WHERE \(granted("$1", "$2", "$3", "$4", "$5"))
          AND (tidemark_leases.checkpoint_rank($6), $7)
            >= (tidemark_leases.checkpoint_rank(checkpoint), sub_sequence_number)
          AND \(hasReached("$19", "$20"))
        RETURNING application, stream, shard_id
      ), stored AS (
        INSERT INTO tidemark_leases.dead_letter (
          application, stream, shard_id, sequence_number, sub_sequence_number, partition_key,
          approximate_creation_time, event_name, keys, new_image, old_image, data, attempts, reason)
        SELECT p.application, p.stream, p.shard_id, d.sequence_number, d.sub_sequence_number,
          d.partition_key, timestamptz 'epoch' + d.microseconds * interval '1 microsecond',
          d.event_name, d.keys::json, d.new_image::json, d.old_image::json, d.data, d.attempts, d.reason
        FROM passed AS p, unnest(
          $8::text[], $9::bigint[], $10::text[], $11::bigint[], $12::text[], $13::text[], $14::text[],
          $15::text[], $16::bytea[], $17::int[], $18::text[]
        ) AS d (
          sequence_number, sub_sequence_number, partition_key, microseconds, event_name, keys, new_image,
          old_image, data, attempts, reason)
        ON CONFLICT (application, stream, shard_id, sequence_number, sub_sequence_number) DO NOTHING
      )
      SELECT FROM passed
      """,
      grant.scope.application,
      grant.stream,
      grant.shardID,
      grant.owner.number,
      grant.epoch.number,
      checkpoint.text,
      checkpoint.subSequenceNumber,
      rows.map(\.sequenceNumber),
      rows.map(\.subSequenceNumber),
      rows.map(\.partitionKey),
      rows.map(\.microseconds),
      rows.map(\.eventName),
      rows.map(\.keys),
      rows.map(\.newImage),
      rows.map(\.oldImage),
      rows.map(\.data),
      rows.map(\.attempts),
      rows.map(\.reason),
      from.text,
      from.subSequenceNumber
    )
  }
}

/// A dead letter as its table keeps it.
private struct DeadLetterRow {
  var sequenceNumber: String
  var subSequenceNumber: Int64
  var partitionKey: String
  var microseconds: Int64
  var eventName: String?
  var keys: String?
  var newImage: String?
  var oldImage: String?
  var data: [UInt8]?
  var attempts: Int32
  var reason: String

  init(_ letter: DeadLetter, _ text: StoredText) throws {
    let position = try StoredCheckpoint(letter.record.checkpoint)
    sequenceNumber = position.text
    subSequenceNumber = position.subSequenceNumber
    partitionKey = text.of(letter.record.partitionKey)
    microseconds = letter.record.approximateCreationTime.microsecondsSinceEpoch
    attempts = Int32(clamping: letter.attempts)
    reason = text.of(letter.reason)
    switch letter.record.body {
    case .data(let bytes):
      data = Array(bytes)
    case .change(let change):
      eventName = change.eventName.rawValue
      keys = text.of(change.keys.description)
      newImage = (change.newImage?.description).map(text.of)
      oldImage = (change.oldImage?.description).map(text.of)
    }
  }
}
