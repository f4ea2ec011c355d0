import LibPQ
import TestSupport
import Testing

@testable import TidemarkPostgres
@testable import TidemarkStreams

/// The cells of the table in Rights.md: what each principal tries at each asset that is not its own. The test looks at
/// what there is afterwards and what it has seen, not at the errors that it got.
@Suite("A principal without the right", .sharesMachine, .serialized)
struct AttackerTests {
  /// Of a stream: its records, inbox and log, as a role that may not read them.
  private static func readingRecords(of stream: Int) -> [String] {
    ["log_\(stream)", "log_\(stream)_1", "inbox_\(stream)"].map { "SELECT * FROM tidemark.\($0)" }
  }

  private static func forgingRecords(of stream: Int, named name: String) -> [String] {
    let values = "(partition_key, data) VALUES ('k', 'x')"
    return [
      "INSERT INTO tidemark.inbox_\(stream) \(values)", "DELETE FROM tidemark.inbox_\(stream)",
      "UPDATE tidemark.log_\(stream) SET partition_key = 'k'", "DELETE FROM tidemark.log_\(stream)_1",
      "TRUNCATE tidemark.inbox_\(stream)", "DROP TABLE tidemark.log_\(stream)_1",
      "SELECT tidemark.put('\(name)', 'k', 'x')", "SELECT setval('tidemark.inbox_\(stream)_id_seq', 1)",
      "SELECT tidemark.sequence_\(stream)(1, 1)", "SELECT tidemark.sequence_inbox(\(stream), 1, 1)",
      """
      SELECT tidemark.append_captured(\(stream), 1, NULL, '0/0', 0, '0/1', 0, '{INSERT}', '{k}', '{null}', '{null}',
        '{null}', '{1}', ARRAY[now()])
      """,
      "CREATE TABLE tidemark.log_\(stream)_9 ()",
      "INSERT INTO tidemark.expiry_run VALUES (\(stream), pg_current_xact_id())",
    ]
  }

  /// Of a stream as such: its settings, shards, places and capture.
  private static func changingStream(_ stream: Int) -> [String] {
    [
      "SELECT tidemark.disable_stream(\(stream))", "SELECT tidemark.end_stream(\(stream))",
      "SELECT tidemark.fail_stream(\(stream), 'x')", "SELECT tidemark.end_failed_stream(\(stream), 'x')",
      "SELECT tidemark.alter_stream(\(stream), '1 s', NULL, NULL, NULL, '1 s', 1, 1, 1048576, NULL)",
      "UPDATE tidemark.stream SET retention = '1 s' WHERE stream_id = \(stream)",
      "SELECT tidemark.split_shard(\(stream), (SELECT shard_id FROM tidemark.shard LIMIT 1))",
      "SELECT tidemark.close_shards(\(stream), '{0}')", "DELETE FROM tidemark.step",
      "UPDATE tidemark.shard SET trimmed_through = 9", "SELECT tidemark.create_triggers(\(stream))",
      "SELECT tidemark.create_capture_function(\(stream))", "SELECT tidemark.clean_up_table(\(stream))",
      "ALTER FUNCTION tidemark.capture_\(stream)() SECURITY INVOKER",
      "DROP FUNCTION tidemark.capture_\(stream) CASCADE",
      "DELETE FROM tidemark.stream_problem", "UPDATE tidemark.maintenance_turn SET until = 'infinity'",
      "UPDATE tidemark.conditions_look SET looked_at = 'infinity'",
    ]
  }

  /// What consumers of a stream may do with it.
  private static func lookingAfter(_ stream: Int) -> [String] {
    [
      "SELECT tidemark.advance(\(stream))", "SELECT tidemark.maintain_stream(\(stream))",
      "SELECT tidemark.advance_streams('{\(stream)}', '{NULL}', '{NULL}', ARRAY[NULL]::xid8[], 2000, 8388608)",
      "SELECT tidemark.manage_shards(\(stream))", "SELECT tidemark.mend_stream(\(stream))",
      "SELECT tidemark.note_loss(\(stream), 1)", "SELECT * FROM tidemark.begin_expiry(\(stream), 100)",
      "SELECT tidemark.position_at(\(stream), 0, '-infinity')", "SELECT tidemark.capture_state(\(stream))",
    ]
  }

