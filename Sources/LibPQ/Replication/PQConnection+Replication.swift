import CLibPQ

extension QueryResult {
  /// A value of the first row, where all values are text; empty where there is none.
  fileprivate func text(in column: String) -> String {
    guard let number = columnNumber(of: column), let bytes = value(row: 0, column: number) else { return "" }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// What a replicating connection tells the server.
struct ReplicationStatus {
  /// Up to where messages were received.
  var received: UInt64 = 0
  /// Up to where the client is done.
  var confirmed: UInt64 = 0
  var interval = Duration.zero
  var timer: UInt64?
}

extension PQConnection {
  /// About how many bytes are returned at once.
  private static let chunkSize = 1 << 20

  func startReplication(_ command: String, statusInterval: Duration) async throws {
    try await takeTurn()
    defer { turns.release() }
    try handle.watchForOmission()
    _ = try await perform(isInTransaction: true) { connection in
      try connection.send { PQsendQuery($0, command) }
      guard let result = try await connection.nextResult() else {
        throw PQError(.connectionLost, "The server did not answer.")
      }
      if result.status == PGRES_COPY_BOTH { return }
      let error = connection.checkSeverity(result)
      _ = try? await connection.finishResults()
      throw error
    }
    replication.interval = statusInterval
    pauseReading()
    sendStatusRepeatedly()
  }

  /// Makes a slot whose command exports what is seen at its place, and returns both.
  func makeSlot(_ command: String) async throws -> (place: PQLSN, snapshot: String) {
    try await takeTurn()
    defer { turns.release() }
    return try await perform(isInTransaction: true) { connection in
      try connection.send { PQsendQuery($0, command) }
      let first = try await connection.nextResult()
      if let first, first.status == PGRES_FATAL_ERROR {
        let error = connection.checkSeverity(first)
        _ = try? await connection.finishResults()
        throw error
      }
      _ = try await connection.finishResults()
      guard let first, first.rowCount == 1, let place = PQLSN(first.text(in: "consistent_point")) else {
        throw PQError(.decoding, "The server did not say where the slot begins.")
      }
      return (place, first.text(in: "snapshot_name"))
    }.0
  }

  func receiveReplication() async throws -> PQReplicationChunk {
    try await takeTurn()
    defer { turns.release() }
    return try await withTaskCancellationHandler {
      if Task.isCancelled { throw PQError.cancelled }
      return try await receiveChunk()
    } onCancel: {
      // The session is of no use to anybody else: no need to ask the server to end it in an orderly way.
      loop.execute { [weak self] in self?.assumeIsolated { $0.lose(.cancelled) } }
    }
  }

  func confirmReplication(_ place: PQLSN) throws {
    if place.rawValue <= replication.confirmed { return }
    replication.confirmed = place.rawValue
    try sendStatus()
  }

  private func receiveChunk() async throws -> PQReplicationChunk {
    var chunk = PQReplicationChunk()
    resumeReading()
    defer { pauseReading() }
    while chunk.size < Self.chunkSize {
      if try takeMessages(into: &chunk) { continue }
      if !chunk.isEmpty { break }
      try checkUsable()
      await waitForInput()
    }
    return chunk
  }

  /// Takes what libpq has, and then what the socket has.
  ///
  /// - Returns: whether that was anything.
  private func takeMessages(into chunk: inout PQReplicationChunk) throws -> Bool {
    let before = chunk.size
    while chunk.size < Self.chunkSize {
      var row: UnsafeMutablePointer<CChar>?
      let length = PQgetCopyData(try handle.get(), &row, 1)
      defer { PQfreemem(row) }
      let isOver = length < 0 || handle.omission != nil
      if isOver, chunk.isEmpty { throw endOfReplication() }
      if isOver || length == 0 { break }
      let message = UnsafeRawBufferPointer(start: row, count: Int(length))
      try note(message)
      chunk.append(message)
    }
    if chunk.size > before, failure == nil { _ = PQconsumeInput(try handle.get()) }
    return chunk.size > before
  }

  private func note(_ message: UnsafeRawBufferPointer) throws {
    guard message.count >= 18 else { return }
    replication.received = max(replication.received, message.loadLSN(at: message[0] == 0x77 ? 9 : 1))
    // A keepalive's last byte asks for an answer at once.
    if message[0] == UInt8(ascii: "k"), message[17] != 0 { try sendStatus() }
  }

  /// The server's reason for having ended the stream, if it gave one.
  private func endOfReplication() -> PQError {
    var error = failure ?? handle.omission
    while error == nil, let connection = try? handle.get(), PQisBusy(connection) == 0,
      let result = PQgetResult(connection).map(QueryResult.init)
    {
      if result.status == PGRES_FATAL_ERROR { error = checkSeverity(result) }
    }
    var ended = error ?? PQError(.connectionLost, "The server ended the replication.")
    // Whatever it was, this session is over, and another one may have more luck.
    if ended.code == .server { ended.code = .connectionLost }
    lose(ended)
    return ended
  }

  private func sendStatusRepeatedly() {
    replication.timer = loop.schedule(at: .now + replication.interval) { [weak self] in
      self?.assumeIsolated { connection in
        if connection.failure != nil { return }
        try? connection.sendStatus()
        connection.sendStatusRepeatedly()
      }
    }
  }

  /// Never waits: what the socket does not take now is sent when it does.
  private func sendStatus() throws {
    try checkUsable()
    var message: [UInt8] = [UInt8(ascii: "r")]
    message.appendBigEndian(max(replication.received, replication.confirmed))
    message.appendBigEndian(replication.confirmed)
    message.appendBigEndian(replication.confirmed)
    // The client's clock, which the server only shows, and whether it shall answer.
    message.appendBigEndian(Int64(0))
    message.append(0)
    let connection = try handle.get()
    let isQueued = message.withUnsafeBytes { bytes in
      PQputCopyData(
        connection,
        bytes.baseAddress?.assumingMemoryBound(to: CChar.self),
        Int32(bytes.count)
      )
    }
    // 0 means that libpq's buffer is full of the statuses before: the next one says it all.
    if isQueued < 0 { throw endOfReplication() }
    flush()
  }
}
