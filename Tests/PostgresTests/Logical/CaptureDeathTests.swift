import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgres
@testable import TidemarkStreams

/// The session that appends, and the one that decodes, are ended at each statement of an append, under load.
@Suite("A capture whose sessions die", .sharesMachine)
struct CaptureDeathTests {
  @Test(
    "It loses nothing and doubles nothing, and keeps every item's changes in order"
  )
  func everyBoundary() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, version int)")
    try await database.admin.enable(table: "item", viewType: .newImage, capture: .logical, shardCount: 2)
    let boundaries = try await plantBoundaries(in: database)
    #expect(boundaries > 7)
    let streams = [try database.stream("item"), try database.stream("item")]
    let versions = SharedCounter()
    try await pumping(streams[0], streams[1]) {
      try await eventually(within: .seconds(600), "both have died at every boundary") {
        versions.add()
        try await database.run(
          """
          INSERT INTO item SELECT i, \(versions.value) FROM generate_series(1, 5) AS i
            ON CONFLICT (id) DO UPDATE SET version = excluded.version
          """
        )
        // More than one append takes, and undone in part: it is appended in pieces.
        if versions.value % 25 == 0 {
          try await database.run(
            "DELETE FROM item WHERE id > 100; INSERT INTO item SELECT i, 0 FROM generate_series(101, 9100) AS i"
          )
        }
        return try await database.number("SELECT count(*) FROM tidemark.death") == Int64(2 * boundaries)
      }
      try await streams[0].sequenceCommitted()
    }
    let records = try await streams[1].readAll()
    let images = Dictionary(grouping: records, by: \.partitionKey).mapValues { records in
      records.map { $0.change?.newImage?.description ?? "" }
    }
    for id in 1...5 {
      #expect(images[#"{"id":\#(id)}"#] == (1...versions.value).map { #"{"id":\#(id),"version":\#($0)}"# })
    }
    let rounds = versions.value / 25
    for id in stride(from: 101, through: 9100, by: rounds > 0 ? 1 : 9000) where rounds > 0 {
      let expected = Array(
        repeatElement([#"{"id":\#(id),"version":0}"#, ""], count: rounds).joined().dropLast()
      )
      if images[#"{"id":\#(id)}"#] != expected { Issue.record("item \(id)") }
    }
  }

  /// Behind each statement of an append, ends the session there the first time, and the decoding one the second time.
  ///
  /// - Returns: how many there are.
  private func plantBoundaries(in database: StreamDatabase) async throws -> Int {
    let definition = try #require(
      try await database.text("SELECT pg_get_functiondef('tidemark.append_captured'::regproc)")
    )
    var count = 0
    var isBody = false
    var isQuoted = false
    var isAlone = false
    let lines = definition.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      if line == "BEGIN" { isBody = true }
      if line.ranges(of: "$sql$").count % 2 == 1 { isQuoted.toggle() }
      // Where only the place moves is rarely come to; the simulation dies there.
      if line.contains("IF cardinality(events) = 0") { isAlone = true }
      if line.contains("END IF") { isAlone = false }
      guard isBody, !isQuoted, !isAlone, line.hasSuffix(";"), !line.contains("RETURN"),
        !line.contains("END IF")
      else {
        return String(line)
      }
      count += 1
      return "\(line) PERFORM tidemark.boundary(\(count));"
    }
    // A sequence outlives what the session that dies has done.
    try await database.run(
      """
      CREATE VIEW tidemark.death AS
        SELECT s.sequencename FROM pg_sequences s CROSS JOIN generate_series(1, least(s.last_value, 2))
        WHERE s.schemaname = 'tidemark' AND s.sequencename LIKE 'boundary%' AND s.last_value IS NOT NULL;
      CREATE FUNCTION tidemark.boundary(number integer) RETURNS void LANGUAGE plpgsql AS $$
      DECLARE
        visit bigint := nextval('tidemark.boundary_' || number);
      BEGIN
        IF visit = 1 THEN
          PERFORM pg_terminate_backend(pg_backend_pid());
          PERFORM pg_sleep(60);
        ELSIF visit = 2 THEN
          PERFORM pg_terminate_backend(r.active_pid) FROM pg_replication_slots r
            WHERE r.database = current_database() AND r.active;
        END IF;
      END $$
      """
    )
    for number in 1...count { try await database.run("CREATE SEQUENCE tidemark.boundary_\(number)") }
    try await database.run(lines.joined(separator: "\n"))
    return count
  }
}
