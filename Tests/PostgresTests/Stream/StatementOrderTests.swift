import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkStreams

/// What is kept of the order in which one statement changes an item more than once.
@Suite("The changes that one statement makes to an item", .sharesMachine)
struct StatementOrderTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var testDescription: String
    /// Before the stream is enabled, with a table `item (id, v, parent)`.
    var preparation = ""
    var statement: String
    /// Whether capture by trigger keeps the order, too.
    var isKeptByTrigger = true
    /// The first version of PostgreSQL that has the statement.
    var since: Int32 = 14
  }

  private static let bump = """
    CREATE FUNCTION bump(which int) RETURNS int LANGUAGE plpgsql AS $$
    BEGIN UPDATE item SET v = v + 100 WHERE id = which; RETURN 0; END $$;
    """

  private static let cases = [
    Case(
      testDescription: "a cascade within the table",
      preparation:
        "ALTER TABLE item ADD FOREIGN KEY (parent) REFERENCES item ON UPDATE CASCADE ON DELETE CASCADE",
      statement: "UPDATE item SET id = id + 10 WHERE id = 1; DELETE FROM item WHERE id = 11"
    ),
    Case(
      testDescription: "a cascade that sets null",
      preparation: "ALTER TABLE item ADD FOREIGN KEY (parent) REFERENCES item ON DELETE SET NULL",
      statement: "DELETE FROM item WHERE id IN (1, 2)"
    ),
    Case(
      testDescription: "DELETE and INSERT in a WITH",
      statement: """
        WITH gone AS (DELETE FROM item WHERE id < 3 RETURNING *) INSERT INTO item SELECT id + 50, v + 1 FROM gone
        """
    ),
    Case(
      testDescription: "an upsert",
      statement: """
        INSERT INTO item VALUES (1, 7), (9, 7) ON CONFLICT (id) DO UPDATE SET v = item.v + excluded.v
        """
    ),
    Case(
      testDescription: "MERGE",
      statement: """
        MERGE INTO item USING (VALUES (1, 5), (2, 6), (9, 7)) AS n (id, v) ON n.id = item.id
        WHEN MATCHED AND n.v = 5 THEN DELETE WHEN MATCHED THEN UPDATE SET v = n.v
        WHEN NOT MATCHED THEN INSERT (id, v) VALUES (n.id, n.v)
        """,
      since: 15
    ),
    Case(
      testDescription: "keys that move on by one",
      preparation: """
        ALTER TABLE item DROP CONSTRAINT item_pkey; ALTER TABLE item ADD PRIMARY KEY (id, v)
        """,
      statement: "UPDATE item SET id = id + 1"
    ),
    Case(
      testDescription: "a trigger after the statement",
      preparation: """
        CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF pg_trigger_depth() = 1 THEN UPDATE item SET v = v + 100; END IF; RETURN NULL; END $$;
        CREATE TRIGGER own AFTER UPDATE ON item FOR EACH STATEMENT EXECUTE FUNCTION own()
        """,
      statement: "UPDATE item SET v = v + 1"
    ),
    Case(
      testDescription: "a trigger after each row, of the same row",
      preparation: """
        CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF pg_trigger_depth() = 1 THEN UPDATE item SET v = v + 100 WHERE id = NEW.id; END IF; RETURN NULL; END $$;
        CREATE TRIGGER own AFTER UPDATE ON item FOR EACH ROW EXECUTE FUNCTION own()
        """,
      statement: "UPDATE item SET v = v + 1"
    ),
    Case(
      testDescription: "a deferred trigger",
      preparation: """
        CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.v < 100 THEN UPDATE item SET v = v + 100 WHERE id = 3 AND v < 100; END IF; RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER own AFTER UPDATE ON item DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW EXECUTE FUNCTION own()
        """,
      statement: "UPDATE item SET v = v + 1"
    ),
    Case(
      testDescription: "a trigger after each row, of a later row",
      preparation: """
        CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.id = 1 AND pg_trigger_depth() = 1 THEN UPDATE item SET v = v + 100 WHERE id = 3; END IF;
        RETURN NULL; END $$;
        CREATE TRIGGER own AFTER UPDATE ON item FOR EACH ROW EXECUTE FUNCTION own()
        """,
      statement: "UPDATE item SET v = v + 1",
      isKeptByTrigger: false
    ),
    Case(
      testDescription: "a trigger before each row, of an earlier row",
      preparation: """
        CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.id = 3 THEN UPDATE item SET v = v + 100 WHERE id = 1; END IF; RETURN NEW; END $$;
        CREATE TRIGGER own BEFORE UPDATE ON item FOR EACH ROW EXECUTE FUNCTION own()
        """,
      statement: "UPDATE item SET v = v + 1",
      isKeptByTrigger: false
    ),
    Case(
      testDescription: "a function in SET, of an earlier row",
      preparation: bump,
      statement: "UPDATE item SET v = v + 1 + CASE WHEN id = 3 THEN bump(1) ELSE 0 END",
      isKeptByTrigger: false
    ),
    Case(
      testDescription: "a function in RETURNING, of the row",
      preparation: bump,
      statement: "INSERT INTO item VALUES (9, 1) RETURNING bump(9)",
      isKeptByTrigger: false
    ),
    Case(
      testDescription: "a function in a WITH that changes what another part changed",
      preparation: bump,
      statement: """
        WITH new AS (INSERT INTO item VALUES (9, 1) RETURNING id) SELECT bump(id) FROM new
        """,
      isKeptByTrigger: false
    ),
  ]

  /// Whether each record of an item goes on from where the one before it ended, and the last one is what the table has.
  private func isInOrder(_ records: [Record], _ database: StreamDatabase) async throws -> Bool {
    var items: [String: String] = [:]
    for record in records {
      let change = try #require(record.change)
      let isRight =
        switch change.eventName {
        case .insert: items[record.partitionKey] == nil
        case .modify, .remove: items[record.partitionKey] == change.oldImage?.description
        }
      if !isRight { return false }
      items[record.partitionKey] = change.newImage?.description
    }
    let rows = try await database.pool.query("SELECT row_to_json(i)::text FROM item i").map {
      try $0.decode(String.self)
    }
    return items.values.sorted() == rows.sorted()
  }

  @Test(
    "are in order by decoding, and by trigger but where the statement runs others between them",
    arguments: cases
  )
  func order(statement: Case) async throws {
    guard try await PostgresVersion.isAtLeast(statement.since) else { return }
    for capture in StreamCapture.allCases {
      let database = try await StreamDatabase.make()
      try await database.run("CREATE TABLE item (id int PRIMARY KEY, v int, parent int)")
      if !statement.preparation.isEmpty { try await database.run(statement.preparation) }
      try await database.admin.enable(table: "item", capture: capture, shardCount: 1)
      try await database.run("INSERT INTO item VALUES (1, 1, NULL), (2, 2, 1), (3, 3, 2)")
      try await database.run(statement.statement)
      let records = try await database.stream("item").readAll()
      #expect(
        try await isInOrder(records, database) == (capture == .logical || statement.isKeptByTrigger),
        "\(capture): \(records.map(\.summary))"
      )
    }
  }
}
