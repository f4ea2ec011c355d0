-- How a stream goes for good, and how a copy of a database begins.

-- Takes one step towards a disabled stream's end, and returns whether it is gone. Two transactions: the first has the
-- lock on the user's table for as long as a few rows of the catalog take, the second drops what the stream holds.
CREATE FUNCTION tidemark.drop_stream(of_stream integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '500ms' SET client_min_messages = warning
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream tidemark.stream;
  log text;
BEGIN
  PERFORM tidemark.check_isolation();
  PERFORM tidemark.require('{administrator}', of_stream);
  PERFORM tidemark.require_ownership(s.source_table) FROM tidemark.stream s WHERE s.stream_id = of_stream;
  PERFORM tidemark.take_turn(of_stream);
  SELECT * INTO stream FROM tidemark.stream s WHERE s.stream_id = of_stream;
  IF NOT FOUND THEN
    RETURN true;
  ELSIF stream.status = 'ENABLED' THEN
    RAISE EXCEPTION 'the stream "%" is enabled', stream.name USING ERRCODE = 'TM005',
      HINT = 'Disable it first, or drop it by: tidemark stream drop NAME.';
  END IF;
  IF cardinality(tidemark.capture_functions(of_stream)) > 0 OR EXISTS (
      SELECT FROM tidemark.logical_capture c WHERE c.stream_id = of_stream AND c.ended_at IS NULL) THEN
    IF NOT (tidemark.clean_up_table(of_stream) AND coalesce((SELECT tidemark.drop_logical_capture(c.capture_id)
        FROM tidemark.logical_capture c WHERE c.stream_id = of_stream AND c.ended_at IS NULL), true)) THEN
      RAISE EXCEPTION 'somebody uses the table %', stream.source_name USING ERRCODE = 'lock_not_available';
    END IF;
    RETURN false;
  END IF;
  -- Shards of a later stream go on from what the dropped ones went on from.
  UPDATE tidemark.shard c SET parent_ids = ARRAY(
      SELECT p.id FROM unnest(c.parent_ids) AS p (id)
        WHERE NOT EXISTS (SELECT FROM tidemark.shard d WHERE d.stream_id = of_stream AND d.shard_id = p.id)
      UNION
      SELECT unnest(d.parent_ids) FROM tidemark.shard d WHERE d.stream_id = of_stream
      EXCEPT
      SELECT d.shard_id FROM tidemark.shard d WHERE d.stream_id = of_stream)
    WHERE c.stream_id <> of_stream
      AND c.parent_ids && ARRAY(SELECT d.shard_id FROM tidemark.shard d WHERE d.stream_id = of_stream);
  UPDATE tidemark.stream s SET topology_version = s.topology_version + 1
    WHERE s.name = stream.name AND s.stream_id <> of_stream;
  -- Before the log itself, for there is one that is no part of it: of a snapshot that was never finished.
  FOR log IN SELECT t.log FROM tidemark.log_tables(of_stream) AS t LOOP
    EXECUTE format('DROP TABLE IF EXISTS tidemark.%I', log);
  END LOOP;
  EXECUTE format('DROP TABLE tidemark.%I, tidemark.%I, tidemark.%I', 'inbox_' || of_stream, 'log_' || of_stream,
    'turn_' || of_stream);
  EXECUTE format('DROP FUNCTION IF EXISTS tidemark.%I, tidemark.%I', 'sequence_' || of_stream, 'append_' || of_stream);
  DELETE FROM tidemark.logical_capture c WHERE c.stream_id = of_stream;
  DELETE FROM tidemark.expiry_run r WHERE r.stream_id = of_stream;
  DELETE FROM tidemark.step p WHERE p.stream_id = of_stream;
  DELETE FROM tidemark.stream s WHERE s.stream_id = of_stream;
  RETURN true;
END $$;

-- What a copy of a database needs before it is used: one that was restored from a dump, made from a template, or
-- brought back from a backup. Begins a history, so that no number is given out twice, forgets what was true of the
-- other database's transactions, sessions and slots, and makes again what has the number of a table in it. Returns
-- what it cannot put right. Harmless where nothing is wrong. For the owner of the schema only.
CREATE FUNCTION tidemark.after_restore(OUT subject text, OUT problem text, OUT remedy text) RETURNS SETOF record
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream tidemark.stream;
  snapshot tidemark.snapshot;
  capture integer;
  reason text;
  has_table boolean;
BEGIN
  PERFORM tidemark.check_isolation();
  PERFORM tidemark.enter_history();
  PERFORM tidemark.forget_absent();
  -- Numbers of transactions are another server's.
  DELETE FROM tidemark.expiry_run r WHERE r.xid <> pg_current_xact_id();
  UPDATE tidemark.step s SET candidate_id = 0, candidate_xid = '0' WHERE s.candidate_xid <> '0';
  FOR stream IN SELECT * FROM tidemark.stream s ORDER BY s.stream_id LOOP
    subject := format('stream %s/%s', stream.name, stream.label);
    PERFORM tidemark.take_turn(stream.stream_id);
    FOR snapshot IN SELECT * FROM tidemark.snapshot n WHERE n.stream_id = stream.stream_id AND n.completed_at IS NULL
      AND NOT tidemark.is_present(tidemark.snapshot_work(n.stream_id, n.application))
    LOOP
      PERFORM tidemark.discard_snapshot(snapshot.stream_id, snapshot.application);
      problem := format('the snapshot for the application "%s" was not finished, and is dropped',
        snapshot.application);
      remedy := 'Nothing is to be done: its workers make it again.';
      RETURN NEXT;
    END LOOP;
    CONTINUE WHEN stream.status <> 'ENABLED';
    BEGIN
      SELECT c.capture_id INTO capture FROM tidemark.logical_capture c
        WHERE c.stream_id = stream.stream_id AND c.ended_at IS NULL;
      reason := NULL;
      has_table := true;
      remedy := 'Bring what you derive from the stream in line with its table, and enable it again: '
        'tidemark stream enable TABLE.';
      IF stream.source_table IS NOT NULL AND NOT EXISTS (SELECT FROM pg_trigger t
          WHERE t.tgrelid = stream.source_table AND t.tgfoid = ANY (tidemark.capture_functions(stream.stream_id))) THEN
        -- Whatever has this number here: what is done to it may be done to somebody else's table.
        reason := format('this copy of the database has no table %s with the triggers of the stream',
          stream.source_name);
        UPDATE tidemark.logical_capture c SET source_table = 0::oid WHERE c.capture_id = capture;
        has_table := false;
      ELSIF stream.capture = 'LOGICAL' AND NOT EXISTS (SELECT FROM pg_replication_slots r
          WHERE r.slot_name = tidemark.slot_name(capture) AND r.database = current_database()) THEN
        reason := 'this is a copy of the database, which has no replication slot: what was not captured before the '
          'copy was made, and what was committed since, is missing';
      END IF;
      IF reason IS NULL THEN
        PERFORM tidemark.follow_history(stream.stream_id);
        PERFORM tidemark.create_functions(stream.stream_id);
      ELSE
        PERFORM tidemark.end_failed_stream(stream.stream_id, reason);
        UPDATE tidemark.stream s SET source_table = 0::oid WHERE s.stream_id = stream.stream_id AND NOT has_table;
        problem := format('the stream has ended: %s', reason);
        RETURN NEXT;
      END IF;
    EXCEPTION WHEN OTHERS THEN
      problem := format('it could not be made ready: %s', sqlerrm);
      remedy := 'Mend that, and run again: tidemark restore.';
      RETURN NEXT;
    END;
  END LOOP;
  subject := 'captures';
  problem := nullif(tidemark.drop_dead_captures(), '');
  IF problem IS NOT NULL THEN
    remedy := 'Mend that, and run again: tidemark restore.';
    RETURN NEXT;
  END IF;
  -- Roles that were made after the rows were restored.
  UPDATE tidemark.access AS a SET role_name = a.role_name WHERE a.role IS NULL;
  -- Rights are noted here, and are in the catalog: a dump may leave those out.
  RETURN QUERY SELECT format('role %s', a.role_name), CASE WHEN r.oid IS NULL THEN 'there is no such role here'
      ELSE 'the role has no rights to the schema here' END,
    CASE WHEN r.oid IS NULL THEN format('CREATE ROLE %I, and then: ', a.role_name) ELSE '' END
      || format('tidemark grant %s %s --stream ''%s''', a.kind, quote_ident(a.role_name), a.stream)
      || CASE WHEN a.kind IN ('consumer', 'monitor') THEN format(' --application ''%s''', a.application) ELSE '' END
    FROM tidemark.access a LEFT JOIN pg_roles r ON r.rolname = a.role_name
    WHERE NOT coalesce(has_table_privilege(a.role, 'tidemark.access'::regclass, 'SELECT'), false)
    ORDER BY a.role_name, a.kind, a.stream;
END $$;

-- Nothing here is for everybody, or for whom the owner's default privileges give it to. This is the end of the version: what
-- it has made is made by now.
DO $$
BEGIN
  PERFORM tidemark.make_private('TABLE', format('tidemark.%I', c.relname)) FROM pg_class AS c
    WHERE c.relnamespace = 'tidemark'::regnamespace AND c.relkind IN ('r', 'v', 'S');
  PERFORM tidemark.make_private('ROUTINE', p.oid::regprocedure::text) FROM pg_proc AS p
    WHERE p.pronamespace = 'tidemark'::regnamespace;
END $$;
