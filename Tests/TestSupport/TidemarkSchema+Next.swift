import TidemarkPostgres
import TidemarkStreams

/// Version 2 of each schema, as a later release may bring it: a column more in each table that programs read all the time,
/// a feature that a stream can use, and another generator. Programs of version 1 go on working.
extension TidemarkSchema {
  /// Its feature is the column `note` of a lease.
  package static let nextLeases = leases.followed(
    byUp: """
      ALTER TABLE tidemark_leases.lease_scope ADD COLUMN note text;
      ALTER TABLE tidemark_leases.worker ADD COLUMN note text;
      ALTER TABLE tidemark_leases.lease ADD COLUMN note text;
      """,
    down: """
      LOCK TABLE tidemark_leases.lease_scope, tidemark_leases.worker, tidemark_leases.lease IN ACCESS EXCLUSIVE MODE;
      DO $$
      DECLARE
        used text;
      BEGIN
        SELECT string_agg(DISTINCT l.stream, ', ') INTO used FROM tidemark_leases.lease l WHERE l.note IS NOT NULL;
        IF used IS NOT NULL THEN
          RAISE EXCEPTION 'version 1 of the schema tidemark_leases has no notes, which leases of these streams have: %', used
            USING ERRCODE = 'TM003', HINT = 'Delete the notes first.';
        END IF;
      END $$;
      ALTER TABLE tidemark_leases.worker DROP COLUMN note;
      ALTER TABLE tidemark_leases.lease_scope DROP COLUMN note;
      ALTER TABLE tidemark_leases.lease DROP COLUMN note;
      """
  )

  /// Its feature is the column `is_quiet` of a stream.
  package static let nextStreams = streams.followed(
    byUp: """
      ALTER TABLE tidemark.stream ADD COLUMN is_quiet boolean NOT NULL DEFAULT false;
      ALTER TABLE tidemark.shard ADD COLUMN note text;
      ALTER TABLE tidemark.step ADD COLUMN note text;
      \(inboxes("ADD COLUMN note text"))
      CREATE OR REPLACE FUNCTION tidemark.generator_version() RETURNS integer LANGUAGE sql IMMUTABLE RETURN 2;
      \(generators("'END $body$', E'-- generator 2\\nEND $body$'"))
      SELECT tidemark.renew_functions();
      """,
    down: """
      LOCK TABLE tidemark.stream IN ACCESS EXCLUSIVE MODE;
      DO $$
      DECLARE
        used text;
      BEGIN
        SELECT string_agg(format('%s/%s', s.name, s.label), ', ') INTO used FROM tidemark.stream s WHERE s.is_quiet;
        IF used IS NOT NULL THEN
          RAISE EXCEPTION 'version 1 of the schema tidemark has no quiet streams, which these are: %', used
            USING ERRCODE = 'TM003', HINT = 'Make them loud first.';
        END IF;
      END $$;
      \(generators("E'-- generator 2\\nEND $body$', 'END $body$'"))
      CREATE OR REPLACE FUNCTION tidemark.generator_version() RETURNS integer LANGUAGE sql IMMUTABLE RETURN 1;
      SELECT tidemark.renew_functions();
      \(inboxes("DROP COLUMN IF EXISTS note"))
      ALTER TABLE tidemark.step DROP COLUMN note;
      ALTER TABLE tidemark.shard DROP COLUMN note;
      ALTER TABLE tidemark.stream DROP COLUMN is_quiet;
      """
  )

  /// - Parameter oldestProgram: 2 if programs of version 1 do not work with it.
  package func followed(byUp up: String, down: String = "", oldestProgram: Int = 1) -> TidemarkSchema {
    let next = Migration(
      2,
      "next",
      oldestProgram: oldestProgram,
      chapters: [(Array(up.utf8), Array(down.utf8))]
    )
    return TidemarkSchema(name, oldestVersion: 1, migrations: migrations + [next])
  }

  /// Alters the inboxes of all streams.
  private static func inboxes(_ change: String) -> String {
    """
    DO $$
    DECLARE
      inbox text;
    BEGIN
      FOR inbox IN SELECT c.relname FROM pg_class c
        WHERE c.relnamespace = 'tidemark'::regnamespace AND c.relname ~ '^inbox_[0-9]+$' AND c.relkind = 'r'
      LOOP
        EXECUTE format('ALTER TABLE tidemark.%I \(change)', inbox);
      END LOOP;
    END $$;
    """
  }

  /// Replaces a text in all functions that write functions.
  private static func generators(_ replacement: String) -> String {
    """
    DO $do$
    DECLARE
      generator regprocedure;
    BEGIN
      FOR generator IN SELECT p.oid FROM pg_proc p
        WHERE p.pronamespace = 'tidemark'::regnamespace AND p.proname ~ '^create_.*_function$'
      LOOP
        EXECUTE replace(pg_get_functiondef(generator), \(replacement));
      END LOOP;
    END $do$;
    """
  }
}
