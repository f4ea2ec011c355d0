import LibPQ
import TestSupport
import Testing

@testable import TidemarkPostgres
@testable import TidemarkStreams

/// What the catalog must say of all that both schemas have, so that a function or table that is added later keeps to it.
@Suite("The catalog", .sharesMachine)
struct CatalogRuleTests {
  private let database: StreamDatabase
  private let roles: StreamRoles

  init() async throws {
    database = try await StreamDatabase.make()
    roles = StreamRoles(database: database)
    try await roles.create("owner")
    try await database.run(
      "CREATE TABLE item (id int PRIMARY KEY, e timestamptz); ALTER TABLE item OWNER TO \(roles.name("owner"))"
    )
    try await database.admin.enable(table: "item", expiryColumn: "e")
  }

  private func names(_ sql: String) async throws -> [String] {
    try await database.pool.query(PQStatement(stringLiteral: sql)).map { try $0.decode(String.self) }
  }

  private func functions(where condition: String) async throws -> [String] {
    try await names(
      """
      WITH p AS MATERIALIZED (
        SELECT p.* FROM pg_proc AS p WHERE p.pronamespace::regnamespace::text IN ('tidemark', 'tidemark_leases')
      )
      SELECT p.oid::regprocedure::text FROM p JOIN pg_namespace AS n ON n.oid = p.pronamespace
      WHERE \(condition) ORDER BY 1
      """
    )
  }

