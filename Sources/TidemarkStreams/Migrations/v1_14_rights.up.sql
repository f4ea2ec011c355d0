-- Rights, in the catalog: what each kind of right needs to call and to read. Functions that change something run
-- with the rights of the schema's owner and ask what the caller was given (see tidemark.access). Writers of tables need
-- nothing here.

-- Whoever has a right to a stream sees what there is to know of it, and nothing of others; of snapshots those of its own
-- applications. Policies ask by queries: a function would be planned again in each statement. They name streams one by
-- one, for a reader asks about one.
ALTER TABLE tidemark.stream ENABLE ROW LEVEL SECURITY;
CREATE POLICY visible ON tidemark.stream FOR SELECT USING (name LIKE ANY (ARRAY(
  SELECT tidemark.like_pattern(a.stream) FROM tidemark.access AS a WHERE pg_has_role(a.role, 'USAGE'))));
DO $$
DECLARE
  table_name text;
BEGIN
  FOREACH table_name IN ARRAY ARRAY['shard', 'step', 'jump', 'log_partition', 'snapshot', 'stream_problem',
    'logical_capture']
  LOOP
    EXECUTE format('ALTER TABLE tidemark.%I ENABLE ROW LEVEL SECURITY', table_name);
    EXECUTE format('CREATE POLICY visible ON tidemark.%I FOR SELECT '
      'USING (EXISTS (SELECT FROM tidemark.stream s WHERE s.stream_id = %1$I.stream_id))', table_name);
  END LOOP;
  FOREACH table_name IN ARRAY ARRAY['snapshot', 'shard'] LOOP
    EXECUTE format('CREATE POLICY application ON tidemark.%I AS RESTRICTIVE FOR SELECT '
      'USING (application IS NULL OR application LIKE ANY (ARRAY('
      'SELECT tidemark.like_pattern(a.application) FROM tidemark.access AS a '
      'WHERE a.kind = ANY (%L) AND pg_has_role(a.role, %L))))', table_name,
      ARRAY['consumer', 'monitor', 'administrator'], 'USAGE');
  END LOOP;
END $$;

