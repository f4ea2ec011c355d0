import Foundation
import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkStreams

/// Whoever holds the step's lock is killed between any two of the statements that it runs.
@Suite("A backend that dies at a statement boundary", .sharesMachine)
struct StatementBoundaryTests {
  /// What takes the step's lock, with the functions that it is made of.
  private static let functions = [
    "advance", "sequence_inbox", "route_records", "current_log_partition", "close_shards", "split_open_shard",
    "merge_open_shards", "add_shard", "maintain_stream", "end_stream",
  ]

  @Test("It loses nothing, doubles nothing and blocks nobody, whatever it was at")
  func everyBoundary() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, version int)")
    try await database.admin.enable(table: "item", viewType: .newImage, shardCount: 2)
    // Every step that finds something makes a partition, and every maintenance finds steps to forget.
    try await database.run("UPDATE tidemark.stream SET partition_interval = '1 microsecond'")
    let boundaries = try await plantBoundaries(in: Self.functions + ["sequence_1"], of: database)
    #expect(boundaries > 60)

    var deaths: [String: Int] = [:]
    var version = 0
    for boundary in 1...boundaries {
      let doomed = try StreamDatabase.makePool(
        database.url,
        connections: 1,
        settings: ["tidemark.dies_at": String(boundary)]
      )
      for work in ["advance", "split", "merge", "maintain"] {
        version += 1
        try await database.run(
          "INSERT INTO item SELECT i, \(version) FROM generate_series(1, 3) AS i "
            + "ON CONFLICT (id) DO UPDATE SET version = excluded.version"
        )
        do {
          try await perform(work, on: doomed, in: database)
        } catch let error as PQError where error.sqlState == "57P01" || error.code == .connectionLost {
          deaths[work, default: 0] += 1
        }
        // What died holds nothing once it is gone.
        let stream = try await database.stream("item").identified()
        try await eventually("the step's lock is free") {
          try await !StreamAdvance.advance(stream.id, from: nil, on: database.pool).isBusy
        }
      }
      await doomed.close()
    }
    #expect(deaths.keys.sorted() == ["advance", "maintain", "merge", "split"], "\(deaths)")
    #expect(deaths.values.reduce(0, +) > 60, "\(deaths)")

    let records = try await database.stream("item").readAll()
    let images = Dictionary(grouping: records, by: \.partitionKey).mapValues { records in
      records.compactMap { $0.change?.newImage?.description }
    }
    #expect(images.count == 3)
    for id in 1...3 {
      #expect(images[#"{"id":\#(id)}"#] == (1...version).map { #"{"id":\#(id),"version":\#($0)}"# })
    }
  }

  @Test("A stream whose disabling dies anywhere can be disabled, and has all that was written")
  func disabling() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    let boundaries = try await plantBoundaries(in: Self.functions, of: database)
    var deaths = 0
    for boundary in 1...boundaries {
      let doomed = try StreamDatabase.makePool(
        database.url,
        connections: 1,
        settings: ["tidemark.dies_at": String(boundary)]
      )
      try await database.admin.enable(table: "item", viewType: .keysOnly, shardCount: 1)
      try await database.run("INSERT INTO item VALUES (\(boundary))")
      let stream = try await database.stream("item").identified()
      do {
        try await doomed.execute("SELECT tidemark.disable_stream(\(stream.id))")
      } catch is PQError {
        deaths += 1
        try await database.run("INSERT INTO item VALUES (\(-boundary))")
        try await database.admin.disable(stream.fullName)
        let records = try await database.stream(stream.fullName).readAll(untilEnd: true)
        #expect(records.map(\.partitionKey) == [#"{"id":\#(boundary)}"#, #"{"id":\#(-boundary)}"#])
      }
      await doomed.close()
    }
    #expect(deaths > 10)
  }

  private func perform(_ work: String, on pool: PQPool, in database: StreamDatabase) async throws {
    let stream = try await database.stream("item").identified()
    // Asked of the healthy pool: only the work itself is to die.
    let open = try await database.admin.describe("item").shards.filter(\.isOpen).sorted {
      ($0.hashRange?.start ?? 0) < ($1.hashRange?.start ?? 0)
    }
    switch work {
    // There is nothing to merge where splits have died.
    case "merge" where open.count < 2: break
    case "advance": try await pool.execute("SELECT tidemark.advance(\(stream.id))")
    case "split": try await pool.execute("SELECT tidemark.split_shard(\(stream.id), \(open[0].id))")
    case "merge":
      try await pool.execute("SELECT tidemark.merge_shards(\(stream.id), \(open[0].id), \(open[1].id))")
    default: try await pool.execute("SELECT tidemark.maintain_stream(\(stream.id))")
    }
  }

  /// Puts a call after every statement of the functions that ends a session whose setting names it.
  ///
  /// - Returns: how many there are.
  private func plantBoundaries(in functions: [String], of database: StreamDatabase) async throws -> Int {
    try await database.run(
      """
      CREATE FUNCTION tidemark.boundary(number integer) RETURNS void LANGUAGE plpgsql AS $$
      BEGIN
        IF current_setting('tidemark.dies_at', true) = number::text THEN
          PERFORM pg_terminate_backend(pg_backend_pid());
          PERFORM pg_sleep(60);
        END IF;
      END $$
      """
    )
    var count = 0
    for function in functions {
      let definition = try #require(
        try await database.text(
          "SELECT pg_get_functiondef(oid) FROM pg_proc "
            + "WHERE pronamespace = 'tidemark'::regnamespace AND proname = '\(function)'"
        )
      )
      var isBody = false
      var isQuoted = false
      let lines = definition.split(separator: "\n", omittingEmptySubsequences: false).map { line in
        if line == "BEGIN" { isBody = true }
        if line.components(separatedBy: "$sql$").count.isMultiple(of: 2) { isQuoted.toggle() }
        guard isBody, !isQuoted, line.hasSuffix(";") else { return String(line) }
        count += 1
        return "\(line) PERFORM tidemark.boundary(\(count));"
      }
      try await database.run(lines.joined(separator: "\n"))
    }
    return count
  }
}
