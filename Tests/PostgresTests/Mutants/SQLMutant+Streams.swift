import TidemarkPostgres
import TidemarkStreams

extension SQLMutant {
  static let capturing: [SQLMutant] = [
    SQLMutant(
      "values-are-written-in-the-writers-time-zone",
      breaks: "order",
      in: .streams,
      "CASE WHEN «n.zone OR n.everything» THEN 'TimeZone=UTC' END",
      becomes: "false",
      killedBy: "StreamCaptureTests/sessionSettings"
    ),
    SQLMutant(
      "other-triggers-come-before-the-capture",
      breaks: "order",
      in: .streams,
      "(«'!tidemark_capture'», 'capture_'",
      becomes: "'~tidemark_capture'",
      killedBy: "StatementOrderTests/order"
    ),
    SQLMutant(
      "puts-are-not-waited-for-at-a-streams-end",
      breaks: "exactly once",
      in: .streams,
      "«EXECUTE format('LOCK TABLE tidemark.%I IN SHARE ROW EXCLUSIVE MODE', 'inbox_' || of_stream);»\n  WHILE",
      becomes: "",
      killedBy: "StreamLifecycleTests/disableWaitsForPuts"
    ),
    SQLMutant(
      "key-that-is-checked-late-is-taken",
      breaks: "order",
      in: .streams,
      "IF «NOT key.is_immediate» THEN",
      becomes: "false",
      killedBy: "StreamLifecycleTests/refusedTables"
    ),
    SQLMutant(
      "put-takes-its-place-before-its-transactions-number",
      breaks: "exactly once",
      in: .streams,
      "«PERFORM pg_current_xact_id();»\n  IF idempotency_token",
      becomes: "",
      killedBy: "StreamSequencingTests/pausedPut"
    ),
    SQLMutant(
      "token-is-spent-for-ever",
      breaks: "liveness",
      in: .streams,
      "AND «t.put_at < clock_timestamp() - stream.retention»;",
      becomes: "false",
      killedBy: "PutTests/oldTokens"
    ),
    SQLMutant(
      "two-streams-of-a-name-are-made-at-once",
      breaks: "errors",
      in: .streams,
      "«LOCK TABLE tidemark.adding IN SHARE UPDATE EXCLUSIVE MODE;»\n  IF EXISTS (SELECT FROM tidemark.stream s WHERE s.name",
      becomes: "",
      killedBy: "StreamLifecycleTests/sameName"
    ),
  ]

  static let numbering: [SQLMutant] = [
    SQLMutant(
      "history-is-entered-by-two-at-once",
      breaks: "errors",
      in: .streams,
      "LOCK TABLE tidemark.history IN SHARE ROW EXCLUSIVE MODE;",
      becomes: "",
      killedBy: "StreamPlacesTests/oneHistory"
    ),
    SQLMutant(
      "numbers-jump-into-a-partition-that-is-there",
      breaks: "S9",
      in: .streams,
      "+ 1, «max(p.partition_ordinal) + 1», current_number",
      becomes: "0",
      killedBy: "StreamModelTests"
    ),
    SQLMutant(
      "two-steps-move-the-same-records",
      breaks: "exactly once",
      in: .streams,
      "EXECUTE format('LOCK TABLE tidemark.%I IN SHARE UPDATE EXCLUSIVE MODE NOWAIT', 'turn_' || of_stream);",
      becomes: "",
      killedBy: "StreamSequencingTests/busyCaller"
    ),
    SQLMutant(
      "shards-are-changed-out-of-turn",
      breaks: "exactly once",
      in: .streams,
      "EXECUTE format('LOCK TABLE tidemark.%I IN SHARE UPDATE EXCLUSIVE MODE', 'turn_' || of_stream);",
      becomes: "NULL;",
      killedBy: "StreamSequencingTests/changedShards"
    ),
    SQLMutant(
      "step-has-a-snapshot-that-is-older-than-its-turn",
      breaks: "exactly once",
      in: .streams,
      "IF «current_setting('transaction_isolation') <> 'read committed'» THEN",
      becomes: "false",
      killedBy: "StreamSequencingTests/isolation"
    ),
    SQLMutant(
      "partition-that-was-made-ahead-is-made-again",
      breaks: "liveness",
      in: .streams,
      "greatest((stream_head >> 32) + 1, «latest.partition_ordinal + 1»)",
      becomes: "0",
      killedBy: "StreamPlacesTests/agedPartition"
    ),
    SQLMutant(
      "step-passes-what-is-not-committed",
      breaks: "exactly once",
      in: .streams,
      "«pg_snapshot_xmin»(pg_current_snapshot()) >= p.candidate_xid",
      becomes: "pg_snapshot_xmax",
      killedBy: "StreamSequencingTests/pausedPut"
    ),
    SQLMutant(
      "step-vouches-for-writers-that-are-younger",
      breaks: "exactly once",
      in: .streams,
      "IF «pg_current_xact_id_if_assigned() IS NULL» THEN",
      becomes: "true",
      killedBy: "StreamSequencingTests/oldTransaction"
    ),
    SQLMutant(
      "stream-with-rows-left-is-taken-for-settled",
      breaks: "liveness",
      in: .streams,
      "ELSIF oldest >= open_xid« AND moved = 0» THEN",
      becomes: "",
      killedBy: "StepSizeTests/cancelledSteps"
    ),
    SQLMutant(
      "who-has-written-and-not-ended-is-forgotten",
      breaks: "liveness",
      in: .streams,
      "open_xid := «pg_current_xact_id()»;",
      becomes: "NULL",
      killedBy: "StreamReadingTests/lateCommit"
    ),
    SQLMutant(
      "one-step-of-many-vouches-for-writers-that-are-younger",
      breaks: "exactly once",
      in: .streams,
      "«CASE WHEN is_first THEN last_id END») AS t;",
      becomes: "last_id",
      killedBy: "StreamSequencingTests/oldTransaction"
    ),
    SQLMutant(
      "bells-are-not-rung",
      breaks: "liveness",
      in: .streams,
      "PERFORM nextval(tidemark.bell(of_stream));",
      becomes: "",
      killedBy: "StreamReadingTests/bells"
    ),
    SQLMutant(
      "records-are-numbered-backwards",
      breaks: "order",
      in: .streams,
      "row_number() OVER («ORDER BY t.id»), t.event_name",
      becomes: "ORDER BY t.id DESC",
      killedBy: "StreamReadingTests/pageBounds"
    ),
    SQLMutant(
      "step-has-as-many-bytes-as-there-are",
      breaks: "load",
      in: .streams,
      "WHERE «i.preceding < maximum_bytes»;",
      becomes: "true",
      killedBy: "StreamSequencingTests/boundedSteps"
    ),
    SQLMutant(
      "records-go-to-shards-that-are-closed",
      breaks: "S6",
      in: .streams,
      "IF «is_current IS NOT TRUE» THEN\n    SELECT array_agg",
      becomes: "starts IS NULL",
      killedBy: "StreamReadingTests/splitAndMerge"
    ),
    SQLMutant(
      "steps-of-others-are-no-news",
      breaks: "liveness",
      in: .streams,
      "IF busy OR «previous_head IS DISTINCT FROM seen_heads[i]» THEN",
      becomes: "false",
      killedBy: "StreamSequencingTests/newsOfManyStreams"
    ),
    SQLMutant(
      "news-is-told-again",
      breaks: "load",
      in: .streams,
      "AND p.stream_id = of_stream AND p.head «>» seen_head",
      becomes: ">=",
      killedBy: "StreamSequencingTests/news"
    ),
  ]
}
