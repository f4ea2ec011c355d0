import CLibPQ

extension PQConnection {
  /// How long a server may take to answer to a cancellation or a rollback.
  static let patience = Duration.seconds(5)

  /// Runs a pipeline; the caller has the turn.
  ///
  /// - Parameters:
  ///   - isInTransaction: Whether ``transaction(isolation:readOnly:_:)`` has opened one.
  ///   - isShielded: Whether to run although the task is cancelled.
  func run(
    _ statements: [PQStatement],
    prepares: Bool = true,
    isInTransaction: Bool = false,
    isShielded: Bool = false
  ) async throws -> [PQRows] {
    if statements.isEmpty { return [] }
    if needsIsolation, !isInTransaction {
      let rows = try await runPipeline(
        ["BEGIN ISOLATION LEVEL READ COMMITTED"] + statements + ["COMMIT"],
        prepares: false,
        isInTransaction: false,
        isShielded: isShielded
      )
      return Array(rows.dropFirst().dropLast())
    }
    return try await runPipeline(
      statements,
      prepares: prepares,
      isInTransaction: isInTransaction,
      isShielded: isShielded
    )
  }

  private func runPipeline(
    _ statements: [PQStatement],
    prepares: Bool,
    isInTransaction: Bool,
    isShielded: Bool
  ) async throws -> [PQRows] {
    for statement in statements { try statement.validate() }
    let prepares = prepares && configuration.usesPreparedStatements && !isPooled
    let wasIdle = isIdle
    var answer = PipelineAnswer()
    var wasCancelled = false
    for isLastAttempt in [false, true] {
      (answer, wasCancelled) = try await perform(isInTransaction: isInTransaction, isShielded: isShielded) {
        try await $0.exchange(statements, prepares: prepares, isInTransaction: isInTransaction)
      }
      // A prepared statement may have become stale. If the first statement was refused nothing has happened.
      let isStale = forgetStale(answer)
      if !isStale || isLastAttempt || !wasIdle || answer.failedStatement != 0 || !isIdle { break }
    }
    guard let error = answer.error?.withoutValues(of: statements) else { return answer.rows }
    // The pipeline's own BEGIN must not be left open for the next user.
    if wasIdle, !isInTransaction, failure == nil, !isIdle { await rollBack() }
    throw wasCancelled ? error.ofCancellation : error
  }

  func rollBack() async {
    do {
      _ = try await run(["ROLLBACK"], prepares: false, isInTransaction: true, isShielded: true)
    } catch {
      // Without an answer the session's state is unknown, and the server ends the transaction with it.
      lose(PQError(.connectionLost, "The connection was given up because a ROLLBACK failed."))
    }
  }

  /// Text with several statements, by the simple protocol: the only one that takes them.
  func runScript(_ sql: String, isInTransaction: Bool = false) async throws {
    try PQStatement(sql).validate()
    let wasIdle = isIdle
    do {
      _ = try await perform(isInTransaction: isInTransaction) { connection in
        try connection.send { PQsendQuery($0, sql) }
        return try await connection.finishResults()
      }
    } catch {
      if wasIdle, !isInTransaction, failure == nil, !isIdle { await rollBack() }
      throw error
    }
    if wasIdle, !isInTransaction, !isIdle {
      await rollBack()
      throw PQError(.misuse, "The script left a transaction open. It was rolled back; add a COMMIT.")
    }
  }

  /// Does one exchange with the server, with what is common to all of them: cancellation, loss.
  ///
  /// - Returns: also whether the server was asked to cancel meanwhile.
  func perform<R: Sendable>(
    isInTransaction: Bool,
    isShielded: Bool = false,
    _ exchange: @Sendable (isolated PQConnection) async throws -> R
  ) async throws -> (R, wasCancelled: Bool) {
    try checkUsable()
    canceller.begin()
    exchangeNumber += 1
    if isShielded { limitExchange(exchangeNumber) }
    let result: Result<R, any Error>
    do {
      result = .success(
        try await withTaskCancellationHandler {
          // After the handler is there, so that no cancellation is missed between.
          if Task.isCancelled, !isShielded { throw PQError.cancelled }
          return try await exchange(self)
        } onCancel: { [exchangeNumber] in
          if isShielded { return }
          canceller.cancel()
          loop.execute { [weak self] in self?.assumeIsolated { $0.limitExchange(exchangeNumber) } }
        }
      )
    } catch {
      result = .failure(error)
    }
    exchangeNumber += 1
    if let timer = exchangeTimer { loop.cancelTimer(timer) }
    exchangeTimer = nil
    // Those that came with the last bytes: no socket event follows for them.
    deliverNotifications()
    updateInterest()
    let wasCancelled = await canceller.end()
    do {
      return (try result.get(), wasCancelled)
    } catch var error as PQError {
      if let failure {
        // The server's last words, when they were read, say more than that its socket was closed.
        let told = error.sqlState == nil ? failure : error
        error = PQError(
          failure.code,
          told.message,
          sqlState: told.sqlState,
          user: told.user,
          isOutcomeUnknown: !isInTransaction && error.code != .cancelled
        )
      }
      throw wasCancelled ? error.ofCancellation : error
    }
  }

  func limitExchange(_ number: UInt64) {
    if exchangeNumber != number || exchangeTimer != nil { return }
    exchangeTimer = loop.schedule(at: .now + Self.patience) { [weak self] in
      self?.assumeIsolated { connection in
        if connection.exchangeNumber == number {
          connection.lose(
            PQError(.connectionLost, "The server did not answer within \(Self.patience).")
          )
        }
      }
    }
  }
}

extension PQError {
  /// The server's `query_canceled` is only ours to explain if we asked for it; it can be a timeout, too.
  var ofCancellation: PQError {
    var error = self
    if sqlState == "57014" { error.code = .cancelled }
    return error
  }
}
