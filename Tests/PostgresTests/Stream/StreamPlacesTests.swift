import LibPQ
import TestSupport
import Testing
import Tidemark
import TidemarkTestKit

@testable import TidemarkStreams

/// Log partitions that are made ahead, age and go, and what readers learn of it.
@Suite("A stream's places", .sharesMachine)
struct StreamPlacesTests {
  private func items(shardCount: Int = 1, capture: StreamCapture = .trigger) async throws -> (
    StreamDatabase, PostgresStream
  ) {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY); INSERT INTO item VALUES (1)")
    try await database.admin.enable(
      table: "item",
      viewType: .keysOnly,
      capture: capture,
      shardCount: shardCount
    )
    return (database, try database.stream("item"))
  }

  /// As if time had passed since the log's partitions were made.
  private func age(_ database: StreamDatabase, _ interval: String) async throws {
    try await database.run(
      """
      UPDATE tidemark.log_partition SET created_at = created_at - interval '\(interval)',
        closed_at = closed_at - interval '\(interval)';
      UPDATE tidemark.step SET moved_at = moved_at - interval '\(interval)';
      UPDATE tidemark.stream SET written_at = written_at - interval '\(interval)';
      UPDATE tidemark.shard SET closed_at = closed_at - interval '\(interval)'
      """
    )
  }

  /// As if the partitions that are not written to any more had been closed two days ago.
  private func ageClosed(_ database: StreamDatabase) async throws {
    try await database.run("UPDATE tidemark.log_partition SET closed_at = closed_at - interval '48 hours'")
  }

  @Test(
    "A stream goes on after a snapshot whose reserved partition has aged unused",
    arguments: StreamCapture.allCases,
    [1, 2]
  )
  func agedPartition(capture: StreamCapture, snapshots: Int) async throws {
    let (database, stream) = try await items(capture: capture)
    for application in ["a", "b"].prefix(snapshots) {
      _ = try await stream.startingWithSnapshot(for: application, isNew: true)
    }
    try await age(database, "2 hours")
    try await database.run("INSERT INTO item VALUES (2)")
    #expect(try await stream.readAll().map(\.partitionKey) == [#"{"id":2}"#])
    try await age(database, "2 hours")
    try await database.run("INSERT INTO item VALUES (3)")
    try await database.admin.disable("item")
    #expect(try await stream.readAll(untilEnd: true).map(\.partitionKey) == [#"{"id":2}"#, #"{"id":3}"#])
  }

  @Test(
    "A snapshot is begun while the last one's partition is still unused, and after retention has taken that"
  )
  func snapshotAfterSnapshot() async throws {
    let (database, stream) = try await items()
    _ = try await stream.startingWithSnapshot(for: "a", isNew: true)
    try await age(database, "48 hours")
    try await database.admin.maintain()
    let view = try #require(
      try await stream.startingWithSnapshot(for: "b", isNew: true) as? PostgresStream
    )
    try await database.run("INSERT INTO item VALUES (2)")
    #expect(try await view.readAll().map(\.partitionKey) == [#"{"id":1}"#, #"{"id":2}"#])
  }

  @Test("The children of a shard that was read to its end are read from their beginning or not at all")
  func trimmedChildren() async throws {
    let (database, stream) = try await items()
    let parent = try await stream.shards()[0]
    let children = try await database.admin.split(parent.id, of: "item")
    try await database.run("INSERT INTO item SELECT generate_series(2, 20)")
    try await stream.sequenceCommitted()
    let listed = try await stream.shards().filter { children.contains($0.id) }
    try await age(database, "48 hours")
    try await database.run("INSERT INTO item SELECT generate_series(21, 40)")
    try await stream.sequenceCommitted()
    try await ageClosed(database)
    try await database.admin.maintain()
    for child in listed {
      let error = try await #require(throws: TidemarkError.self) {
        _ = try await stream.reader(of: child.id, after: child.beginning).nextPage(maximumRecords: 100)
      }
      #expect(error.code == .recordsTrimmed)
      // Whoever wants what is left gets that.
      let rest = try await stream.reader(of: child.id, after: .trimHorizon).nextPage(maximumRecords: 100)
      #expect(!rest.records.isEmpty)
    }
    // Listed now, they begin where they still have all for an application that has read nothing of them.
    for shard in try await stream.shards() where children.contains(shard.id) {
      #expect(shard.horizon > shard.beginning)
      let page = try await stream.reader(of: shard.id, after: shard.horizon).nextPage(maximumRecords: 100)
      #expect(!page.records.isEmpty)
    }
  }

  @Test("What retention takes while a snapshot is made is missed by its application, and not skipped")
  func trimmedWhileASnapshotIsMade() async throws {
    let (database, stream) = try await items()
    let view = try #require(
      try await stream.startingWithSnapshot(for: "a", isNew: true) as? PostgresStream
    )
    // As if the copying had taken as long as this: the application lists the shards afterwards.
    try await database.run("INSERT INTO item SELECT generate_series(2, 20)")
    try await stream.sequenceCommitted()
    try await age(database, "48 hours")
    try await database.run("INSERT INTO item VALUES (21)")
    try await stream.sequenceCommitted()
    try await database.run(
      """
      UPDATE tidemark.log_partition p SET closed_at = closed_at - interval '48 hours'
      WHERE partition_ordinal NOT IN (SELECT n.partition_ordinal FROM tidemark.snapshot n);
      UPDATE tidemark.log_partition p SET closed_at = clock_timestamp()
      WHERE partition_ordinal IN (SELECT n.partition_ordinal FROM tidemark.snapshot n);
      UPDATE tidemark.shard SET closed_at = clock_timestamp() WHERE application IS NOT NULL
      """
    )
    try await database.admin.maintain()
    let leases = ShardSync.missingLeases(shards: try await view.shards(), leases: [], position: .snapshot)
    #expect(leases.count == 2)
    let snapshot = try #require(leases.first { $0.parentShardIDs.isEmpty })
    let child = try #require(leases.first { $0.parentShardIDs == [snapshot.shardID] })
    let copied = try await view.reader(of: snapshot.shardID, after: snapshot.checkpoint)
      .nextPage(maximumRecords: 100)
    #expect(copied.records.map(\.partitionKey) == [#"{"id":1}"#])
    let error = try await #require(throws: TidemarkError.self) {
      _ = try await view.reader(of: child.shardID, after: child.checkpoint).nextPage(maximumRecords: 100)
    }
    #expect(error.code == .recordsTrimmed)
  }

  private func beginSnapshot(on maker: PQPool) async throws {
    try await maker.withConnection {
      try await $0.executeScript(
        """
        BEGIN ISOLATION LEVEL REPEATABLE READ;
        LOCK TABLE tidemark.turn_1 IN SHARE UPDATE EXCLUSIVE MODE;
        SELECT tidemark.begin_making(1, 'a');
        SELECT tidemark.begin_snapshot(1, 'a');
        COMMIT
        """
      )
    }
  }

  @Test("What a snapshot sees, and no step has moved yet, comes before it")
  func inboxBeforeASnapshot() async throws {
    let (database, _) = try await items()
    try await database.run("INSERT INTO item VALUES (2)")
    let maker = try StreamDatabase.makePool(database.url, connections: 1)
    try await beginSnapshot(on: maker)
    #expect(try await database.number("SELECT count(*) FROM tidemark.inbox_1") == 0)
    let before = try await database.number(
      "SELECT count(*) FROM tidemark.log_1 JOIN tidemark.shard AS s USING (shard_ordinal) WHERE s.ending_sequence > 0"
    )
    #expect(before == 1)
    await maker.close()
  }

  @Test("Retention leaves the shards of a snapshot alone for as long as somebody makes it")
  func snapshotThatTakesLong() async throws {
    let (database, stream) = try await items()
    try await database.run("INSERT INTO item VALUES (2)")
    try await stream.sequenceCommitted()
    let maker = try StreamDatabase.makePool(database.url, connections: 1)
    try await beginSnapshot(on: maker)
    try await age(database, "48 hours")
    try await database.admin.maintain()
    #expect(try await database.number("SELECT count(*) FROM tidemark.shard WHERE application = 'a'") == 1)
    try await maker.execute("SELECT tidemark.complete_snapshot(1, 'a', 0)")
    try await database.admin.maintain()
    #expect(try await database.number("SELECT count(*) FROM tidemark.shard WHERE application = 'a'") == 1)
    await maker.close()
  }

  @Test("A child whose records go while its parent is still read is stopped at, whoever has added its lease")
  func trimmedWhileTheParentIsRead() async throws {
    let (database, stream) = try await items()
    let parent = try await stream.shards()[0]
    try await database.run("INSERT INTO item VALUES (2)")
    try await stream.sequenceCommitted()
    let children = Set(try await database.admin.split(parent.id, of: "item"))
    // The application's first sync adds the whole lineage.
    let leases = ShardSync.missingLeases(
      shards: try await stream.shards(),
      leases: [],
      position: .trimHorizon
    )
    try await database.run("INSERT INTO item SELECT generate_series(3, 20)")
    try await stream.sequenceCommitted()
    try await age(database, "48 hours")
    try await database.run("INSERT INTO item VALUES (21)")
    try await stream.sequenceCommitted()
    try await ageClosed(database)
    try await database.admin.maintain()
    #expect(leases.count == 3)
    for lease in leases where children.contains(lease.shardID) {
      let error = try await #require(throws: TidemarkError.self) {
        _ = try await stream.reader(of: lease.shardID, after: lease.checkpoint).nextPage(maximumRecords: 100)
      }
      #expect(error.code == .recordsTrimmed)
    }
  }

  // MARK: Histories

  /// As if the server were another one, which lacks what came after `body` began: what the database holds of the stream
  /// is put back to what it was.
  private func losing(_ database: StreamDatabase, _ body: () async throws -> Void) async throws {
    let saved = "saved_\(UInt32.random(in: 0 ... .max))"
    let tables = ["history", "stream", "shard", "log_partition", "step", "jump"]
    try await database.run(
      tables.map { "CREATE TABLE \(saved)_\($0) AS SELECT * FROM tidemark.\($0);" }.joined()
    )
    let sequence = try await database.number("SELECT last_value FROM tidemark.inbox_1_id_seq")
    try await body()
    try await database.run(
      """
      BEGIN;
      SET LOCAL session_replication_role = replica;
      DO $$ BEGIN
        EXECUTE (SELECT coalesce(string_agg(format('DROP TABLE tidemark.log_1_%s;', p.partition_ordinal), ''), '')
          FROM tidemark.log_partition p
          WHERE p.partition_ordinal NOT IN (SELECT s.partition_ordinal FROM \(saved)_log_partition s));
      END $$;
      DELETE FROM tidemark.log_1 l WHERE l.sequence_number > (SELECT max(head) FROM \(saved)_step);
      TRUNCATE \(tables.map { "tidemark.\($0)" }.joined(separator: ", ")) CASCADE;
      \(tables.map { "INSERT INTO tidemark.\($0) \($0 == "stream" ? "OVERRIDING SYSTEM VALUE " : "")SELECT * FROM \(saved)_\($0);" }.joined())
      \(tables.map { "DROP TABLE \(saved)_\($0);" }.joined())
      UPDATE tidemark.history SET server_started_at = server_started_at - interval '1 s';
      SELECT setval('tidemark.inbox_1_id_seq', \(max(sequence, 1)));
      COMMIT
      """
    )
  }

  @Test("After a loss no number is given out twice, and a reader that had seen what is lost says so once")
  func lostTail() async throws {
    let (database, stream) = try await items()
    let shard = try await stream.shards()[0]
    let reader = try await stream.reader(of: shard.id, after: .trimHorizon)
    try await database.run("INSERT INTO item VALUES (2)")
    try await stream.sequenceCommitted()
    var seen = try await reader.nextPage(maximumRecords: 10).records.map(\.sequenceNumber)
    try await losing(database) {
      try await database.run("INSERT INTO item SELECT generate_series(3, 9)")
      try await stream.sequenceCommitted()
      seen += try await reader.nextPage(maximumRecords: 10).records.map(\.sequenceNumber)
      #expect(seen.count == 8)
    }
    try await database.run("INSERT INTO item SELECT generate_series(10, 12)")
    try await stream.sequenceCommitted()
    let page = try await reader.nextPage(maximumRecords: 10)
    #expect(page.records.map(\.partitionKey) == (10...12).map { #"{"id":\#($0)}"# })
    #expect(page.records.allSatisfy { $0.sequenceNumber > seen.last ?? 0 })
    #expect(page.loss == ShardPage.Loss(after: seen[0], through: seen[7]))
    try await database.run("INSERT INTO item VALUES (13)")
    try await stream.sequenceCommitted()
    #expect(try await reader.nextPage(maximumRecords: 10).loss == nil)
    // Also for whoever begins at a place that is lost.
    let late = try await stream.reader(of: shard.id, after: .record(seen[4])).nextPage(maximumRecords: 10)
    #expect(late.loss == ShardPage.Loss(after: seen[0], through: seen[4]))
    #expect(late.records.count == 4)
    let histories = try await database.admin.describe("item").jumps
    #expect(histories.map(\.lostThrough) == [seen[7]])
  }

  @Test("Two losses, one of which takes the memory of the other, give nothing out twice")
  func lostJump() async throws {
    let (database, stream) = try await items()
    let shard = try await stream.shards()[0]
    let reader = try await stream.reader(of: shard.id, after: .trimHorizon)
    var seen: Set<SequenceNumber> = []
    var count = 0
    func write(_ ids: ClosedRange<Int>) async throws {
      try await database.run("INSERT INTO item SELECT generate_series(\(ids.lowerBound), \(ids.upperBound))")
      try await stream.sequenceCommitted()
      let page = try await reader.nextPage(maximumRecords: 100)
      count += page.records.count
      seen.formUnion(page.records.map(\.sequenceNumber))
    }
    var lost: Int64 = 0
    try await losing(database) {
      try await losing(database) { try await write(2...5) }
      try await write(6...9)
      lost = try await database.number("SELECT max(history_number) FROM tidemark.history")
    }
    try await eventually("as much time has passed as a server takes to start") {
      try await database.number("SELECT tidemark.next_history()") > lost
    }
    try await write(10...14)
    #expect(count == 13)
    #expect(seen.count == 13)
  }

  @Test("A history is entered once, by however many at once", arguments: ["tidemark", "tidemark_leases"])
  func oneHistory(schema: String) async throws {
    let database = try await StreamDatabase.make()
    let other = try StreamDatabase.makePool(database.url, connections: 1)
    let enter = PQStatement(stringLiteral: "SELECT \(schema).enter_history()")
    _ = try await database.pool.query(enter)
    try await database.run(
      "UPDATE \(schema).history SET server_started_at = server_started_at - interval '1 hour'"
    )
    try await withThrowingTaskGroup(of: Int64.self) { group in
      let mine = try await database.pool.transaction { transaction in
        let mine = try await transaction.query(enter)[0].decode(Int64.self)
        group.addTask { try await other.query(enter)[0].decode(Int64.self) }
        try await eventually("the second waits") {
          try await database.number(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
          ) == 1
        }
        return mine
      }
      let theirs = try await group.next()
      #expect(mine > 0 && theirs == mine)
    }
    await other.close()
  }

  @Test("Splits, snapshots and disabling after a loss go on after the jump, too", arguments: 0...2)
  func changesAfterALoss(kind: Int) async throws {
    let (database, stream) = try await items()
    let shard = try await stream.shards()[0]
    let reader = try await stream.reader(of: shard.id, after: .trimHorizon)
    try await losing(database) {
      try await database.run("INSERT INTO item SELECT generate_series(2, 9)")
      try await stream.sequenceCommitted()
      #expect(try await reader.nextPage(maximumRecords: 10).records.count == 8)
    }
    switch kind {
    case 0: _ = try await database.admin.split(shard.id, of: "item")
    case 1: _ = try await stream.startingWithSnapshot(for: "a", isNew: true)
    default: try await database.admin.disable("item")
    }
    let page = try await reader.nextPage(maximumRecords: 10)
    #expect(page.records.isEmpty)
    #expect(page.loss != nil)
    let ending = try #require(try await stream.shards().first { $0.id == shard.id }?.endingSequenceNumber)
    #expect(ending > SequenceNumber(1 << 32))
    #expect(page.end != nil)
  }
}
