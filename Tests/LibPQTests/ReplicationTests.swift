import Foundation
import LibPQ
import Logging
import TestSupport
import Testing

@Suite("Streaming a replication slot", .sharesMachine)
struct ReplicationTests {
  /// A database with a published table and a slot.
  private struct Source {
    let configuration: PQConfiguration
    let writer: PQConnection
    let slot: String

    static func make() async throws -> Source {
      let configuration = try await newDatabase()
      let writer = try await connect(configuration)
      try await writer.executeScript(
        "CREATE TABLE item (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE item"
      )
      let slot = "slot_\(UInt64.random(in: 0 ... .max))"
      _ = try await writer.query("SELECT pg_create_logical_replication_slot(\(slot), 'pgoutput')")
      return Source(configuration: configuration, writer: writer, slot: slot)
    }

    func replicate(
      settings: [String: String] = [:],
      from start: PQLSN = PQLSN(rawValue: 0)
    ) async throws -> PQReplication {
      var replication = PQReplication.Configuration(
        slot: slot,
        options: ["proto_version": "1", "publication_names": "p"],
        start: start
      )
      replication.settings = settings
      replication.statusInterval = .milliseconds(500)
      return try await PQReplication.start(replication, on: configuration, logger: quietLogger)
    }

    func confirmed() async throws -> PQLSN {
      let text: String = try await writer.value(
        "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = \(slot)"
      )
      return try #require(PQLSN(text))
    }

    /// A slot keeps the server's log, which other tests share.
    func drop() async throws {
      try await waitUntilFree()
      _ = try await writer.query("SELECT pg_drop_replication_slot(\(slot))")
    }

    func waitUntilFree() async throws {
      try await eventually("the slot is free") {
        try await writer.value(
          "SELECT NOT active FROM pg_replication_slots WHERE slot_name = \(slot)",
          as: Bool.self
        )
      }
    }
  }

