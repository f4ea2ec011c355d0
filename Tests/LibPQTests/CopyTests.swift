import LibPQ
import TestSupport
import Testing

private struct Interrupted: Error {}

@Suite("COPY", .sharesMachine)
struct CopyTests {
  /// Lines `n<tab>name n` in chunks of a thousand, or an error after so many chunks.
  private func lines(_ count: Int, failingAfter limit: Int? = nil) -> AsyncThrowingStream<[UInt8], any Error>
  {
    let chunks = (count + 999) / 1000
    let next = Counter()
    return AsyncThrowingStream {
      let chunk = await next.take()
      if chunk == limit { throw Interrupted() }
      if chunk == chunks { return nil }
      let numbers = (chunk * 1000)..<min(count, (chunk + 1) * 1000)
      return Array(numbers.map { "\($0)\tname \($0)\n" }.joined().utf8)
    }
  }

  private actor Counter {
    private var value = 0
    func take() -> Int {
      defer { value += 1 }
      return value
    }
  }

  private func connectWithItems() async throws -> PQConnection {
    let connection = try await connectToNewDatabase()
    try await connection.execute("CREATE TABLE item (id int, name text)")
    return connection
  }

  @Test("100,000 rows go in and out")
  func inAndOut() async throws {
    let connection = try await connectWithItems()
    #expect(try await connection.copyIn("COPY item FROM STDIN", from: lines(100_000)) == 100_000)
    let sum = try await connection.value("SELECT sum(id)::int8 FROM item", as: Int.self)
    #expect(sum == 100_000 * 99_999 / 2)
    var text: [UInt8] = []
    var chunks = 0
    try await connection.copyOut("COPY (SELECT * FROM item ORDER BY id) TO STDOUT") { chunk in
      #expect(chunk.last == UInt8(ascii: "\n"))
      text += chunk
      chunks += 1
    }
    #expect(text == Array((0..<100_000).map { "\($0)\tname \($0)\n" }.joined().utf8))
    #expect(chunks < 1000)
    #expect(try await connection.value("SELECT 1", as: Int.self) == 1)
  }

  @Test("a sequence that throws leaves nothing behind and its error is thrown on")
  func aborted() async throws {
    let connection = try await connectWithItems()
    await #expect(throws: Interrupted.self) {
      _ = try await connection.copyIn("COPY item FROM STDIN", from: lines(10_000, failingAfter: 5))
    }
    #expect(try await connection.value("SELECT count(*) FROM item", as: Int.self) == 0)
    #expect(try await connection.copyIn("COPY item FROM STDIN", from: lines(10)) == 10)
  }

  @Test("rows that the server refuses are its error")
  func refusedRows() async throws {
    let connection = try await connectWithItems()
    let error = try await postgresError {
      _ = try await connection.copyIn("COPY item (name, id) FROM STDIN", from: lines(100_000))
    }
    #expect(error.sqlState == "22P02")
    let missing = try await postgresError {
      _ = try await connection.copyIn("COPY missing FROM STDIN", from: lines(1))
    }
    #expect(missing.sqlState == "42P01")
    #expect(try await connection.copyIn("COPY item FROM STDIN", from: lines(10)) == 10)
  }

  @Test("a reader that throws ends the COPY, and its error is thrown on")
  func readerThrows() async throws {
    let connection = try await connectToNewDatabase()
    await #expect(throws: Interrupted.self) {
      try await connection.copyOut("COPY (SELECT generate_series(1, 100000000)) TO STDOUT") { _ in
        throw Interrupted()
      }
    }
    #expect(try await connection.value("SELECT 1", as: Int.self) == 1)
  }

  @Test("an error in the middle of COPY TO is thrown")
  func failsMidway() async throws {
    let connection = try await connectToNewDatabase()
    let error = try await postgresError {
      try await connection.copyOut(
        "COPY (SELECT 1 / (50000 - n) FROM generate_series(1, 100000) n) TO STDOUT"
      ) { _ in }
    }
    #expect(error.sqlState == "22012")
    #expect(try await connection.value("SELECT 1", as: Int.self) == 1)
  }

  @Test("cancellation ends a COPY in both directions")
  func cancellation() async throws {
    let configuration = try await newDatabase()
    let connection = try await connect(configuration)
    let observer = try await connect(configuration)
    try await connection.execute("CREATE TABLE item (id int, name text)")
    let endless = AsyncThrowingStream<[UInt8], any Error> { Array("1\tx\n".utf8) }
    let copyIn = Task { try await connection.copyIn("COPY item FROM STDIN", from: endless) }
    try await waitUntilRunning("COPY item", seenBy: observer)
    copyIn.cancel()
    #expect(try await postgresError { _ = try await copyIn.value }.code == .cancelled)
    #expect(try await connection.value("SELECT count(*) FROM item", as: Int.self) == 0)

    let copyOut = Task {
      try await connection.copyOut("COPY (SELECT generate_series(1, 100000000)) TO STDOUT") { _ in }
    }
    try await waitUntilRunning("COPY (SELECT", seenBy: observer)
    copyOut.cancel()
    #expect(try await postgresError { try await copyOut.value }.code == .cancelled)
    #expect(try await connection.value("SELECT 1", as: Int.self) == 1)
  }

  @Test("a COPY inside a transaction is undone with it")
  func inTransaction() async throws {
    let connection = try await connectWithItems()
    await #expect(throws: Interrupted.self) {
      try await connection.transaction { transaction in
        #expect(try await transaction.copyIn("COPY item FROM STDIN", from: lines(2000)) == 2000)
        var bytes = 0
        try await transaction.copyOut("COPY item TO STDOUT") { bytes += $0.count }
        #expect(bytes > 2000)
        throw Interrupted()
      }
    }
    #expect(try await connection.value("SELECT count(*) FROM item", as: Int.self) == 0)
  }

  @Test("COPY with bound values, or sent as a query, is refused")
  func misuse() async throws {
    let connection = try await connectWithItems()
    let values = try await postgresError {
      _ = try await connection.copyIn("COPY (SELECT \(1)) FROM STDIN", from: lines(1))
    }
    #expect(values.code == .misuse && !connection.isClosed)
    let query = try await postgresError { _ = try await connection.query("COPY item FROM STDIN") }
    #expect(query.code == .misuse)
  }
}
