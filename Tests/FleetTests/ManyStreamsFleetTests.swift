import FleetDrill
import LibPQ
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres
import TidemarkStreams

@Suite("Several applications over many streams", .needsMachineAlone, .serialized)
struct ManyStreamsFleetTests {
  private static let applications = ["billing", "search", "mail"]
  /// The first one is the fleet's own.
  private static let tables = ["orders"] + (1...11).map { "orders_\($0)" }

  @Test(
    "three applications over twelve streams lose nothing while workers are killed and drained, and streams are enabled and disabled"
  )
  func applicationsAndStreams() async throws {
    try await FleetUnderTest.run(
      failover: .seconds(4),
      transactionsPerSecond: 20,
      options: ["--streams", "orders*", "--shard-sync-milliseconds", "500"]
    ) { test in
      let streams = ManyStreams(test)
      try await streams.enable(Self.tables[1...9])
      var members: [String: [WorkerProcess]] = [:]
      func start(_ application: String) throws {
        let name = "\(application)-\(members[application, default: []].count + 1)"
        members[application, default: []].append(
          try test.fleet.start(name, options: ["--application", application])
        )
      }
      for application in Self.applications { for _ in 1...2 { try start(application) } }
      try await withThrowingTaskGroup(of: Void.self) { group in
        defer { streams.stopAll() }
        for table in Self.tables[1...9] { group.addTask { try await streams.write(to: table) } }
        try await streams.waitUntilRead(by: Self.applications)

        for application in Self.applications {
          members[application]?[0].crash()
          try start(application)
        }
        try await streams.waitUntilRead(by: Self.applications)

        try await streams.enable(Self.tables[10...])
        for table in Self.tables[10...] { group.addTask { try await streams.write(to: table) } }
        for application in Self.applications {
          members[application]?[1].terminate()
          try start(application)
        }
        try await streams.waitUntilRead(by: Self.applications)

        for table in Self.tables[1...2] { try await streams.disable(table) }
        for table in Self.tables[3...4] { try await streams.enableAgain(table) }
        for application in Self.applications { members[application]?[2].crash() }
        try await streams.waitUntilRead(by: Self.applications)

        streams.stopAll()
        test.load.stop()
        try await group.waitForAll()
      }
      try await streams.waitUntilConsumed(by: Self.applications)
      #expect(try await test.fleet.endWorkers() == [], "these did not end in good order")
      for application in Self.applications {
        for table in Self.tables {
          let check = try await streams.check(table, for: application)
          #expect(check.violations.isEmpty, "\(application) of \(table)")
          #expect(check.committed > 0)
          #expect(check.delivered == check.committed)
        }
      }
    }
  }
}

/// The tables of a fleet besides its own, their loads, and what each application has handled of each.
private final class ManyStreams: Sendable {
  private let test: FleetUnderTest
  private let loads: [String: OrdersLoad]

  init(_ test: FleetUnderTest) {
    self.test = test
    loads = Dictionary(
      uniqueKeysWithValues: (1...11).map { number in
        let table = OrdersTable(test.fleet.pool, name: "orders_\(number)")
        return (table.name, OrdersLoad(table, writers: 1, transactionsPerSecond: 20))
      }
    )
  }

  private func table(_ name: String) -> OrdersTable { OrdersTable(test.fleet.pool, name: name) }

  func enable(_ names: some Sequence<String>) async throws {
    for name in names {
      try await table(name).create()
      try await test.fleet.admin.enable(table: name, shardCount: 2)
    }
  }

  func write(to name: String) async throws { try await loads[name]?.run() }

  func stopAll() { for load in loads.values { load.stop() } }

  /// What is written to a table without a stream nobody captures, so the writes end first.
  func disable(_ name: String) async throws {
    guard let load = loads[name] else { return }
    load.stop()
    try await test.fleet.wait("the writer has stopped") {
      let before = load.transactions
      try await ContinuousClock().sleep(for: .milliseconds(200))
      return load.transactions == before
    }
    try await test.fleet.admin.disable(name)
  }

  /// In one transaction, so that no write falls in between.
  func enableAgain(_ name: String) async throws {
    try await test.fleet.pool.transaction { transaction in
      try await transaction.execute("SELECT tidemark.disable_stream(tidemark.find_stream(\(name)))")
      try await transaction.execute(
        "SELECT tidemark.enable_stream(\(name)::text::regclass, shard_count => 3)"
      )
    }
  }

  private func shards(of stream: String) async throws -> [Shard] {
    try await PostgresStream(stream, pool: test.fleet.pool).shards()
  }

  private func history(of application: String) throws -> [HistoryEntry] {
    try test.fleet.history().filter { $0.worker.hasPrefix(application + "-") }
  }

  /// Waits until every open shard of every stream that is written to has been read by each application since now.
  func waitUntilRead(by applications: [String]) async throws {
    let moment = HistoryEntry.now()
    for application in applications {
      try await test.fleet.wait("\(application) reads all streams", every: .milliseconds(100)) {
        let read = Set(
          try history(of: application).filter { $0.at >= moment && $0.kind == .handled }.map(\.shard)
        )
        let open = try await test.fleet.pool.query(
          "SELECT h.shard_id FROM tidemark.shard h WHERE h.ending_sequence IS NULL"
        ).map { try $0.decode(String.self) }
        return read.isSuperset(of: open)
      }
    }
  }

  func waitUntilConsumed(by applications: [String]) async throws {
    var committed: [String: Set<OrderChange>] = [:]
    for name in try await names() { committed[name] = Set(try await table(name).journal().values.joined()) }
    for application in applications {
      try await test.fleet.wait("\(application) has handled all", every: .milliseconds(200)) {
        for (name, changes) in committed {
          let handled = Set(try await history(of: application, in: name).compactMap(\.change))
          if !changes.isSubset(of: handled) { return false }
        }
        return true
      }
    }
  }

  private func names() async throws -> [String] {
    try await test.fleet.pool.query("SELECT DISTINCT s.name FROM tidemark.stream s").map {
      try $0.decode(String.self)
    }
  }

  private func history(of application: String, in stream: String) async throws -> [HistoryEntry] {
    let shards = Set(try await shards(of: stream).map(\.id))
    return try history(of: application).filter { shards.contains($0.shard) }
  }

  func check(_ name: String, for application: String) async throws -> FleetCheck {
    let shards = try await shards(of: name)
    let ids = Set(shards.map(\.id))
    return FleetCheck(
      journal: try await table(name).journal(),
      history: try await history(of: application, in: name),
      parents: Dictionary(shards.map { ($0.id, $0.parentIDs) }, uniquingKeysWith: { first, _ in first }),
      audit: try await test.fleet.audit.changes(of: application).filter { ids.contains($0.shard) }
    )
  }
}
