-- Who may do what. Writers of tables need nothing here: the capture trigger runs with its owner's rights. Whoever
-- consumes, administers or puts gets the rights for it by grant_role; all else belongs to the schema's owner alone.

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tidemark FROM PUBLIC;

-- What these change belongs to the schema's owner, whoever calls them.
ALTER FUNCTION tidemark.create_stream SECURITY DEFINER;
ALTER FUNCTION tidemark.enable_stream SECURITY DEFINER;
ALTER FUNCTION tidemark.disable_stream SECURITY DEFINER;
ALTER FUNCTION tidemark.alter_stream SECURITY DEFINER;
ALTER FUNCTION tidemark.split_shard SECURITY DEFINER;
ALTER FUNCTION tidemark.merge_shards SECURITY DEFINER;
ALTER FUNCTION tidemark.drop_snapshot SECURITY DEFINER;
ALTER FUNCTION tidemark.snapshot_source SECURITY DEFINER;
-- It reads log_partition, whose rights mean something else: see grant_log.
ALTER FUNCTION tidemark.position_at SECURITY DEFINER;

-- Lets read a new stream's log who may read all logs, or read that of an earlier stream of its name. The former are
-- those who may read log_partition: rights in the catalog go when their role is dropped.
CREATE FUNCTION tidemark.grant_log(of_stream integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  reader regrole;
BEGIN
  FOR reader IN SELECT DISTINCT a.grantee::regrole
    FROM tidemark.stream n
    JOIN pg_class c ON c.relnamespace = 'tidemark'::regnamespace AND (c.relname = 'log_partition' OR c.relname IN (
      SELECT 'log_' || s.stream_id FROM tidemark.stream s WHERE s.name = n.name))
    CROSS JOIN aclexplode(c.relacl) AS a
    WHERE n.stream_id = of_stream AND a.privilege_type = 'SELECT' AND a.grantee NOT IN (0, c.relowner)
  LOOP
    EXECUTE format('GRANT SELECT ON tidemark.%I TO %s', 'log_' || of_stream, reader);
  END LOOP;
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
  SELECT pg_advisory_xact_lock(hashtext('tidemark.step'), s.stream_id)
    FROM (SELECT o.stream_id FROM tidemark.stream o ORDER BY 1) AS s
$$;

-- The tables of a stream's log, or of all streams': of each the log itself and its partitions, also one that a snapshot
-- is copied to.
CREATE FUNCTION tidemark.log_tables(of_stream integer) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'log_' || s.stream_id FROM tidemark.stream s WHERE s.stream_id = coalesce(of_stream, s.stream_id)
  UNION
  SELECT tidemark.log_table(p.stream_id, p.partition_ordinal) FROM tidemark.log_partition p
    WHERE p.stream_id = coalesce(of_stream, p.stream_id)
  UNION
  SELECT tidemark.log_table(n.stream_id, n.partition_ordinal) FROM tidemark.snapshot n
    WHERE n.stream_id = coalesce(of_stream, n.stream_id) AND n.completed_at IS NULL
$$;

-- Gives a role the rights of a consumer (reads streams, keeps leases), an administrator (creates, enables, alters,
-- splits, disables streams), a capturer (reads replication slots, for which the role needs REPLICATION, and appends what
-- it decodes) or a producer (puts records). For the owner of the schema only.
CREATE FUNCTION tidemark.grant_role(kind text, role_name text, only_stream text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  grantee CONSTANT regrole := tidemark.find_role(role_name);
  function_names text[] := CASE kind
    WHEN 'consumer' THEN ARRAY['known_history', 'next_history', 'enter_history', 'epoch_floor', 'checkpoint_rank',
      'session_key', 'planning_key', 'lease_channel', 'find_stream',
      'streams_named', 'stream_conditions', 'advance', 'note_loss', 'position_at', 'utf8', 'maintain_stream',
      'manage_shards', 'expire_rows', 'snapshot_key',
      'snapshot_source', 'begin_snapshot', 'copy_rows', 'complete_snapshot', 'request_cut', 'place_cut', 'end_cut',
      'begin_logical_snapshot', 'slot_name', 'capture_state', 'mark_log', 'maintain_logical_capture',
      'drop_dead_captures', 'watch_conditions', 'mend_stream']
    WHEN 'administrator' THEN ARRAY['find_stream', 'streams_named', 'stream_conditions', 'advance', 'maintain_stream',
      'manage_shards', 'expire_rows', 'create_stream', 'enable_stream', 'disable_stream', 'alter_stream', 'split_shard',
      'merge_shards',
      'drop_snapshot', 'slot_name', 'capture_state', 'mark_log', 'maintain_logical_capture', 'fail_stream',
      'drop_dead_captures', 'watch_conditions', 'mend_stream']
    WHEN 'capturer' THEN ARRAY['slot_name', 'capture_state', 'mark_log', 'append_captured', 'type_parts', 'column_types',
      'maintain_logical_capture', 'fail_stream', 'advance']
    WHEN 'producer' THEN ARRAY['put'] END;
  name text;
BEGIN
  IF function_names IS NULL THEN
    RAISE EXCEPTION 'there are no rights of "%"', kind USING ERRCODE = 'TM005',
      HINT = 'Choose consumer, administrator, capturer or producer.';
  ELSIF only_stream IS NOT NULL AND kind <> 'consumer' THEN
    RAISE EXCEPTION 'the rights of "%" cannot be given for one stream', kind USING ERRCODE = 'TM005',
      HINT = 'Only a consumer''s can.';
  END IF;
  EXECUTE format('GRANT USAGE ON SCHEMA tidemark TO %s', grantee);
  EXECUTE format('GRANT SELECT ON tidemark.migration TO %s', grantee);
  FOREACH name IN ARRAY function_names LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION tidemark.%I TO %s', name, grantee);
  END LOOP;
  IF kind <> 'producer' THEN
    EXECUTE format('GRANT SELECT ON tidemark.history, tidemark.stream, tidemark.shard, tidemark.step, tidemark.jump, '
      'tidemark.snapshot, tidemark.stream_problem TO %s', grantee);
    -- Not its secret.
    EXECUTE format('GRANT SELECT (capture_id, stream_id, maximum_lag, ended_at) ON tidemark.logical_capture '
      'TO %s', grantee);
  END IF;
  IF kind <> 'consumer' THEN
    RETURN;
  END IF;
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON tidemark_leases.lease_scope, tidemark_leases.worker, tidemark_leases.lease, '
    'tidemark_leases.lease_load, tidemark_leases.dead_letter TO %s', grantee);
  IF only_stream IS NULL THEN
    EXECUTE format('GRANT SELECT ON tidemark.log_partition TO %s', grantee);
  ELSE
    EXECUTE format('GRANT SELECT (stream_id, partition_ordinal) ON tidemark.log_partition TO %s', grantee);
  END IF;
  PERFORM tidemark.lock_logs();
  FOR name IN SELECT l.name FROM tidemark.log_tables(
    CASE WHEN only_stream IS NOT NULL THEN tidemark.find_stream(only_stream) END) AS l (name)
  LOOP
    EXECUTE format('GRANT SELECT ON tidemark.%I TO %s', name, grantee);
  END LOOP;
END $$;

-- Takes all rights from a role that it has in this schema. What it owns, and what roles it belongs to may do, stays.
CREATE FUNCTION tidemark.revoke_role(role_name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  grantee CONSTANT regrole := tidemark.find_role(role_name);
BEGIN
  PERFORM tidemark.lock_logs();
  EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA tidemark FROM %s', grantee);
  EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tidemark FROM %s', grantee);
  EXECUTE format('REVOKE ALL ON SCHEMA tidemark FROM %s', grantee);
END $$;

REVOKE ALL ON FUNCTION tidemark.grant_log, tidemark.lock_logs, tidemark.log_tables, tidemark.find_role,
  tidemark.grant_role, tidemark.revoke_role FROM PUBLIC;