  @Test("has no function for everybody, and no table either")
  func everybody() async throws {
    #expect(
      try await functions(
        where: "p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) AS a WHERE a.grantee = 0)"
      ) == []
    )
    #expect(
      try await names(
        """
        SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        CROSS JOIN aclexplode(c.relacl) AS a WHERE n.nspname IN ('tidemark', 'tidemark_leases') AND a.grantee = 0
        """
      ) == []
    )
    try await roles.drop("owner")
  }

  @Test("has a search_path for each function, or a body that was parsed when it was made")
  func paths() async throws {
    #expect(
      try await functions(
        where: """
          (p.prosqlbody IS NULL OR p.prosecdef) AND p.prosrc <> 'SELECT pg_catalog.to_json($1)::pg_catalog.text'
          AND p.prokind <> 'p'
          AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE c = 'search_path=pg_catalog, pg_temp')
          """
      ) == []
    )
    try await roles.drop("owner")
  }

  /// One that ends transactions can have neither a search_path nor its owner's rights.
  @Test("has a schema in front of all that a procedure calls, and no operator in it")
  func procedures() async throws {
    #expect(
      try await functions(
        where: """
          p.prokind = 'p' AND (p.prosecdef OR p.prosrc ~ '(^|[^.[:word:]])[[:word:]]+\\('
            OR regexp_replace(p.prosrc, ':=|=>', '', 'g') ~ '[-+*/<>=~!@#%^&|`?]' OR p.prosrc ~ '::')
          """
      ) == []
    )
    try await roles.drop("owner")
  }

  @Test(
    "has only capture's and copying's functions of others than the schema's owner, and those of the table's"
  )
  func owners() async throws {
    #expect(
      try await functions(where: "p.proowner <> n.nspowner") == [
        "tidemark.capture_1()", "tidemark.copy_1(bigint,bigint[],integer[],bigint,regclass,bigint,bigint)",
        "tidemark.truncate_1()",
      ]
    )
    #expect(
      try await functions(
        where:
          "p.proowner <> n.nspowner AND (p.proowner <> '\(roles.name("owner"))'::regrole OR NOT p.prosecdef)"
      ) == []
    )
    try await roles.drop("owner")
  }

  @Test(
    "has the session's role in no function but the one that says whose rights count, and the check for REPLICATION"
  )
  func callers() async throws {
    #expect(
      try await functions(
        where: "pg_get_functiondef(p.oid) ILIKE '%session_user%'"
      ) == [
        "tidemark.caller()", "tidemark.request_cut(integer,text)",
        "tidemark_leases.require_consumer(text,text)",
      ]
    )
    // In a function that runs as its owner, current_user is that one.
    #expect(
      try await functions(
        where: """
          p.prosecdef AND pg_get_functiondef(p.oid) ILIKE '%current_user%'
          AND p.proname NOT IN ('copy_1', 'drop_dead_captures', 'advance_streams')
          """
      ) == []
    )
    try await roles.drop("owner")
  }

  @Test("has no parameter that a column of the same name would hide in a function of one SQL statement")
  func hiddenParameters() async throws {
    // A column wins over a parameter there, without a word.
    #expect(
      try await functions(
        where: """
          EXISTS (SELECT FROM pg_language AS l WHERE l.oid = p.prolang AND l.lanname = 'sql') AND EXISTS (
            SELECT FROM unnest(p.proargnames) WITH ORDINALITY AS q (name, position)
            JOIN pg_attribute AS a ON a.attname = q.name AND NOT a.attisdropped
            JOIN pg_class AS c ON c.oid = a.attrelid AND c.relnamespace = n.oid AND c.relkind IN ('r', 'v')
            WHERE (p.proargmodes IS NULL OR p.proargmodes[q.position] IN ('i', 'b'))
              AND pg_get_functiondef(p.oid) ~ format('(FROM|JOIN|UPDATE|INTO) %s\\.%s\\M', n.nspname, c.relname)
              AND pg_get_functiondef(p.oid) ~ format('[^.a-z_]%s[^.a-z_(]', q.name)
              AND p.prosrc ~ format('[^.a-z_]%s[^.a-z_(]', q.name))
          """
      ) == []
    )
    try await roles.drop("owner")
  }

  @Test("has a policy on each table that consumers may write")
  func policies() async throws {
    let consumer = "consumer"
    try await roles.create(consumer)
    try await database.admin.grant(.consumer, to: roles.name(consumer))
    try await database.leases().grant(.consumer, to: roles.name(consumer))
    let unguarded = try await names(
      """
      SELECT DISTINCT c.oid::regclass::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
      WHERE n.nspname IN ('tidemark', 'tidemark_leases') AND c.relkind IN ('r', 'p', 'v')
        AND (has_any_column_privilege('\(roles.name(consumer))', c.oid, 'INSERT, UPDATE')
          OR has_table_privilege('\(roles.name(consumer))', c.oid, 'DELETE, TRUNCATE'))
        AND (NOT c.relrowsecurity OR NOT EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid)) ORDER BY 1
      """
    )
    // It is there to be locked, and has no column.
    #expect(unguarded == ["tidemark.turn_1"])
    try await roles.drop("owner", consumer)
  }

  @Test("is asked for nothing by the statement that expires rows but what pg_catalog has")
  func expiry() async throws {
    for type in ["timestamptz", "timestamp", "date", "numeric", "integer", "bigint"] {
      try await database.run("CREATE TABLE timed_\(type) (id int, e \(type))")
      let condition = try #require(
        try await database.text("SELECT tidemark.expiry_statement('timed_\(type)'::regclass, 'e', now(), 10)")
      )
      let rest = condition.replacing("OPERATOR(pg_catalog.<=)", with: "").replacing(
        "OPERATOR(pg_catalog.>)",
        with: ""
      )
      .replacing("OPERATOR(pg_catalog.=)", with: "")
      #expect(!rest.contains(/[<>=]/), "\(type): \(condition)")
      #expect(!rest.contains(/::(?!pg_catalog\.)/), "\(type): \(condition)")
    }
    try await roles.drop("owner")
  }

  @Test("has a moment in the statement that expires rows that no time zone's letters change")
  func moments() async throws {
    let written = try await database.text(
      """
      SELECT set_config('datestyle', 'SQL, DMY', true) || set_config('timezone', 'Asia/Kolkata', true)
        || tidemark.expiry_statement('item'::regclass, 'e', '2026-01-02 03:04:05Z', 10)
      """
    )
    #expect(written?.contains("'2026-01-02 08:34:05+05:30'") == true, "\(written ?? "")")
    try await roles.drop("owner")
  }
}
