import TidemarkPostgres
import TidemarkStreams

extension SQLMutant {
  static let rights: [SQLMutant] = [
    SQLMutant(
      "functions-are-everybodys",
      breaks: "rights",
      in: .streams,
      "SELECT «'PUBLIC' UNION SELECT» a.grantee::regrole::text",
      becomes: "",
      killedBy: "CatalogRuleTests/everybody"
    ),
    SQLMutant(
      "login-counts-and-not-what-it-has-become",
      breaks: "rights",
      in: .streams,
      "coalesce(«nullif(current_setting('role'), 'none')», session_user)",
      becomes: "NULL",
      killedBy: "AttackerTests/becomesWeak"
    ),
    SQLMutant(
      "one-right-is-as-good-as-another",
      breaks: "rights",
      in: .streams,
      "WHERE «a.kind = ANY (kinds)» AND pg_has_role(asking",
      becomes: "true",
      killedBy: "GrantedRightsTests/monitorAndConsumer"
    ),
    SQLMutant(
      "right-to-one-stream-is-one-to-all",
      breaks: "rights",
      in: .streams,
      "'USAGE')\n        AND «stream_name LIKE tidemark.like_pattern(a.stream)»",
      becomes: "true",
      killedBy: "GrantedRightsTests/oneStream"
    ),
    SQLMutant(
      "consumer-of-one-application-is-one-of-all",
      breaks: "rights",
      in: .streams,
      "AND «(of_application IS NULL OR of_application LIKE tidemark.like_pattern(a.application))»);",
      becomes: "true",
      killedBy: "GrantedRightsTests/snapshots"
    ),
    SQLMutant(
      "percent-sign-in-a-pattern-is-any-characters",
      breaks: "rights",
      in: .streams,
      #"replace(«regexp_replace(pattern, '([\\%_])', '\\\1', 'g')», '*', '%')"#,
      becomes: "pattern",
      killedBy: "GrantedRightsTests/patterns"
    ),
    SQLMutant(
      "table-is-anybodys-to-administer",
      breaks: "rights",
      in: .streams,
      "AND «NOT pg_has_role(tidemark.caller(), owner, 'USAGE')» THEN",
      becomes: "false",
      killedBy: "AttackerTests/cells"
    ),
    SQLMutant(
      "whoever-holds-the-lock-is-present",
      breaks: "liveness",
      in: .streams,
      "k.granted AND «k.pid = p.process»",
      becomes: "true",
      killedBy: "StrangersLockTests/presence"
    ),
    SQLMutant(
      "step-is-anybodys",
      breaks: "rights",
      in: .streams,
      "«PERFORM tidemark.require('{consumer,administrator,capturer}', of_stream);»\n  SELECT t.enabled",
      becomes: "",
      killedBy: "AttackerTests/cells"
    ),
    SQLMutant(
      "steps-of-many-streams-are-anybodys",
      breaks: "rights",
      in: .streams,
      "PERFORM «tidemark.require('{consumer,administrator,capturer}', w.stream_id)» FROM unnest(streams)",
      becomes: "1",
      killedBy: "AttackerTests/cells"
    ),
    SQLMutant(
      "whoever-advances-many-streams-passes-for-the-schemas-owner",
      breaks: "rights",
      in: .streams,
      "IF NOT pg_has_role(«tidemark.caller()», current_user, 'USAGE') THEN",
      becomes: "current_user",
      killedBy: "AttackerTests/cells"
    ),
    SQLMutant(
      "capture-runs-as-the-schemas-owner",
      breaks: "rights",
      in: .streams,
      "EXECUTE format('ALTER FUNCTION %s OWNER TO %s', function_name, owner);",
      becomes: "",
      killedBy: "CatalogRuleTests/owners"
    ),
    SQLMutant(
      "capture-looks-up-what-the-writers-path-has",
      breaks: "rights",
      in: .streams,
      "'search_path=pg_catalog, pg_temp',",
      becomes: "",
      killedBy: "CatalogRuleTests/paths"
    ),
    SQLMutant(
      "owner-of-a-type-runs-code-as-the-tables-owner",
      breaks: "rights",
      in: .streams,
      "IF «strange_type IS NOT NULL» THEN",
      becomes: "false",
      killedBy: "OwnerAttackTests/foreignTypes"
    ),
    SQLMutant(
      "right-to-capture-is-kept-by-an-earlier-owner",
      breaks: "rights",
      in: .streams,
      "EXECUTE format('REVOKE ALL ON %s FROM %s', inbox, earlier);",
      becomes: "NULL;",
      killedBy: "StreamRightsTests/earlierOwner"
    ),
    SQLMutant(
      "streams-are-there-for-all-to-see",
      breaks: "rights",
      in: .streams,
      "ALTER TABLE tidemark.stream ENABLE ROW LEVEL SECURITY;",
      becomes: "",
      killedBy: "AttackerTests/cells"
    ),
    SQLMutant(
      "snapshots-of-all-applications-are-seen",
      breaks: "rights",
      in: .streams,
      "'USING («application IS NULL» OR application LIKE ANY",
      becomes: "true",
      killedBy: "AttackerTests/cells"
    ),
    SQLMutant(
      "rows-of-a-snapshot-are-for-all-consumers",
      breaks: "rights",
      in: .streams,
      "AND «(of_application IS NULL OR of_application LIKE tidemark.like_pattern(a.application))»\n$$;",
      becomes: "true",
      killedBy: "GrantedRightsTests/snapshots"
    ),
    SQLMutant(
      "revoked-role-reads-on",
      breaks: "rights",
      in: .streams,
      "EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA tidemark FROM %s', grantee);",
      becomes: "",
      killedBy: "StreamRightsTests/consumer\\("
    ),
    SQLMutant(
      "conditions-of-all-streams-are-told",
      breaks: "rights",
      in: .streams,
      "WHERE «tidemark.may('{consumer,administrator,capturer,monitor}', s.name)»",
      becomes: "true",
      killedBy: "AttackerTests/cells"
    ),
    SQLMutant(
      "secret-of-a-capture-is-told",
      breaks: "rights",
      in: .streams,
      "CASE WHEN «tidemark.may('{capturer}', s.name)» THEN c.message_prefix",
      becomes: "true",
      killedBy: "StreamRightsTests/secret"
    ),
    SQLMutant(
      "secrets-of-all-captures-are-every-owners",
      breaks: "rights",
      in: .streams,
      "WHERE «pg_has_role(t.relowner, 'USAGE')»;",
      becomes: "true",
      killedBy: "StreamRightsTests/secret"
    ),
    SQLMutant(
      "stream-is-dropped-by-who-does-not-own-its-table",
      breaks: "rights",
      in: .streams,
      """
      «PERFORM tidemark.require_ownership(s.source_table) FROM tidemark.stream s WHERE s.stream_id = of_stream;»
        PERFORM tidemark.take_turn(of_stream);
      """,
      becomes: "",
      killedBy: "StreamRightsTests/administrator"
    ),
  ]
}