  private static func snapshot(of stream: Int, for application: String) -> [String] {
    [
      "SELECT tidemark.begin_making(\(stream), '\(application)')",
      "SELECT tidemark.begin_snapshot(\(stream), '\(application)')",
      "SELECT tidemark.reserve_snapshot(\(stream), '\(application)')",
      "SELECT tidemark.complete_snapshot(\(stream), '\(application)', 0)",
      "SELECT tidemark.discard_snapshot(\(stream), '\(application)')",
      "SELECT tidemark.drop_snapshot(\(stream), '\(application)')",
      "SELECT tidemark.request_cut(\(stream), '\(application)')", "DELETE FROM tidemark.snapshot",
      "SELECT tidemark.copy_\(stream)(7, '{0}', '{0}', 0, 'secret', 0, 100)",
      "SELECT tidemark.copy_\(stream)(7, '{0}', '{0}', 0, 'shop.item', 0, 100)",
      "SELECT tidemark.appear('snapshot of \(stream) for \(application)')",
    ]
  }

  private static func rights(of role: String = "current_user") -> [String] {
    [
      "SELECT tidemark.grant_role('consumer', \(role))",
      "SELECT tidemark_leases.grant_role('consumer', \(role))",
      "INSERT INTO tidemark.access VALUES ('consumer', \(role), DEFAULT, '*', '*')",
      "INSERT INTO tidemark_leases.access VALUES ('consumer', \(role), DEFAULT, '*', '*')",
      "UPDATE tidemark.access SET stream = '*', application = '*'", "DELETE FROM tidemark_leases.access",
      "SELECT tidemark.revoke_role('postgres')", "INSERT INTO tidemark.migration VALUES (99, 'x', 99)",
      "CREATE FUNCTION tidemark.check_isolation(integer) RETURNS void LANGUAGE sql AS 'SELECT'",
      "CREATE OR REPLACE FUNCTION tidemark.check_isolation() RETURNS void LANGUAGE sql AS 'SELECT'",
    ]
  }

  private static let leaseTables = ["lease", "lease_load", "dead_letter"]
  /// What the workers of an application agree on, whatever streams they read.
  private static let applicationTables = ["lease_scope", "worker", "worker_stream", "plan_turn"]

  /// - Parameter others: whether rows of others are meant and not the principal's own.
  private static func leaseRows(of others: Bool) -> [String] {
    leaseTables.map {
      "tidemark_leases.\($0) WHERE " + (others ? "(application, stream) <> ('mine', 'item')" : "true")
    }
      + applicationTables.map { "tidemark_leases.\($0) WHERE " + (others ? "application <> 'mine'" : "true") }
  }

  private static func readingLeases(ofOthers others: Bool = false) -> [String] {
    leaseRows(of: others).map { "SELECT * FROM \($0)" }
  }

  private static func changingLeases(ofOthers others: Bool = false) -> [String] {
    let (lease, worker) = (
      others ? "(application, stream) <> ('mine', 'item')" : "true", others ? "application <> 'mine'" : "true"
    )
    return leaseRows(of: others).map { "DELETE FROM \($0)" } + [
      "UPDATE tidemark_leases.lease SET epoch = 9, checkpoint = '9', owner = 9 WHERE \(lease)",
      "UPDATE tidemark_leases.worker SET state = 'dead' WHERE \(worker)",
      "UPDATE tidemark_leases.lease SET application = 'other'",
      "UPDATE tidemark_leases.worker SET session_role = 10",
      "UPDATE tidemark_leases.worker SET session_key = 1",
      """
      INSERT INTO tidemark_leases.lease (application, stream, shard_id, parent_shard_ids, checkpoint)
      VALUES ('other', 'item', 'b', '{}', 'TRIM_HORIZON')
      """,
      "INSERT INTO tidemark_leases.lease_scope (application) VALUES ('another')",
      """
      INSERT INTO tidemark_leases.worker (incarnation, application, worker_id, host, process_id, failover_interval,
        has_session, server_started_at, registered_at, heartbeat_at, heartbeating_since) OVERRIDING SYSTEM VALUE
      VALUES (5, 'mine', 'w', 'h', 1, '3 s', true, now(), now(), now(), now())
      """,
      "SELECT tidemark_leases.checkpoint('other', 'item', 'a', 1, 0, '9')",
      "SELECT tidemark_leases.checkpoint('mine', 'secret', 'a', 1, 0, '9')",
      "SELECT tidemark_leases.delete_leases('other', 'item', true)",
      "SELECT tidemark_leases.delete_leases('mine', 'secret', true)",
      "SELECT tidemark_leases.delete_ended_leases('other', '{item}', '{a}')",
      "SELECT tidemark_leases.forget_worker('other', w.incarnation) FROM tidemark_leases.worker AS w",
      "SELECT tidemark_leases.forget_worker('other', i) FROM generate_series(1, 9) AS i",
      "SELECT tidemark_leases.forget_dead_workers('other')",
      "SELECT tidemark_leases.forget_application('other')",
      "SELECT tidemark_leases.serve_streams('other', w.incarnation, '{item}', 9) FROM tidemark_leases.worker AS w",
      "SELECT tidemark_leases.serve_streams('other', i, '{item}', 9) FROM generate_series(1, 9) AS i",
      "SELECT tidemark_leases.serve_streams('mine', w.incarnation, '{secret}', 9) FROM tidemark_leases.worker AS w",
      "INSERT INTO tidemark_leases.worker_stream SELECT application, incarnation, 'x' FROM tidemark_leases.worker",
      "TRUNCATE tidemark_leases.lease", "SELECT setval('tidemark_leases.worker_incarnation_seq', 1)",
    ]
  }

