import CLibPQ

/// One entry of a pipeline, in the order in which the server answers.
private enum Command {
  case prepare(StatementCache.Key, name: String)
  case statement(index: Int, StatementCache.Key?)
  case deallocate
  case sync
}

/// What the server answered to a pipeline.
struct PipelineAnswer: Sendable {
  var rows: [PQRows] = []
  var error: PQError?
  /// The statement that the error is of; nil when it came at the end, as from a deferred constraint.
  var failedStatement: Int?
  var failedKey: StatementCache.Key?
}

extension PQConnection {
  func exchange(
    _ statements: [PQStatement],
    prepares: Bool,
    isInTransaction: Bool
  ) async throws -> PipelineAnswer {
    try send { PQenterPipelineMode($0) }
    let commands = try queue(statements, prepares: prepares, isInTransaction: isInTransaction)
    let answer = try await readAnswer(to: commands)
    try send { PQexitPipelineMode($0) }
    return answer
  }

  /// Calls one of libpq's functions that send. They fail only when the connection is gone or memory is.
  func send(_ call: (OpaquePointer) -> Int32) throws {
    try checkUsable()
    let connection = try handle.get()
    guard call(connection) == 1 else {
      let error = PQError(.connectionLost, trimmed(String(cString: PQerrorMessage(connection))))
      lose(error)
      throw error
    }
  }

  /// Whether a prepared statement was refused because the server has changed since; it is forgotten.
  func forgetStale(_ answer: PipelineAnswer) -> Bool {
    guard let error = answer.error, let key = answer.failedKey else { return false }
    switch error.sqlState {
    case "26000":
      // DEALLOCATE ALL or a pooler: if one is gone, all are.
      cache.forgetAll()
      return true
    case "0A000" where error.message.contains("cached plan"):
      cache.evict(key)
      return true
    default:
      return false
    }
  }

  private func queue(
    _ statements: [PQStatement],
    prepares: Bool,
    isInTransaction: Bool
  ) throws -> [Command] {
    var commands: [Command] = []
    for (index, statement) in statements.enumerated() {
      if prepares {
        try queuePrepared(statement, index, &commands)
      } else {
        commands.append(.statement(index: index, nil))
        try statement.withParameters { types, values, lengths, formats in
          try send {
            PQsendQueryParams(
              $0,
              statement.sql,
              Int32(lengths.count),
              types,
              values,
              lengths,
              formats,
              1
            )
          }
        }
      }
    }
    try send { PQpipelineSync($0) }
    commands.append(.sync)
    if !isInTransaction { try queueDeallocations(&commands) }
    return commands
  }

  /// A statement is prepared right before its first use and not all at the pipeline's start: preparing takes a
  /// snapshot, and a BEGIN that sets the isolation level must come before the first one.
  private func queuePrepared(
    _ statement: PQStatement,
    _ index: Int,
    _ commands: inout [Command]
  ) throws {
    let key = StatementCache.Key(sql: statement.sql, types: statement.bindings.types)
    let (name, isNew) = cache.use(key)
    try statement.withParameters { types, values, lengths, formats in
      if isNew {
        commands.append(.prepare(key, name: name))
        try send { PQsendPrepare($0, name, statement.sql, Int32(types.count), types) }
      }
      commands.append(.statement(index: index, key))
      try send { PQsendQueryPrepared($0, name, Int32(lengths.count), values, lengths, formats, 1) }
    }
  }

  /// Behind a sync of their own: a name that the server does not know must not undo the caller's statements.
  private func queueDeallocations(_ commands: inout [Command]) throws {
    let names = cache.takeEvicted()
    if names.isEmpty { return }
    for name in names {
      try send { PQsendQueryParams($0, "DEALLOCATE \(name)", 0, nil, nil, nil, nil, 1) }
      commands.append(.deallocate)
    }
    try send { PQpipelineSync($0) }
    commands.append(.sync)
  }

