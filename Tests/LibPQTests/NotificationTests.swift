import LibPQ
import TestSupport
import Testing

@Suite("LISTEN and NOTIFY", .sharesMachine)
struct NotificationTests {
  @Test("notifications come in order, while the listening connection runs other statements")
  func whileBusy() async throws {
    let configuration = try await newDatabase()
    let listener = try await connect(configuration)
    let sender = try await connect(configuration)
    let stream = try await listener.listen(to: "news")
    let busy = Task {
      while !Task.isCancelled { _ = try await listener.query("SELECT pg_sleep(0.001)") }
    }
    for number in 0..<200 { try await sender.execute("SELECT pg_notify('news', \(String(number)))") }
    var received: [String] = []
    for await notification in stream {
      #expect(notification.channel == "news")
      received.append(notification.payload)
      if received.count == 200 { break }
    }
    busy.cancel()
    _ = await busy.result
    #expect(received == (0..<200).map(String.init))
  }

  @Test("an idle connection gets them too, each stream those of its channel only")
  func channels() async throws {
    let configuration = try await newDatabase()
    let listener = try await connect(configuration)
    let sender = try await connect(configuration)
    let name = "Channel with \" and 'quotes'"
    var first = try await listener.listen(to: name).makeAsyncIterator()
    var second = try await listener.listen(to: name).makeAsyncIterator()
    var other = try await listener.listen(to: "other").makeAsyncIterator()
    let processID: Int = try await sender.value("SELECT pg_backend_pid()")
    try await sender.execute("SELECT pg_notify(\(name), 'a')")
    try await sender.execute("NOTIFY other")
    let expected = PQNotification(channel: name, payload: "a", processID: Int32(processID))
    #expect(await first.next() == expected)
    #expect(await second.next() == expected)
    #expect(await other.next()?.payload == "")
  }

  @Test("a connection hears itself")
  func ownNotification() async throws {
    let connection = try await connectToNewDatabase()
    var stream = try await connection.listen(to: "news").makeAsyncIterator()
    try await connection.execute("SELECT pg_notify('news', 'x')")
    #expect(await stream.next()?.payload == "x")
  }

  @Test("the stream finishes when the connection is lost, and when it is closed")
  func finishes() async throws {
    let configuration = try await newDatabase()
    let observer = try await connect(configuration)
    let lost = try await connect(configuration)
    var lostStream = try await lost.listen(to: "news").makeAsyncIterator()
    let processID: Int = try await lost.value("SELECT pg_backend_pid()")
    try await observer.execute("SELECT pg_terminate_backend(\(Int32(processID)))")
    #expect(await lostStream.next() == nil)

    let closed = try await connect(configuration)
    var closedStream = try await closed.listen(to: "news").makeAsyncIterator()
    await closed.close()
    #expect(await closedStream.next() == nil)
  }

  @Test("a channel without a name is refused by the server's error")
  func refused() async throws {
    let connection = try await connectToNewDatabase()
    let error = try await postgresError { _ = try await connection.listen(to: "") }
    #expect(error.sqlState == "42601")
    #expect(try await connection.value("SELECT 1", as: Int.self) == 1)
  }
}
