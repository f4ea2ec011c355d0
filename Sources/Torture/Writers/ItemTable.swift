import FleetDrill
import LibPQ
import Tidemark

/// The captured table, and the journal that triggers of its own keep of it in the writers' transactions: what the
/// database loses is lost in both, and what is left must have been delivered.
///
/// A row's version is in each state another, also where a server that lost its newest commits counts again from an
/// earlier number. The journal's numbers are drawn under the row's lock, so they say in which order an item changed.
/// Each statement names the table, so that sessions plan it again when the key gets another type.
struct ItemTable: Sendable {
  let pool: PQPool

  /// Creates the table with its first rows.
  func create(rows: Int, size: Int) async throws {
    try await pool.withConnection { connection in
      try await connection.executeScript(Self.definition)
      try await connection.execute(
        "INSERT INTO item (id, size) SELECT i, \(Int32(size)) FROM generate_series(1, \(Int64(rows))) AS i"
      )
    }
  }

  private static let definition = """
    CREATE SEQUENCE tick;
    CREATE TABLE item (
      id bigint PRIMARY KEY, version bigint NOT NULL, size int NOT NULL, note text,
      filled bigint NOT NULL, filling text NOT NULL);
    ALTER TABLE item ALTER COLUMN filling SET STORAGE EXTERNAL;
    CREATE TABLE journal (
      place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id bigint NOT NULL, event text NOT NULL,
      version bigint NOT NULL, old_version bigint, size int, filled bigint);
    CREATE TABLE elsewhere (number bigint NOT NULL);
    CREATE TABLE ledger (
      place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id bigint NOT NULL, event text NOT NULL,
      version bigint NOT NULL);

    CREATE FUNCTION version_item() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      NEW.version := nextval('tick') << 20 | floor(random() * 1048576)::bigint;
      IF TG_OP = 'INSERT' OR NEW.size <> OLD.size THEN
        NEW.filled := NEW.version;
        NEW.filling := left(repeat(NEW.version || ' ', NEW.size / 8 + 1), NEW.size);
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER version BEFORE INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION version_item();

    CREATE FUNCTION journal_item() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO journal (id, event, version, old_version) SELECT id, 'REMOVE', version, version FROM item;
      ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO journal (id, event, version, old_version)
          SELECT OLD.id, 'REMOVE', OLD.version, OLD.version WHERE 'item'::regclass IS NOT NULL;
      ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO journal (id, event, version, size, filled)
          SELECT NEW.id, 'INSERT', NEW.version, NEW.size, NEW.filled WHERE 'item'::regclass IS NOT NULL;
      ELSE
        INSERT INTO journal (id, event, version, old_version, size, filled)
          SELECT NEW.id, 'MODIFY', NEW.version, OLD.version, NEW.size, NEW.filled
          WHERE NEW.id = OLD.id AND 'item'::regclass IS NOT NULL;
        IF NOT FOUND THEN
          INSERT INTO journal (id, event, version, old_version)
            SELECT OLD.id, 'REMOVE', OLD.version, OLD.version WHERE 'item'::regclass IS NOT NULL;
          INSERT INTO journal (id, event, version, size, filled)
            SELECT NEW.id, 'INSERT', NEW.version, NEW.size, NEW.filled WHERE 'item'::regclass IS NOT NULL;
        END IF;
      END IF;
      RETURN NULL;
    END $$;
    CREATE TRIGGER zz_journal AFTER INSERT OR UPDATE OR DELETE ON item
      FOR EACH ROW EXECUTE FUNCTION journal_item();
    CREATE TRIGGER zz_journal_truncate BEFORE TRUNCATE ON item EXECUTE FUNCTION journal_item();
    """

  /// Every change that is committed, for each item in the order in which it happened.
  func journal() async throws -> Journal {
    let rows = try await pool.query(
      "SELECT place, id, event, version, old_version, size, filled FROM journal ORDER BY place"
    )
    var journal = Journal()
    for row in rows {
      let (place, id, event, version, oldVersion, size, filled) =
        try row.decode((Int64, Int64, String, Int64, Int64?, Int32?, Int64?).self)
      guard let event = Change.EventName(rawValue: event) else { continue }
      journal.add(
        JournalEntry(
          place: place,
          change: OrderChange(order: id, event: event, version: version),
          state: ItemState(oldVersion: oldVersion, size: size.map { Int($0) }, filled: filled)
        )
      )
    }
    return journal
  }

  func lastPlace() async throws -> Int64 {
    try await pool.query("SELECT coalesce(max(place), 0) FROM journal")[0].decode(Int64.self)
  }

  /// The version of each row.
  func versions() async throws -> [Int64: Int64] {
    let rows = try await pool.query("SELECT id::bigint, version FROM item")
    return try Dictionary(
      rows.map { try $0.decode((Int64, Int64).self) }.map { ($0.0, $0.1) },
      uniquingKeysWith: { $1 }
    )
  }

  /// What the application `ledger` has done, in the order in which it did.
  func ledger() async throws -> [OrderChange] {
    let rows = try await pool.query("SELECT id, event, version FROM ledger ORDER BY place")
    return try rows.compactMap { row in
      let (id, event, version) = try row.decode((Int64, String, Int64).self)
      return Change.EventName(rawValue: event).map { OrderChange(order: id, event: $0, version: version) }
    }
  }
}