  /// libpq returns a result for each command and then NULL, and for each sync a result only. The last sync must
  /// be read, or the next exchange would wait for ever.
  private func readAnswer(to commands: [Command]) async throws -> PipelineAnswer {
    var answer = PipelineAnswer()
    var position = 0
    var nulls = 0
    while position < commands.count {
      guard let result = try await nextResult(answer.error) else {
        nulls += 1
        // From a lost connection NULLs come without end.
        if let failure, nulls > 1 { throw answer.error ?? failure }
        if case .sync = commands[position] { continue }
        position += 1
        continue
      }
      nulls = 0
      try take(result, for: commands[position], &answer)
      if result.status == PGRES_PIPELINE_SYNC { position += 1 }
    }
    return answer
  }

  private func take(_ result: QueryResult, for command: Command, _ answer: inout PipelineAnswer) throws {
    switch (result.status, command) {
    case (PGRES_TUPLES_OK, .statement), (PGRES_COMMAND_OK, .statement), (PGRES_EMPTY_QUERY, .statement):
      answer.rows.append(PQRows(result: result))
    case (PGRES_COPY_IN, _), (PGRES_COPY_OUT, _), (PGRES_COPY_BOTH, _):
      let error = PQError(.misuse, "COPY needs copyIn or copyOut. The connection was closed.")
      lose(error)
      throw error
    case (PGRES_FATAL_ERROR, .deallocate), (PGRES_PIPELINE_ABORTED, .deallocate):
      break
    case (PGRES_PIPELINE_ABORTED, .prepare(let key, let name)):
      cache.forget(key, name: name)
    case (PGRES_FATAL_ERROR, _):
      noteFailure(result, of: command, &answer)
    default:
      break
    }
  }

  private func noteFailure(_ result: QueryResult, of command: Command, _ answer: inout PipelineAnswer) {
    let error = checkSeverity(result)
    if case .prepare(let key, let name) = command { cache.forget(key, name: name) }
    if answer.error != nil { return }
    answer.error = error
    if case .statement(let index, let key) = command {
      answer.failedStatement = index
      answer.failedKey = key
    }
  }

  /// The server ends the session after a FATAL error, even if its socket does not show that yet.
  func checkSeverity(_ result: QueryResult) -> PQError {
    var error = result.error
    error.user = (try? handle.get()).flatMap { PQuser($0) }.map { String(cString: $0) }
    if result.isFatal {
      error.code = .connectionLost
      lose(error)
    }
    return error
  }

  /// The rest of what the simple protocol answers, up to the end of it.
  ///
  /// - Throws: The first error among it.
  func finishResults() async throws -> Int {
    var firstError: PQError?
    var affectedRows = 0
    while true {
      guard let result = try await nextResult(firstError) else { break }
      switch result.status {
      case PGRES_FATAL_ERROR: firstError = firstError ?? checkSeverity(result)
      case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
        lose(PQError(.misuse, "COPY needs copyIn or copyOut. The connection was closed."))
      default: affectedRows = result.affectedRows
      }
      if failure != nil { break }
    }
    if let error = firstError ?? failure { throw error }
    return affectedRows
  }
}

extension PQStatement {
  /// libpq takes a statement as a C string and lengths as 32-bit integers.
  func validate() throws {
    if let failure = bindings.failure { throw failure }
    if sql.utf8.contains(0) { throw PQError(.misuse, "The statement's text holds a NUL byte.") }
    if bindings.types.count > 65_535 {
      throw PQError(.misuse, "A statement takes at most 65,535 values. Bind arrays and use unnest.")
    }
    if bindings.bytes.count > 1 << 30 {
      throw PQError(.misuse, "The values are larger than 1 GiB, which no PostgreSQL message can hold.")
    }
  }

  /// Calls `body` with the values as libpq takes them, valid during the call.
  func withParameters<R>(
    _ body: (_ types: [Oid], _ values: [UnsafePointer<CChar>?], _ lengths: [Int32], _ formats: [Int32]) throws
      -> R
  ) rethrows -> R {
    try bindings.bytes.withUnsafeBytes { buffer in
      let base = buffer.baseAddress?.assumingMemoryBound(to: CChar.self)
      let values = bindings.ranges.map { range in
        range.flatMap { range in base.map { $0 + range.lowerBound } }
      }
      return try body(
        bindings.types.map(\.rawValue),
        values,
        bindings.ranges.map { Int32($0?.count ?? 0) },
        Array(repeating: 1, count: values.count)
      )
    }
  }
}