-- Lets consumers of a stream read its log, and lock its turn, before they see anything, for a snapshot.
CREATE FUNCTION tidemark.grant_log(of_stream integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  reader regrole;
  log text;
BEGIN
  FOR reader IN SELECT r.* FROM tidemark.stream s CROSS JOIN LATERAL tidemark.readers(s.name) AS r
    WHERE s.stream_id = of_stream
  LOOP
    EXECUTE format('GRANT UPDATE ON tidemark.%I TO %s', 'turn_' || of_stream, reader);
  END LOOP;
  FOR log, reader IN SELECT l.log, r.* FROM tidemark.stream s CROSS JOIN LATERAL tidemark.log_tables(of_stream) AS l
      CROSS JOIN LATERAL tidemark.readers(s.name, l.application) AS r
    WHERE s.stream_id = of_stream
  LOOP
    EXECUTE format('GRANT SELECT ON tidemark.%I TO %s', log, reader);
  END LOOP;
END $$;

-- Lets consumers of a stream call the function that copies the rows of its table.
CREATE FUNCTION tidemark.grant_copy(of_stream integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  reader regrole;
BEGIN
  IF EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = 'tidemark'::regnamespace AND p.proname = 'copy_' || of_stream)
  THEN
    FOR reader IN SELECT r.* FROM tidemark.stream s CROSS JOIN LATERAL tidemark.readers(s.name) AS r
      WHERE s.stream_id = of_stream
    LOOP
      EXECUTE format('GRANT EXECUTE ON FUNCTION tidemark.%I TO %s', 'copy_' || of_stream, reader);
    END LOOP;
  END IF;
END $$;

CREATE FUNCTION tidemark.find_role(role_name text) RETURNS regrole
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF to_regrole(quote_ident(role_name)) IS NULL THEN
    RAISE EXCEPTION 'there is no role "%"', role_name USING ERRCODE = 'TM005',
      HINT = 'Create it first: CREATE ROLE ... LOGIN.';
  END IF;
  RETURN to_regrole(quote_ident(role_name));
END $$;

-- Keeps the logs from getting partitions until the transaction's end: those have the rights of the log as it was.
CREATE FUNCTION tidemark.lock_logs() RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT tidemark.take_turn(s.stream_id)
    FROM (SELECT o.stream_id FROM tidemark.stream o ORDER BY 1) AS s
$$;

-- The tables that hold a stream's records, also one that a snapshot is copied to, and the application that a snapshot is
-- for. Not the log itself: whoever may read that may read all snapshots.
CREATE FUNCTION tidemark.log_tables(of_stream integer, OUT log text, OUT application text) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT tidemark.log_table(of_stream, p.partition_ordinal), n.application
    FROM (SELECT q.partition_ordinal FROM tidemark.log_partition q WHERE q.stream_id = of_stream
      UNION SELECT m.partition_ordinal FROM tidemark.snapshot m WHERE m.stream_id = of_stream) AS p
    LEFT JOIN tidemark.snapshot n ON n.stream_id = of_stream AND n.partition_ordinal = p.partition_ordinal
$$;

-- Gives a role rights to the streams whose names a pattern stands for: those of a consumer (reads them, for the applications
-- of a pattern), an administrator (creates, enables, alters, splits and disables them; what touches a table, its owner
-- alone), a capturer (reads replication slots, for which the role needs REPLICATION, and appends what it decodes), a producer
-- (puts records), an expirer (deletes expired rows, as which it needs rights to the table) or a monitor (sees all but
-- records). For the owner of the schema only.
CREATE FUNCTION tidemark.grant_role(
  kind text, role_name text, stream text DEFAULT '*', application text DEFAULT '*'
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  receiver CONSTANT regrole := tidemark.find_role(role_name);
  sees CONSTANT text[] := ARRAY['like_pattern', 'find_stream', 'streams_named',
    'stream_conditions'];
  advances CONSTANT text[] := ARRAY['advance', 'advance_streams', 'watch', 'look_at_bells'];
  looks_after CONSTANT text[] := advances || ARRAY['take_maintenance_turn', 'maintain_stream', 'manage_shards',
    'watch_conditions', 'mend_stream', 'capture_state', 'maintain_logical_capture', 'drop_dead_captures', 'mark_log',
    'slot_name'];
  expires CONSTANT text[] := ARRAY['begin_expiry', 'end_expiry'];
  function_names text[] := CASE kind
    WHEN 'consumer' THEN sees || looks_after || expires || ARRAY['known_history', 'next_history', 'enter_history',
      'note_loss', 'position_at', 'utf8', 'begin_making', 'snapshot_source', 'begin_snapshot', 'complete_snapshot',
      'request_cut', 'place_cut', 'end_cut', 'begin_logical_snapshot', 'log_table']
    WHEN 'administrator' THEN sees || looks_after || expires || ARRAY['create_stream', 'enable_stream', 'disable_stream',
      'alter_stream', 'split_shard', 'merge_shards', 'drop_snapshot', 'fail_stream',
      'drop_stream']
    WHEN 'capturer' THEN sees || advances || ARRAY['capture_state', 'maintain_logical_capture', 'mark_log', 'slot_name',
      'append_captured', 'type_parts', 'column_types', 'fail_stream']
    WHEN 'producer' THEN ARRAY['like_pattern', 'find_stream', 'streams_named', 'put']
    WHEN 'expirer' THEN sees || expires
    WHEN 'monitor' THEN sees || ARRAY['slot_name'] END;
  name text;
BEGIN
  IF function_names IS NULL THEN
    RAISE EXCEPTION 'there are no rights of "%"', kind USING ERRCODE = 'TM005',
      HINT = 'Choose consumer, administrator, capturer, producer, expirer or monitor.';
  ELSIF application <> '*' AND kind NOT IN ('consumer', 'monitor') THEN
    RAISE EXCEPTION 'the rights of "%" are not for an application', kind USING ERRCODE = 'TM005',
      HINT = 'Only a consumer''s and a monitor''s are.';
  ELSIF stream = '' OR application = '' THEN
    RAISE EXCEPTION 'no stream or application has an empty name' USING ERRCODE = 'TM005',
      HINT = 'Give names or patterns, in which * stands for any characters.';
  END IF;
  PERFORM tidemark.lock_logs();
  -- A role that was renamed keeps its rights, and what an earlier role of the name had is gone with that.
  UPDATE tidemark.access AS a SET role_name = r.rolname FROM pg_roles AS r
    WHERE r.oid = a.role AND r.rolname <> a.role_name;
  DELETE FROM tidemark.access AS a WHERE a.role_name = grant_role.role_name AND a.role IS DISTINCT FROM receiver;
  INSERT INTO tidemark.access (kind, role_name, application, stream)
    VALUES (kind, role_name, application, stream) ON CONFLICT DO NOTHING;
  EXECUTE format('GRANT USAGE ON SCHEMA tidemark TO %s', receiver);
  EXECUTE format('GRANT SELECT ON tidemark.migration, tidemark.access, tidemark.stream TO %s', receiver);
  FOREACH name IN ARRAY function_names LOOP
    EXECUTE format('GRANT EXECUTE ON ROUTINE tidemark.%I TO %s', name, receiver);
  END LOOP;
  IF kind <> 'producer' THEN
    EXECUTE format('GRANT SELECT ON tidemark.history, tidemark.shard, tidemark.step, tidemark.jump, tidemark.snapshot, '
      'tidemark.stream_problem, tidemark.log_partition TO %s', receiver);
    -- Not its secret.
    EXECUTE format('GRANT SELECT (capture_id, stream_id, maximum_lag, ended_at) ON tidemark.logical_capture '
      'TO %s', receiver);
  END IF;
  IF kind = 'consumer' THEN
    PERFORM tidemark.grant_log(s.stream_id), tidemark.grant_copy(s.stream_id) FROM tidemark.stream s;
  END IF;
END $$;

-- Takes all rights from a role that it has in this schema, but for what it needs as the owner of a table that has a stream.
-- What it owns, and what roles it belongs to may do, stays.
CREATE FUNCTION tidemark.revoke_role(role_name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  grantee CONSTANT regrole := tidemark.find_role(role_name);
  own_function regprocedure;
BEGIN
  PERFORM tidemark.lock_logs();
  DELETE FROM tidemark.access AS a WHERE a.role_name = revoke_role.role_name OR a.role = grantee::oid;
  EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA tidemark FROM %s', grantee);
  EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA tidemark FROM %s', grantee);
  EXECUTE format('REVOKE ALL ON ALL ROUTINES IN SCHEMA tidemark FROM %s', grantee);
  EXECUTE format('REVOKE ALL ON SCHEMA tidemark FROM %s', grantee);
  FOR own_function IN SELECT p.oid FROM pg_proc p
    WHERE p.pronamespace = 'tidemark'::regnamespace AND p.proowner = grantee::oid
  LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', own_function, grantee);
  END LOOP;
  PERFORM tidemark.grant_capture(s.stream_id) FROM tidemark.stream s JOIN pg_class c ON c.oid = s.source_table
    WHERE s.status = 'ENABLED' AND c.relowner = grantee::oid;
END $$;