  private static let sessions = [
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usesysid = 10 AND datname = current_database()"
  ]
  private static let administration = [
    "SELECT tidemark.create_stream('x')", "SELECT tidemark.enable_stream('shop.item', 'x')",
    "SELECT tidemark.enable_stream('secret', 'x')",
  ]
  private static let tableRows = ["SELECT * FROM shop.item", "SELECT * FROM secret"]
  private static let changingSecret = [
    "DELETE FROM secret", "ALTER TABLE secret DISABLE TRIGGER ALL", "LOCK TABLE secret",
    "SET session_replication_role = replica",
  ]

  private static let all =
    forgingRecords(of: 1, named: "item") + forgingRecords(of: 2, named: "secret") + changingStream(2)
    + lookingAfter(2) + snapshot(of: 2, for: "other") + snapshot(of: 2, for: "mine") + rights()
    + changingLeases()
    + sessions + changingSecret

  private static let allUnseen =
    readingRecords(of: 1) + readingRecords(of: 2) + readingRecords(of: 3) + readingLeases()
    + [
      "SELECT * FROM tidemark.logical_capture", "SELECT * FROM tidemark.put_token", "SELECT * FROM secret",
      "SELECT * FROM tidemark.stream_conditions() WHERE of_stream <> 1",
    ]

  /// What it tries to change, and what to see.
  private static func attempts(of principal: String) -> (changes: [String], reads: [String]) {
    let itemAsOthers =
      changingStream(1) + lookingAfter(1) + snapshot(of: 1, for: "other") + snapshot(of: 1, for: "mine")
    let streams = [
      "SELECT * FROM tidemark.stream", "SELECT * FROM tidemark.shard", "SELECT * FROM tidemark.snapshot",
    ]
    switch principal {
    case "connected", "writer":
      return (
        all + itemAsOthers + administration + forgingRecords(of: 3, named: "events"),
        allUnseen + tableRows + streams
      )
    case "owner":
      // The stream of its table is its own, as far as its table's changes go.
      return (
        forgingRecords(of: 2, named: "secret") + changingStream(2) + lookingAfter(1) + lookingAfter(2)
          + snapshot(of: 1, for: "other") + rights() + changingLeases() + sessions + changingSecret
          + administration
          + ["SELECT tidemark.disable_stream(1)", "SELECT tidemark.fail_stream(1, 'x')"],
        allUnseen + streams
      )
    case "landlord":
      return (all + itemAsOthers + administration, allUnseen + tableRows + streams)
    case "producer":
      return (
        all + itemAsOthers + administration + changingStream(3) + lookingAfter(3),
        allUnseen + tableRows + ["SELECT * FROM tidemark.stream WHERE name <> 'events'"]
      )
    case "consumer":
      return (
        forgingRecords(of: 1, named: "item") + forgingRecords(of: 2, named: "secret") + changingStream(1)
          + changingStream(2) + lookingAfter(2) + snapshot(of: 2, for: "mine") + snapshot(of: 1, for: "other")
          + rights() + changingLeases(ofOthers: true) + sessions + changingSecret + administration,
        readingRecords(of: 2) + ["SELECT * FROM tidemark.inbox_1", "SELECT * FROM tidemark.log_1"]
          + readingLeases(ofOthers: true) + tableRows + [
            "SELECT * FROM tidemark.stream WHERE name <> 'item'",
            "SELECT * FROM tidemark.stream_conditions() WHERE of_stream <> 1",
            "SELECT message_prefix FROM tidemark.logical_capture",
            "SELECT * FROM tidemark.snapshot WHERE application <> 'mine' OR stream_id <> 1",
            "SELECT * FROM tidemark.shard WHERE stream_id <> 1",
            "SELECT * FROM tidemark.step WHERE stream_id <> 1",
          ]
      )
    case "capturer", "expirer":
      return (
        all + changingStream(1) + snapshot(of: 1, for: "other") + administration,
        allUnseen + tableRows + ["SELECT * FROM tidemark.stream WHERE name <> 'item'"]
      )
    case "administrator":
      // Of a table that it does not own.
      return (
        forgingRecords(of: 1, named: "item") + all + administration
          + [
            "SELECT tidemark.disable_stream(1)", "SELECT tidemark.fail_stream(1, 'x')",
            "SELECT tidemark.begin_making(1, 'other')", "SELECT tidemark.complete_snapshot(1, 'other', 0)",
            "SELECT tidemark.alter_stream(1, '1 d', NULL, NULL, NULL, '1 s', 1, 1, 16777216, NULL)",
          ],
        allUnseen + tableRows + ["SELECT * FROM tidemark.stream WHERE name <> 'item'"]
      )
    default:
      return (
        all + itemAsOthers + administration + forgingRecords(of: 3, named: "events"),
        readingRecords(of: 1) + readingRecords(of: 2) + readingLeases() + tableRows
          + [
            "SELECT message_prefix FROM tidemark.logical_capture",
            "SELECT pending_state FROM tidemark_leases.lease",
            "SELECT * FROM tidemark_leases.visible_lease WHERE pending_state IS NOT NULL",
          ]
      )
    }
  }

