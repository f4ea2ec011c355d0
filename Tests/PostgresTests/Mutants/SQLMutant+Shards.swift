import TidemarkPostgres
import TidemarkStreams

extension SQLMutant {
  static let shards: [SQLMutant] = [
    SQLMutant(
      "shard-has-the-id-of-one-of-an-earlier-stream",
      breaks: "S5",
      in: .streams,
      "JOIN tidemark.stream n ON «n.name = o.name»\n    CROSS JOIN LATERAL (SELECT max(s.shard_ordinal)",
      becomes: "n.stream_id = o.stream_id",
      killedBy: "StreamSuccessionTests/parents"
    ),
    SQLMutant(
      "shard-waits-for-a-neighbour-of-an-earlier-stream",
      breaks: "S5",
      in: .streams,
      "s.hash_end >= «first_hash»)",
      becomes: "first_hash - 1",
      killedBy: "StreamSuccessionTests/parents"
    ),
    SQLMutant(
      "hash-belongs-to-both-halves-of-a-split",
      breaks: "S5",
      in: .streams,
      "parent.hash_start, «at_hash - 1», ARRAY",
      becomes: "at_hash",
      killedBy: "StreamReadingTests/splitAndMerge"
    ),
    SQLMutant(
      "half-of-a-split-may-be-empty",
      breaks: "errors",
      in: .streams,
      "IF at_hash «<=» parent.hash_start",
      becomes: "<",
      killedBy: "StreamReadingTests/badTopology"
    ),
    SQLMutant(
      "shards-that-do-not-touch-are-merged",
      breaks: "S5",
      in: .streams,
      "IF «one.hash_end + 1 <> other.hash_start» AND",
      becomes: "false",
      killedBy: "StreamReadingTests/badTopology"
    ),
    SQLMutant(
      "child-starts-where-its-parent-ends",
      breaks: "S5",
      in: .streams,
      "RETURN «ending + 1»;",
      becomes: "ending",
      killedBy: "StreamReadingTests/splitAndMerge"
    ),
    SQLMutant(
      "shard-is-split-as-soon-as-it-is-hot",
      breaks: "load",
      in: .streams,
      "AND «s.hot_since <= clock_timestamp() - stream.sustained_time» AND",
      becomes: "s.hot_since IS NOT NULL",
      killedBy: "StreamShardManagementTests/(split|hysteresis)"
    ),
    SQLMutant(
      "one-shard-more-than-the-most",
      breaks: "load",
      in: .streams,
      "EXIT WHEN open_shards «>=» stream.maximum_shards",
      becomes: ">",
      killedBy: "StreamShardManagementTests/limits"
    ),
    SQLMutant(
      "one-shard-less-than-the-fewest",
      breaks: "load",
      in: .streams,
      "EXIT WHEN open_shards «<=» stream.minimum_shards",
      becomes: "<",
      killedBy: "StreamShardManagementTests/limits"
    ),
  ]

  static let keeping: [SQLMutant] = [
    SQLMutant(
      "partition-goes-with-its-first-record",
      breaks: "trimmed",
      in: .streams,
      "AND coalesce(«p.closed_at», written_at) < horizon",
      becomes: "p.created_at",
      killedBy: "StreamReadingTests/retention"
    ),
    SQLMutant(
      "partition-in-use-goes-with-its-age",
      breaks: "trimmed",
      in: .streams,
      "AND coalesce(p.closed_at, «written_at») < horizon",
      becomes: "p.created_at",
      killedBy: "StreamReadingTests/retention"
    ),
    SQLMutant(
      "what-was-trimmed-is-not-noted",
      breaks: "trimmed",
      in: .streams,
      "SET trimmed_through = «l.last»",
      becomes: "s.trimmed_through",
      killedBy: "StreamReadingTests/retention"
    ),
    SQLMutant(
      "stream-goes-that-leads-from-one-to-another",
      breaks: "S5",
      in: .streams,
      "WHERE «p.stream_id <> of_stream AND p.shard_id = ANY (s.parent_ids)»",
      becomes: "false",
      killedBy: "StreamSuccessionTests/retention"
    ),
    SQLMutant(
      "timestamp-is-found-one-record-late",
      breaks: "trimmed",
      in: .streams,
      "coalesce(«first_record - 1»,",
      becomes: "first_record",
      killedBy: "StreamReadingTests/atTimestamp"
    ),
    SQLMutant(
      "expiry-looks-operators-up-where-others-define-them",
      breaks: "rights",
      in: .streams,
      "'%1$s «OPERATOR(pg_catalog.<=)» '",
      becomes: "<=",
      killedBy: "CatalogRuleTests/expiry"
    ),
    SQLMutant(
      "rows-expire-with-the-rights-of-the-schemas-owner",
      breaks: "rights",
      in: .streams,
      "INSERT INTO tidemark.expiry_run (stream_id, xid) VALUES (of_stream, pg_current_xact_id());",
      becomes: """
        INSERT INTO tidemark.expiry_run (stream_id, xid) VALUES (of_stream, pg_current_xact_id());
        EXECUTE statement;
        """,
      killedBy: "StreamExpiryTests/expirer"
    ),
    SQLMutant(
      "rows-of-child-tables-expire",
      breaks: "expiry",
      in: .streams,
      "CASE c.relkind WHEN 'r' THEN «'ONLY '» ELSE",
      becomes: "''",
      killedBy: "StreamExpiryTests/children"
    ),
    SQLMutant(
      "what-follows-the-expiry-is-marked",
      breaks: "expiry",
      in: .streams,
      "DELETE FROM tidemark.expiry_run r WHERE «r.stream_id = of_stream AND» r.xid = pg_current_xact_id()",
      becomes: "false AND",
      killedBy: "StreamExpiryTests/mark"
    ),
    SQLMutant(
      "trigger-of-another-event-counts-as-the-captures",
      breaks: "conditions",
      in: .streams,
      "AND «t.tgtype & 31 = 29» AND",
      becomes: "true",
      killedBy: "ConditionTests/drift"
    ),
  ]
}
