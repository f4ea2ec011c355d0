import TidemarkPostgres
import TidemarkStreams

extension SQLMutant {
  static let snapshots: [SQLMutant] = [
    SQLMutant(
      "snapshot-leaves-the-inbox-to-its-children",
      breaks: "exactly once",
      in: .streams,
      "WHILE «tidemark.sequence_inbox(of_stream, 100000, 1 << 30) > 0» LOOP",
      becomes: "false",
      killedBy: "StreamPlacesTests/inboxBeforeASnapshot"
    ),
    SQLMutant(
      "snapshot-that-is-made-goes-with-its-age",
      breaks: "trimmed",
      in: .streams,
      "ending_sequence = last_number, closed_at = «'infinity'»",
      becomes: "clock_timestamp()",
      killedBy: "StreamPlacesTests/snapshotThatTakesLong"
    ),
    SQLMutant(
      "child-of-a-snapshot-starts-a-number-early",
      breaks: "exactly once",
      in: .streams,
      "PERFORM tidemark.add_shard(of_stream, «last_number + 1», closed.hash_start",
      becomes: "last_number",
      killedBy: "StreamModelTests"
    ),
    SQLMutant(
      "rows-are-copied-by-who-does-not-make-the-snapshot",
      breaks: "rights",
      in: .streams,
      "ELSIF «NOT has_table_privilege(tidemark.caller(), target, 'DELETE')» THEN",
      becomes: "false",
      killedBy: "GrantedRightsTests/snapshots"
    ),
    SQLMutant(
      "rows-are-copied-as-whoever-the-owner-chooses",
      breaks: "rights",
      in: .streams,
      "ELSIF «runs_as <> (SELECT pg_get_userbyid(c.relowner)» FROM",
      becomes: "NULL = (SELECT 1",
      killedBy: "OwnerAttackTests/copying"
    ),
    SQLMutant(
      "finished-snapshot-is-still-its-makers",
      breaks: "rights",
      in: .streams,
      """
      «EXECUTE format('REVOKE INSERT, DELETE ON tidemark.%I FROM %s',
            tidemark.log_table(of_stream, snapshot.partition_ordinal), writer);»
      """,
      becomes: "NULL;",
      killedBy: "GrantedRightsTests/snapshots"
    ),
    SQLMutant(
      "snapshot-does-not-wait-for-what-is-captured-later",
      breaks: "exactly once",
      in: .streams,
      "AND «r.confirmed_flush_lsn >= capture.cut_at»)",
      becomes: "true",
      killedBy: "LogicalSnapshotTests/lateCapture"
    ),
  ]

  static let decoding: [SQLMutant] = [
    SQLMutant(
      "captured-changes-are-appended-wherever-the-log-is",
      breaks: "exactly once",
      in: .streams,
      "AND «p.lsn = from_lsn AND p.changes = from_changes»\n    INTO is_current",
      becomes: "true",
      killedBy: "LogicalStreamTests/fencing"
    ),
    SQLMutant(
      "captured-changes-of-one-commit-are-not-counted",
      breaks: "exactly once",
      in: .streams,
      "AND «p.changes = from_changes»\n    INTO is_current",
      becomes: "true",
      killedBy: "LogicalStreamTests/fencing"
    ),
    SQLMutant(
      "capture-goes-past-a-cut-that-has-no-place",
      breaks: "exactly once",
      in: .streams,
      "AND «(c.cut_id IS NULL OR c.cut_at IS NOT NULL)» AND p.lsn",
      becomes: "true",
      killedBy: "LogicalStreamTests/fencing"
    ),
    SQLMutant(
      "slot-keeps-what-it-may-not",
      breaks: "load",
      in: .streams,
      "ELSIF «lag > capture.maximum_lag» THEN",
      becomes: "false",
      killedBy: "LogicalStreamTests/lostSlot"
    ),
    SQLMutant(
      "replica-identity-of-the-next-capture-is-taken-away",
      breaks: "exactly once",
      in: .streams,
      "WHERE «o.source_table = capture.source_table AND» o.capture_id <> of_capture AND o.ended_at IS NULL) THEN",
      becomes: "false AND",
      killedBy: "LogicalStreamTests/earlierCapture"
    ),
    SQLMutant(
      "enabling-that-goes-on-is-taken-for-dead",
      breaks: "liveness",
      in: .streams,
      "IF «NOT tidemark.is_present('enabling of ' || dead.capture_id)» THEN",
      becomes: "true",
      killedBy: "LogicalEnablingTests/session"
    ),
  ]

  static let life: [SQLMutant] = [
    SQLMutant(
      "marks-of-another-servers-transactions-stay",
      breaks: "expiry",
      in: .streams,
      "DELETE FROM tidemark.expiry_run r WHERE «r.xid <> pg_current_xact_id()»;",
      becomes: "false",
      killedBy: "RestoreTests/goesOn"
    ),
    SQLMutant(
      "restored-stream-goes-on-without-its-slot",
      breaks: "exactly once",
      in: .streams,
      "ELSIF «stream.capture = 'LOGICAL'» AND NOT EXISTS (SELECT FROM pg_replication_slots r",
      becomes: "false",
      killedBy: "RestoreTests/goesOn"
    ),
    SQLMutant(
      "table-that-has-the-number-here-is-taken-for-the-streams",
      breaks: "rights",
      in: .streams,
      "AND t.tgfoid = ANY (tidemark.capture_functions(stream.stream_id))) THEN",
      becomes: ") AND false THEN",
      killedBy: "RestoreTests/strangeTable"
    ),
    SQLMutant(
      "dropped-stream-leaves-a-gap-between-others",
      breaks: "S5",
      in: .streams,
      "SELECT unnest(d.parent_ids) FROM tidemark.shard d «WHERE d.stream_id = of_stream»",
      becomes: "WHERE false",
      killedBy: "RemovalTests/stream"
    ),
  ]
}
