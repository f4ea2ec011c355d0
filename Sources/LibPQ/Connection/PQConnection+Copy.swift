import CLibPQ

extension PQConnection {
  /// Sends `COPY … FROM STDIN`. The chunks are the bytes of the format that the statement names, cut anywhere;
  /// they are read no faster than the server takes them. When the server refuses a row, libpq tells so only after
  /// the last chunk.
  ///
  /// - Returns: How many rows were copied.
  /// - Throws: What `chunks` threw, and nothing is copied then; or a ``PQError``.
  public nonisolated(nonsending) func copyIn(
    _ statement: PQStatement,
    from chunks: some AsyncSequence<[UInt8], any Error> & Sendable
  ) async throws -> Int {
    try await takeTurn()
    defer { turns.release() }
    return try await runCopyIn(statement, from: chunks, isInTransaction: false)
  }

  /// Sends `COPY … TO STDOUT` and calls `body` with chunks of whole rows, in the format that the statement
  /// names. While `body` works the server waits.
  ///
  /// - Throws: What `body` threw, after the COPY was cancelled; or a ``PQError``.
  public nonisolated(nonsending) func copyOut(
    _ statement: PQStatement,
    _ body: ([UInt8]) async throws -> Void
  ) async throws {
    try await takeTurn()
    defer { turns.release() }
    try await runCopyOut(statement, isInTransaction: false, body)
  }

  /// The chunks are produced where the caller is, not on the event loop, which must not compute.
  nonisolated(nonsending) func runCopyIn(
    _ statement: PQStatement,
    from chunks: some AsyncSequence<[UInt8], any Error> & Sendable,
    isInTransaction: Bool
  ) async throws -> Int {
    try await startCopy(statement, PGRES_COPY_IN, isInTransaction)
    do {
      for try await chunk in chunks where !chunk.isEmpty { try await sendCopyData(chunk, isInTransaction) }
      return try await finishCopyIn(isInTransaction)
    } catch {
      await abortCopyIn()
      throw error
    }
  }

  nonisolated(nonsending) func runCopyOut(
    _ statement: PQStatement,
    isInTransaction: Bool,
    _ body: ([UInt8]) async throws -> Void
  ) async throws {
    try await startCopy(statement, PGRES_COPY_OUT, isInTransaction)
    do {
      while true {
        let part = try await receiveCopyData(isInTransaction)
        if !part.bytes.isEmpty { try await body(part.bytes) }
        if part.isLast { return }
      }
    } catch {
      await abortCopyOut()
      throw error
    }
  }

  private func startCopy(
    _ statement: PQStatement,
    _ direction: ExecStatusType,
    _ isInTransaction: Bool
  ) async throws {
    try statement.validate()
    if !statement.bindings.types.isEmpty {
      throw PQError(.misuse, "COPY takes no bound values. Use \\(identifier:) for names.")
    }
    _ = try await perform(isInTransaction: isInTransaction) { connection in
      try connection.send { PQsendQuery($0, statement.sql) }
      guard let result = try await connection.nextResult() else {
        throw PQError(.connectionLost, "The server did not answer.")
      }
      if result.status == direction { return }
      if result.status == PGRES_FATAL_ERROR {
        let error = connection.checkSeverity(result)
        _ = try await connection.finishResults()
        throw error
      }
      let error = PQError(
        .misuse,
        "The statement is no COPY of this direction. The connection was closed."
      )
      connection.lose(error)
      throw error
    }
  }

  private func sendCopyData(_ chunk: [UInt8], _ isInTransaction: Bool) async throws {
    _ = try await perform(isInTransaction: isInTransaction) { connection in
      try await connection.put { connection in
        chunk.withUnsafeBytes { bytes in
          PQputCopyData(
            connection,
            bytes.baseAddress?.assumingMemoryBound(to: CChar.self),
            Int32(bytes.count)
          )
        }
      }
    }
  }

  private func finishCopyIn(_ isInTransaction: Bool) async throws -> Int {
    try await perform(isInTransaction: isInTransaction) { connection in
      try await connection.put { PQputCopyEnd($0, nil) }
      return try await connection.finishResults()
    }.0
  }

  /// - Parameter call: Returns 1 when queued, 0 when libpq's buffer is full, -1 when the server has ended the COPY.
  private func put(_ call: (OpaquePointer) -> Int32) async throws {
    while true {
      try checkUsable()
      switch call(try handle.get()) {
      case 1:
        await waitForFlush()
        return
      case 0:
        await waitForFlush()
      default:
        _ = try await finishResults()
        throw PQError(.server, "The server ended the COPY.")
      }
    }
  }

  private func receiveCopyData(_ isInTransaction: Bool) async throws -> (bytes: [UInt8], isLast: Bool) {
    try await perform(isInTransaction: isInTransaction) { connection in
      var bytes: [UInt8] = []
      connection.resumeReading()
      while bytes.count < 65_536 {
        var row: UnsafeMutablePointer<CChar>?
        let length = PQgetCopyData(try connection.handle.get(), &row, 1)
        defer { PQfreemem(row) }
        if length > 0 {
          bytes.append(contentsOf: UnsafeRawBufferPointer(start: row, count: Int(length)))
        } else if length == 0 {
          if !bytes.isEmpty { break }
          try connection.checkUsable()
          await connection.waitForInput()
        } else {
          _ = try await connection.finishResults()
          return (bytes, true)
        }
      }
      connection.pauseReading()
      return (bytes, false)
    }.0
  }

  private func abortCopyIn() async {
    await abort { connection in
      try await connection.put { PQputCopyEnd($0, "the client's data ended with an error") }
    }
  }

  private func abortCopyOut() async {
    await abort { connection in
      connection.canceller.cancel()
      var row: UnsafeMutablePointer<CChar>?
      while true {
        let length = PQgetCopyData(try connection.handle.get(), &row, 1)
        if length < 0 { break }
        if length == 0 { await connection.waitForInput() }
        PQfreemem(row)
        try connection.checkUsable()
      }
    }
  }

  /// Ends a COPY whose error the caller knows already.
  private func abort(_ end: @Sendable (isolated PQConnection) async throws -> Void) async {
    resumeReading()
    guard failure == nil, handle.transactionStatus == PQTRANS_ACTIVE else { return }
    _ = try? await perform(isInTransaction: true, isShielded: true) { connection in
      try await end(connection)
      _ = try await connection.finishResults()
    }
    if failure == nil, handle.transactionStatus == PQTRANS_ACTIVE {
      lose(PQError(.connectionLost, "The client could not end a COPY."))
    }
  }
}