  /// The types of the messages up to the first commit, and the place after it.
  private func transaction(_ replication: PQReplication) async throws -> (
    types: String, end: PQLSN
  ) {
    var types = ""
    while true {
      let chunk = try await replication.receive()
      var offset = 0
      var end: PQLSN?
      try chunk.read(from: &offset) { message in
        guard case .change(_, let bytes) = message else { return true }
        types.append(Character(UnicodeScalar(bytes[0])))
        if types.last == "C" {
          end = PQLSN(
            rawValue: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 10, as: UInt64.self))
          )
        }
        return end == nil
      }
      if let end { return (types, end) }
    }
  }

  @Test("A transaction comes whole, and what was confirmed does not come again")
  func confirming() async throws {
    let source = try await Source.make()
    try await source.writer.execute("INSERT INTO item VALUES (1), (2)")
    let first = try await source.replicate()
    let (types, end) = try await transaction(first)
    #expect(types == "BRIIC")
    try await first.confirm(end)
    try await eventually("the slot has moved") { try await source.confirmed() >= end }
    await first.close()
    try await source.writer.execute("DELETE FROM item WHERE id = 1")
    var second: PQReplication?
    try await eventually("the slot is free") {
      second = try? await source.replicate()
      return second != nil
    }
    #expect(try await transaction(try #require(second)).types == "BRDC")
    await second?.close()
    try await source.drop()
  }

  @Test("What was not confirmed comes again after the session was ended")
  func terminated() async throws {
    let source = try await Source.make()
    let first = try await source.replicate()
    try await source.writer.execute("INSERT INTO item VALUES (1)")
    #expect(try await transaction(first).types == "BRIC")
    _ = try await source.writer.query(
      "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = \(source.slot)"
    )
    let error = try await postgresError { while true { _ = try await first.receive() } }
    #expect(error.code == .connectionLost)
    #expect(error.isRetryable)
    await first.close()
    var second: PQReplication?
    try await eventually("the slot is free") {
      second = try? await source.replicate()
      return second != nil
    }
    #expect(try await transaction(try #require(second)).types == "BRIC")
    await second?.close()
    try await source.drop()
  }

  @Test("A missing publication is an error on every version, which comes after what was sent before it")
  func missingPublication() async throws {
    let source = try await Source.make()
    try await source.writer.execute("INSERT INTO item VALUES (1)")
    try await source.writer.executeScript("DROP PUBLICATION p; INSERT INTO item VALUES (2)")
    for _ in 1...3 {
      let replication = try await source.replicate(settings: ["client_min_messages": "error"])
      #expect(try await transaction(replication).types == "BRIC")
      let error = try await postgresError { while true { _ = try await replication.receive() } }
      #expect(error.sqlState == "42704")
      #expect(error.message.contains("publication \"p\""))
      await replication.close()
      try await source.waitUntilFree()
    }
    try await source.drop()
  }

  @Test(
    "A session lives on past the server's timeout, whether somebody reads or not",
    arguments: [true, false]
  )
  func idle(isRead: Bool) async throws {
    let source = try await Source.make()
    let replication = try await source.replicate(settings: ["wal_sender_timeout": "2s"])
    let clock = ContinuousClock()
    let start = clock.now
    if isRead {
      while clock.now - start < .seconds(5) {
        try await source.writer.execute("SELECT pg_logical_emit_message(false, 'nobody', '')")
        _ = try await replication.receive()
      }
    } else {
      try await eventually("more than twice the timeout has passed") { clock.now - start > .seconds(5) }
    }
    try await source.writer.execute("INSERT INTO item VALUES (1)")
    #expect(try await transaction(replication).types == "BRIC")
    await replication.close()
    try await source.drop()
  }

  @Test("The server's place moves while other tables are written, so that their log is not kept")
  func otherTables() async throws {
    let source = try await Source.make()
    let replication = try await source.replicate()
    try await source.writer.executeScript("CREATE TABLE other (id int); INSERT INTO other VALUES (1)")
    let end = try #require(
      PQLSN(try await source.writer.value("SELECT pg_current_wal_flush_lsn()::text"))
    )
    var place = PQLSN(rawValue: 0)
    while place < end {
      var offset = 0
      try await replication.receive().read(from: &offset) { message in
        if case .keepalive(let told) = message { place = told }
        return true
      }
    }
    await replication.close()
    try await source.drop()
  }

  @Test("A large transaction comes while the reader pauses, and nothing of it is lost")
  func slowReader() async throws {
    let source = try await Source.make()
    let replication = try await source.replicate(settings: ["wal_sender_timeout": "1s"])
    try await source.writer.execute("INSERT INTO item SELECT i FROM generate_series(1, 200000) AS i")
    let start = ContinuousClock.now
    try await eventually("the sender has waited for longer than its timeout") {
      ContinuousClock.now - start > .seconds(2)
    }
    #expect(try await transaction(replication).types.count == 200_003)
    await replication.close()
    try await source.drop()
  }

  @Test("A second session is refused while the first has the slot, and a slot that is not there by name")
  func refused() async throws {
    let source = try await Source.make()
    let replication = try await source.replicate()
    let taken = try await postgresError { _ = try await source.replicate() }
    #expect(taken.sqlState == "55006")
    await replication.close()
    try await source.drop()
    let missing = try await postgresError { _ = try await source.replicate() }
    #expect(missing.sqlState == "42704")
  }

  @Test("A snapshot sees exactly what stands before its place, and its slot is gone when it is closed")
  func snapshot() async throws {
    let source = try await Source.make()
    try await source.writer.execute("INSERT INTO item VALUES (1)")
    let snapshot = try await PQReplicationSnapshot.take(
      slot: "\(source.slot)_snapshot",
      on: source.configuration,
      logger: quietLogger
    )
    try await source.writer.execute("INSERT INTO item VALUES (2)")
    let seen = try await source.writer.transaction(isolation: .repeatableRead) { reader in
      try await reader.executeScript("SET TRANSACTION SNAPSHOT '\(snapshot.name)'")
      return try await reader.query("SELECT id FROM item").map { try $0.decode(Int32.self) }
    }
    #expect(seen == [1])
    await snapshot.close()
    // Moved to the place, the other slot begins with what the snapshot does not see.
    _ = try await source.writer.query(
      "SELECT pg_replication_slot_advance(\(source.slot), \(snapshot.place.description)::text::pg_lsn)"
    )
    let replication = try await source.replicate()
    #expect(try await transaction(replication).types == "BRIC")
    await replication.close()
    try await eventually("the snapshot's slot is gone") {
      try await source.writer.value(
        "SELECT count(*) = 0 FROM pg_replication_slots WHERE slot_name = \("\(source.slot)_snapshot")",
        as: Bool.self
      )
    }
    try await source.drop()
  }

  @Test("A snapshot waits for a transaction that has written no longer than it may")
  func snapshotWaits() async throws {
    let source = try await Source.make()
    let writer = try await connect(source.configuration)
    let error = try await writer.transaction { open in
      try await open.execute("INSERT INTO item VALUES (1)")
      return try await postgresError {
        _ = try await PQReplicationSnapshot.take(
          slot: "\(source.slot)_snapshot",
          settings: ["lock_timeout": "100ms"],
          on: source.configuration,
          logger: quietLogger
        )
      }
    }
    #expect(error.sqlState == "55P03")
    await writer.close()
    try await source.drop()
  }

  @Test("Cancelling a task that waits ends the session at once")
  func cancelled() async throws {
    let source = try await Source.make()
    let replication = try await source.replicate()
    let waiting = Task { while true { _ = try await replication.receive() } }
    waiting.cancel()
    await #expect(throws: PQError.self) { try await waiting.value }
    await replication.close()
    try await source.drop()
  }

  @Test(
    "Places in the log are spelled as the server spells them",
    arguments: ["0/0", "16/B374D848", "FFFFFFFF/1"]
  )
  func places(text: String) throws {
    #expect(PQLSN(text)?.description == text)
    #expect(PQLSN("0/FFFFFFFF")! < PQLSN("1/0")!)
    for wrong in ["", "1", "1/2/3", "x/1", "1/100000000"] { #expect(PQLSN(wrong) == nil) }
  }
}
