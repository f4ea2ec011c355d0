import PostgresClient
import Tidemark

/// One session with the slot: a task decodes what comes, another appends it to the log and then confirms it.
struct CaptureSession: Sendable {
  /// The settings that the trigger's function has, for values spelled alike.
  private static let settings = [
    "TimeZone": "UTC", "DateStyle": "ISO", "IntervalStyle": "postgres", "bytea_output": "hex",
    "extra_float_digits": "1", "search_path": "pg_catalog,pg_temp",
    // A process that is paused for longer loses the slot to another.
    "wal_sender_timeout": "5s",
  ]

  /// An append costs the server as much as a hundred records do, however few it has. So after one with fewer than
  /// `smallAppend` records, which did not come because of a backlog, the next begins no sooner than this.
  private static let pace = Duration.milliseconds(3)
  private static let smallAppend = 500

  private struct ReachedTarget: Error {}

  private let capture: LogicalCapture
  private let state: CaptureState
  private let slot: String
  private let target: PostgresLSN?
  private let buffer = CaptureBuffer()

  init(_ capture: LogicalCapture, _ state: CaptureState, slot: String, target: PostgresLSN?) {
    self.capture = capture
    self.state = state
    self.slot = slot
    self.target = target
  }

  /// Captures until it reaches the target or how far it may go, or is cut short.
  func run(onProgress: () -> Void) async throws {
    let replication = try await capture.pool.startReplication(configuration)
    onProgress()
    // Asked again now that the slot is held: whoever had it may have appended since.
    guard let state = try await CaptureState.of(state.source.stream, on: capture.pool) else {
      await replication.close()
      return
    }
    do {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await decode(replication, CaptureDecoder(state.source, from: state.position)) }
        group.addTask { try await append(replication, state) }
        defer { group.cancelAll() }
        try await group.next()
      }
    } catch is ReachedTarget {
      // Its end tells the slot's next user that it is free.
    } catch {
      await replication.close()
      throw error
    }
    await replication.close()
  }

  private var configuration: PostgresReplication.Configuration {
    var configuration = PostgresReplication.Configuration(
      slot: slot,
      options: [
        "proto_version": "1", "publication_names": "\"tidemark_\(state.captureID)\"", "messages": "true",
      ],
      start: state.position.lsn
    )
    configuration.settings = Self.settings
    return configuration
  }

  private func decode(_ replication: PostgresReplication, _ start: CaptureDecoder) async throws {
    var decoder = start
    while true {
      let chunk = try await replication.receive()
      var offset = 0
      while offset < chunk.size {
        let changed = try await buffer.fill { batch in
          try decoder.decode(chunk, from: &offset, into: &batch)
        }
        if let changed { try await define(changed, in: &decoder) }
      }
    }
  }

  private func define(_ relation: OutputMessage.Relation, in decoder: inout CaptureDecoder) async throws {
    let types = Array(Set(relation.columns.map(\.type)))
    let catalog = try await FormatCatalog.of(types, on: capture.pool)
    try decoder.define(
      relation,
      formats: Dictionary(uniqueKeysWithValues: types.map { ($0, catalog.format(of: $0)) })
    )
  }

  private func append(_ replication: PostgresReplication, _ state: CaptureState) async throws {
    var stored = state.position
    let last = [target, state.source.end].compactMap { $0 }.min()
    while true {
      let batch = try await buffer.take()
      guard let position = batch.position else { continue }
      let (began, count) = (capture.clock.now, batch.count)
      if count > 0 {
        if try await !append(batch, from: stored, to: position, state) { throw StaleCapture() }
        stored = position
        capture.onAppend()
      }
      buffer.recycle(batch)
      try await replication.confirm(position.lsn)
      if let last, position.lsn >= last { throw ReachedTarget() }
      if count > 0, count < Self.smallAppend {
        try await capture.clock.sleep(for: max(.zero, Self.pace - began.duration(to: capture.clock.now)))
      }
    }
  }

  private func append(
    _ batch: CapturedBatch,
    from start: CapturePosition,
    to end: CapturePosition,
    _ state: CaptureState
  ) async throws -> Bool {
    try await mappingStreamErrors {
      let rows = try await capture.pool.query(
        PostgresStatement(
          """
          SELECT tidemark.append_captured($1, $2, $3::pg_lsn, $4::pg_lsn, $5, $6::pg_lsn, $7, $8, $9, $10, $11, $12,
            $13, $14, $15)
          """,
          state.source.stream,
          state.captureID,
          state.source.end?.description,
          start.lsn.description,
          start.changes,
          end.lsn.description,
          end.changes,
          CapturedTexts(column: batch.events),
          CapturedTexts(column: batch.keys),
          CapturedHashes(column: batch.hashes),
          CapturedImages(column: batch.newImages),
          CapturedImages(column: batch.oldImages),
          CapturedTexts(column: batch.causes),
          CapturedIntegers(column: batch.sizes),
          CapturedTimes(column: batch.times)
        )
      )
      return try rows[0].decode(Bool.self)
    }
  }
}
