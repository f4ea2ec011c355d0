import LibPQ
import TestSupport
import Testing
import Tidemark
import TidemarkStreams

@testable import TidemarkPostgres

@Suite("Advice about missing rights", .sharesMachine)
struct PermissionAdviceTests {
  private func advice(
    _ message: String,
    _ subject: DatabaseSubject,
    code: PQError.Code = .server,
    hint: String? = nil,
    user: String = "app"
  ) -> String? {
    let error = PQError(code, message, sqlState: "42501", hint: hint, user: user)
    return TidemarkError(error, of: subject).advice
  }

  @Test("what is missing in the schema is given by the command for whoever asks this")
  func ownObjects() {
    let missing = [
      "permission denied for schema tidemark", "permission denied for table lease",
      "permission denied for function advance", "permission denied for table log_17",
    ]
    #expect(
      advice("new row violates row-level security policy for table \"lease\"", .leaseStore)
        == "Run as the schema's owner: tidemark grant consumer app --application APPLICATION --stream STREAM"
    )
    for message in missing {
      #expect(
        advice(message, .leaseStore) == "Run as the schema's owner: tidemark grant consumer app"
      )
      #expect(advice(message, .stream)?.hasSuffix("tidemark grant consumer app") == true)
      #expect(advice(message, .administration)?.hasSuffix("tidemark grant administrator app") == true)
      #expect(advice(message, .putting)?.hasSuffix("tidemark grant producer app") == true)
      #expect(advice(message, .capture)?.hasSuffix("tidemark grant capturer app") == true)
      #expect(advice(message, .schema)?.contains("as the schema's owner") == true)
    }
  }

  @Test("what is missing elsewhere is named with the role that needs it")
  func others() {
    #expect(
      advice("permission denied for database shop", .schema)
        == #"Run as the database's owner: GRANT CREATE ON DATABASE "shop" TO "app"."#
    )
    #expect(
      advice(
        #"FATAL: permission denied for database "my shop"; DETAIL: no"#,
        .stream,
        code: .connectionFailed
      ) == #"Run as the database's owner: GRANT CONNECT ON DATABASE "my shop" TO "app"."#
    )
    for message in [
      "must be superuser or replication role to use replication slots",
      "must be superuser or replication role to start walsender",
      "permission denied to use replication slots", "permission denied to start WAL sender",
    ] {
      #expect(advice(message, .capture) == #"Run as a superuser: ALTER ROLE "app" REPLICATION."#)
    }
    #expect(advice("must be owner of table orders", .schema)?.contains("app is none of them") == true)
    #expect(
      advice("permission denied for table orders", .administration)
        == #"The owner of orders has to grant "app" this right on it."#
    )
  }

  @Test("a function's own hint is the advice, and names are quoted")
  func hintsAndNames() {
    #expect(advice("permission denied for table x", .stream, hint: "GRANT it.") == "GRANT it.")
    #expect(
      advice("permission denied for table lease", .stream, user: "it's me")
        == #"Run as the schema's owner: tidemark grant consumer 'it'\''s me'"#
    )
    #expect(
      advice("permission denied for database shop", .schema, user: #"a"b"#)?.contains(#""a""b""#) == true
    )
  }

  @Test("every table of the schema is taken for one of it")
  func tables() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    try await database.admin.enable(table: "item", shardCount: 1)
    let tables = try await database.pool.query(
      "SELECT relname::text FROM pg_class WHERE relnamespace IN ('tidemark'::regnamespace, 'tidemark_leases'::regnamespace) AND relkind IN ('r', 'p', 'v')"
    ).map { try $0.decode(String.self) }
    #expect(tables.count > 15 && tables.contains("inbox_1"))
    #expect(tables.filter { !PermissionAdvice.isOurs($0) } == [])
    #expect(PermissionAdvice.isOurs("bell_3"))
    #expect(!PermissionAdvice.isOurs("orders") && !PermissionAdvice.isOurs("workers"))
    await database.pool.close()
  }
}