  @Test("changes nothing and sees nothing", arguments: AttackedDatabase.principals)
  func cells(principal: String) async throws {
    let attacked = try await AttackedDatabase.shared()
    let before = try await attacked.state()
    #expect(before.count > 100)
    let (changes, reads) = Self.attempts(of: principal)
    for (statement, outcome) in try await attacked.outcomes(of: reads, by: principal) {
      if case .success(let rows) = outcome { #expect(rows == 0, "\(principal): \(statement)") }
    }
    let outcomes = try await attacked.outcomes(of: changes, by: principal)
    let after = try await attacked.state()
    #expect(Set(after).symmetricDifference(before).isEmpty, "\(principal): \(Self.successes(outcomes))")
  }

  private static func successes(_ outcomes: [(String, Result<Int, PQError>)]) -> [String] {
    outcomes.compactMap { if case .success = $0.1 { $0.0 } else { nil } }
  }

  @Test("is none the stronger for a login that is, once it has become that role")
  func becomesWeak() async throws {
    let attacked = try await AttackedDatabase.shared()
    let before = try await attacked.state()
    for principal in AttackedDatabase.principals {
      let strong = try StreamDatabase.makePool(attacked.database.url, connections: 1)
      try await strong.execute(PQStatement(stringLiteral: "SET ROLE \(attacked.roles.name(principal))"))
      for statement in Self.attempts(of: principal).changes where !statement.hasPrefix("SET ") {
        _ = try? await strong.execute(PQStatement(stringLiteral: statement))
      }
      await strong.close()
    }
    #expect(try await attacked.state() == before)
  }

  @Test(
    "locks nothing that another one has to lock",
    arguments: ["connected", "owner", "producer", "monitor"]
  )
  func locks(principal: String) async throws {
    let attacked = try await AttackedDatabase.shared()
    let pool = try attacked.roles.pool(principal)
    for table in [
      "tidemark.turn_1", "tidemark.turn_2", "tidemark.adding", "tidemark.history", "tidemark_leases.lease",
      "tidemark_leases.worker", "tidemark_leases.plan_turn", "tidemark_leases.history", "tidemark.log_2",
      "public.secret",
    ] {
      let error = await #expect(throws: PQError.self, "\(principal): \(table)") {
        try await pool.withConnection {
          try await $0.executeScript("BEGIN; LOCK TABLE \(table) IN SHARE UPDATE EXCLUSIVE MODE; COMMIT")
        }
      }
      #expect(error?.sqlState == "42501", "\(principal): \(table)")
    }
    await pool.close()
  }
}
