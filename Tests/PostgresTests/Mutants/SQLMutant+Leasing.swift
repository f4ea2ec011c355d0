import TidemarkPostgres

extension SQLMutant {
  /// That a lease is as far as the caller of `tidemark_leases.checkpoint` knows.
  private static let hasReached = """
          AND (tidemark_leases.checkpoint_rank(l.checkpoint), l.sub_sequence_number)
            >= (tidemark_leases.checkpoint_rank(from_checkpoint), from_sub_sequence_number)
    """

  static let leasing: [SQLMutant] = [
    SQLMutant(
      "epochs-go-on-where-they-are",
      breaks: "S9",
      in: .leases,
      "SELECT «coalesce(tidemark_leases.known_history(), tidemark_leases.next_history())» << 32",
      becomes: "0::bigint",
      killedBy: "LostHistoryTests/repeatedTransfer"
    ),
    SQLMutant(
      "incarnations-go-on-where-they-are",
      breaks: "S9",
      in: .leases,
      "greatest(w.last_value, number << 12)",
      becomes: "w.last_value",
      killedBy: "LostHistoryTests/nothingTwice"
    ),
    SQLMutant(
      "histories-of-leases-are-only-counted",
      breaks: "S9",
      in: .leases,
      "greatest(max(h.history_number) + 1, floor(extract(epoch FROM clock_timestamp()))::bigint - 1767225600)",
      becomes: "max(h.history_number) + 2",
      killedBy: "LostHistoryTests/nothingTwice"
    ),
    SQLMutant(
      "restart-is-no-history",
      breaks: "S9",
      in: .leases,
      "WHERE «h.server_started_at = pg_postmaster_start_time()» AND",
      becomes: "true",
      killedBy: "LostHistoryTests/repeatedTransfer"
    ),
    SQLMutant(
      "scope-does-not-note-its-history",
      breaks: "S9",
      in: .leases,
      "IF «NEW.history_number <> number» THEN",
      becomes: "false",
      killedBy: "LostHistoryTests/restart"
    ),
    SQLMutant(
      "latest-is-before-no-place",
      breaks: "S3",
      in: .leases,
      "WHEN 'LATEST' THEN «-3»",
      becomes: "0",
      killedBy: "PostgresConformanceTests"
    ),
    SQLMutant(
      "checkpoints-are-ordered-by-their-length",
      breaks: "S3",
      in: .leases,
      "ELSE «checkpoint::numeric» END",
      becomes: "length(checkpoint)",
      killedBy: "PostgresConformanceTests"
    ),
    SQLMutant(
      "checkpoint-in-a-transaction-of-any-epoch",
      breaks: "S2",
      in: .leases,
      "AND «l.epoch = checkpoint.epoch»\n\(hasReached)\n      AND",
      becomes: "true",
      killedBy: "PQTransactionConformanceTests"
    ),
    SQLMutant(
      "checkpoint-in-a-transaction-goes-on-from-what-is-lost",
      breaks: "S9",
      in: .leases,
      "AND l.epoch = checkpoint.epoch\n«\(hasReached)»\n      AND",
      becomes: "",
      killedBy: "PQTransactionConformanceTests"
    ),
    SQLMutant(
      "lost-lease-in-a-transaction-is-only-a-notice",
      breaks: "S2",
      in: .leases,
      "«RAISE EXCEPTION» 'the lease of the shard \"%\" is not the worker",
      becomes: "RAISE NOTICE",
      killedBy: "PQTransactionConformanceTests"
    ),
    SQLMutant(
      "checkpoint-in-a-transaction-need-not-advance",
      breaks: "exactly once",
      in: .leases,
      "AND (must_advance IS FALSE",
      becomes: "AND (true",
      killedBy: "UnknownCommitTests"
    ),
    SQLMutant(
      "checkpoint-in-a-transaction-with-the-owners-rights",
      breaks: "rights",
      in: .leases,
      "from_sub_sequence_number bigint DEFAULT 0\n) RETURNS void\nLANGUAGE «plpgsql»",
      becomes: "plpgsql SECURITY DEFINER",
      killedBy: "AttackerTests/cells"
    ),
    SQLMutant(
      "key-of-a-workers-lock-is-known",
      breaks: "death",
      in: .leases,
      "DEFAULT «('x' || left(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint»",
      becomes: "1",
      killedBy: "StrangersLockTests/randomKeys"
    ),
    SQLMutant(
      "monitor-sees-what-a-processor-has-noted",
      breaks: "rights",
      in: .leases,
      "«NULL::bytea» AS pending_state",
      becomes: "l.pending_state",
      killedBy: "AttackerTests/cells"
    ),
    SQLMutant(
      "monitor-of-one-scope-sees-all",
      breaks: "rights",
      in: .leases,
      "WHERE «(SELECT tidemark_leases.is_owner())» OR s.application",
      becomes: "true",
      killedBy: "GrantedRightsTests/monitorOfOne"
    ),
    SQLMutant(
      "dead-letters-of-all-are-counted",
      breaks: "rights",
      in: .leases,
      "FROM tidemark_leases.dead_letter AS d\n  WHERE «(SELECT tidemark_leases.is_owner())» OR",
      becomes: "true",
      killedBy: "GrantedRightsTests/monitorOfOne"
    ),
    SQLMutant(
      "rights-to-leases-outlive-their-role",
      breaks: "rights",
      in: .leases,
      "SELECT a.applications FROM tidemark_leases.access AS a WHERE a.kind = %L AND pg_has_role(«a.role», %L)",
      becomes: "to_regrole(quote_ident(a.role_name))",
      killedBy: "GrantedRightsTests/madeAgain"
    ),
    SQLMutant(
      "leases-of-others-are-deleted",
      breaks: "rights",
      in: .leases,
      #"ELSE «(of_application || E'\x1f' || of_stream) LIKE ANY (a.scopes)» END)"#,
      becomes: "true",
      killedBy: "AttackerTests/cells"
    ),
    SQLMutant(
      "login-deletes-leases-and-not-what-it-has-become",
      breaks: "rights",
      in: .leases,
      "coalesce(«nullif(current_setting('role'), 'none')», session_user)",
      becomes: "NULL",
      killedBy: "AttackerTests/becomesWeak"
    ),
    SQLMutant(
      "lease-goes-before-those-of-its-parents",
      breaks: "S5",
      in: .leases,
      "AND «parent.shard_id = ANY (d.parent_shard_ids)»)",
      becomes: "false",
      killedBy: "PostgresConformanceTests"
    ),
    SQLMutant(
      "restored-leases-keep-their-owners",
      breaks: "S9",
      in: .leases,
      "WHERE «l.owner < first_incarnation»;",
      becomes: "false",
      killedBy: "RestoreTests/goesOn"
    ),
    SQLMutant(
      "stream-is-served-without-a-right",
      breaks: "rights",
      in: .leases,
      "PERFORM tidemark_leases.require_consumer(of_application, named.stream) FROM unnest(streams) AS named (stream);",
      becomes: "",
      killedBy: "ManyStreamsWorkerTests/partialPlan"
    ),
    SQLMutant(
      "plan-of-some-streams-counts-for-all",
      breaks: "liveness",
      in: .leases,
      "RETURN «(SELECT tidemark_leases.is_owner())» OR NOT EXISTS",
      becomes: "true",
      killedBy: "ManyStreamsWorkerTests/partialPlan"
    ),
    SQLMutant(
      "functions-of-leases-are-everybodys",
      breaks: "rights",
      in: .leases,
      "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tidemark_leases FROM PUBLIC;",
      becomes: "",
      killedBy: "CatalogRuleTests/everybody"
    ),
  ]
}
