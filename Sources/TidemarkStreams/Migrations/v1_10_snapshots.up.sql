-- A snapshot: the rows that a table had at some moment, as records for one application that come before all changes
-- after that moment.
--
-- It is made in transactions that see the same (what differs where a table is captured by decoding, logical_snapshots
-- says). The first closes all open shards at that moment, as a rotation does,
-- and is over in milliseconds. Others copy the table's rows piece by piece, as long as that takes, into a log partition
-- that was reserved for them between the closed shards' numbers and their children's. The partition becomes a part of
-- the log only once it is full, so what a copier that died leaves behind is never read, and is dropped for nobody's
-- lock but its own.
CREATE TABLE tidemark.snapshot (
  stream_id integer NOT NULL REFERENCES tidemark.stream ON DELETE CASCADE,
  application text NOT NULL,
  partition_ordinal bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Null while rows are copied, and if that was never finished.
  completed_at timestamptz,
  row_count bigint,
  -- Where the children of the shards start that were closed: what lies before is no business of the application.
  starting_sequence bigint NOT NULL GENERATED ALWAYS AS ((partition_ordinal + 1) << 32) STORED,
  PRIMARY KEY (stream_id, application)
);

-- The work of whoever makes a snapshot: see tidemark.presence.
CREATE FUNCTION tidemark.snapshot_work(of_stream integer, of_application text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('snapshot of %s for %s', of_stream, of_application)
$$;

-- Takes up the making of a snapshot, until the session ends; false while another session is at it.
CREATE FUNCTION tidemark.begin_making(of_stream integer, of_application text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM tidemark.require('{consumer}', of_stream, of_application);
  RETURN tidemark.appear(tidemark.snapshot_work(of_stream, of_application));
END $$;

-- Deletes a snapshot, finished or not. The caller has the stream's turn.
CREATE FUNCTION tidemark.discard_snapshot(of_stream integer, of_application text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  snapshot tidemark.snapshot;
BEGIN
  DELETE FROM tidemark.snapshot n WHERE n.stream_id = of_stream AND n.application = of_application
    RETURNING * INTO snapshot;
  IF FOUND THEN
    EXECUTE format('DROP TABLE IF EXISTS tidemark.%I', tidemark.log_table(of_stream, snapshot.partition_ordinal));
    DELETE FROM tidemark.log_partition p
      WHERE p.stream_id = of_stream AND p.partition_ordinal = snapshot.partition_ordinal;
    DELETE FROM tidemark.shard s WHERE s.stream_id = of_stream AND s.application = of_application;
    UPDATE tidemark.stream s SET topology_version = s.topology_version + 1 WHERE s.stream_id = of_stream;
  END IF;
END $$;

-- Deletes the unfinished snapshots that nobody is making any more. The caller has the stream's turn.
CREATE FUNCTION tidemark.discard_abandoned_snapshots(of_stream integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  abandoned text;
BEGIN
  FOR abandoned IN SELECT n.application FROM tidemark.snapshot n
    WHERE n.stream_id = of_stream AND n.completed_at IS NULL
      AND NOT tidemark.is_present(tidemark.snapshot_work(of_stream, n.application))
  LOOP
    -- Looked at again: it may have been finished before the lock was got.
    IF EXISTS (SELECT FROM tidemark.snapshot n WHERE n.stream_id = of_stream AND n.application = abandoned
        AND n.completed_at IS NULL) THEN
      PERFORM tidemark.discard_snapshot(of_stream, abandoned);
    END IF;
  END LOOP;
END $$;

-- Says why a stream can have no snapshot; returns its table.
CREATE FUNCTION tidemark.snapshot_source(of_stream integer) RETURNS regclass
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream tidemark.stream;
BEGIN
  PERFORM tidemark.require('{consumer}', of_stream);
  SELECT * INTO stream FROM tidemark.stream s WHERE s.stream_id = of_stream;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'stream % does not exist (any more)', of_stream USING ERRCODE = 'TM001',
      HINT = 'List those that do: tidemark stream list.';
  ELSIF stream.status <> 'ENABLED' THEN
    RAISE EXCEPTION 'the stream "%" is disabled: nothing says what changes after a snapshot', stream.name
      USING ERRCODE = 'TM002', HINT = 'Enable it again: tidemark stream enable TABLE.';
  ELSIF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = stream.source_table) THEN
    RAISE EXCEPTION 'the stream "%" has no table to take a snapshot of', stream.name USING ERRCODE = 'TM003',
      HINT = 'Start at TRIM_HORIZON instead.';
  END IF;
  RETURN stream.source_table;
END $$;

-- Ends the open shards after all that is sequenced and what is visible in the inbox, and begins their children after
-- a log partition that it reserves. starts and ordinals are the hash ranges and shards of the copy. The caller has the
-- stream's turn.
CREATE FUNCTION tidemark.reserve_snapshot(
  of_stream integer, of_application text, OUT partition_ordinal bigint, OUT starts bigint[], OUT ordinals integer[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  closing tidemark.shard[];
  closed tidemark.shard;
  new_id text;
  new_ordinal integer;
  last_number bigint;
BEGIN
  PERFORM tidemark.require('{consumer}', of_stream, of_application);
  PERFORM tidemark.snapshot_source(of_stream);
  PERFORM tidemark.discard_snapshot(of_stream, of_application);
  WHILE tidemark.sequence_inbox(of_stream, 100000, 1 << 30) > 0 LOOP
  END LOOP;
  closing := ARRAY(SELECT s FROM tidemark.shard s
    WHERE s.stream_id = of_stream AND s.ending_sequence IS NULL ORDER BY s.hash_start);
  SELECT (tidemark.close_shards(of_stream, array_agg(c.shard_ordinal)) >> 32) + 1 INTO partition_ordinal
    FROM unnest(closing) AS c;
  SELECT greatest(reserve_snapshot.partition_ordinal, max(p.partition_ordinal) + 1) INTO partition_ordinal
    FROM tidemark.log_partition p WHERE p.stream_id = of_stream;
  -- After a jump the ordinals must not get ahead of the number that the next history would have: see follow_history.
  IF partition_ordinal + 1 > tidemark.next_history()
    AND EXISTS (SELECT FROM tidemark.jump j WHERE j.stream_id = of_stream) THEN
    RAISE EXCEPTION 'the server was started a moment ago' USING ERRCODE = 'lock_not_available';
  END IF;
  last_number := ((partition_ordinal + 1) << 32) - 1;
  INSERT INTO tidemark.step
    (stream_id, head, shard_ordinals, shard_heads, shard_counts, inbox_floor, candidate_id, candidate_xid)
  SELECT of_stream, last_number, '{}', '{}', '{}', s.inbox_floor, s.candidate_id, s.candidate_xid
    FROM tidemark.step s WHERE s.stream_id = of_stream ORDER BY s.head DESC LIMIT 1;
  IF tidemark.current_log_partition(of_stream, last_number) <> partition_ordinal + 1 THEN
    RAISE EXCEPTION 'the log is locked' USING ERRCODE = 'lock_not_available';
  END IF;
  -- With the check, attaching it need not read it. Nor must it wait until somebody has vacuumed it.
  PERFORM tidemark.create_log_table(of_stream, partition_ordinal,
    format(', CHECK (sequence_number >= %s AND sequence_number <= %s)', partition_ordinal << 32, last_number),
    of_application);
  EXECUTE format('ALTER TABLE tidemark.%I SET (autovacuum_enabled = false)',
    tidemark.log_table(of_stream, partition_ordinal));
  -- The table's owner, whose function copies the rows, and as a sign for check_copy whoever makes this.
  EXECUTE format('GRANT INSERT ON tidemark.%I TO %s', tidemark.log_table(of_stream, partition_ordinal),
    (SELECT c.relowner::regrole FROM tidemark.stream s JOIN pg_class c ON c.oid = s.source_table
      WHERE s.stream_id = of_stream));
  EXECUTE format('GRANT DELETE ON tidemark.%I TO %I', tidemark.log_table(of_stream, partition_ordinal),
    tidemark.caller());
  FOREACH closed IN ARRAY closing LOOP
    PERFORM tidemark.add_shard(of_stream, last_number + 1, closed.hash_start, closed.hash_end, ARRAY[closed.shard_id]);
  END LOOP;
  FOREACH closed IN ARRAY closing LOOP
    new_id := tidemark.add_shard(of_stream, partition_ordinal << 32, closed.hash_start, closed.hash_end, '{}');
    -- As long as it is not finished, retention must not take it for old.
    UPDATE tidemark.shard s SET application = of_application, ending_sequence = last_number, closed_at = 'infinity'
      WHERE s.stream_id = of_stream AND s.shard_id = new_id RETURNING s.shard_ordinal INTO new_ordinal;
    starts := starts || closed.hash_start;
    ordinals := ordinals || new_ordinal;
  END LOOP;
  INSERT INTO tidemark.snapshot (stream_id, application, partition_ordinal)
    VALUES (of_stream, of_application, partition_ordinal);
END $$;

-- The first transaction of a snapshot. It has locked the stream's turn before it saw anything, so that this sees all that was sequenced: every row that it sees in the inbox goes to the shards that
-- are closed here, every other one to their children.
CREATE FUNCTION tidemark.begin_snapshot(
  of_stream integer, of_application text, OUT partition_ordinal bigint, OUT starts bigint[], OUT ordinals integer[])
LANGUAGE plpgsql SECURITY DEFINER
-- Sequencing stands still meanwhile; the maker of the snapshot tries again.
SET lock_timeout = '100ms' SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF current_setting('transaction_isolation') <> 'repeatable read' THEN
    RAISE EXCEPTION 'a snapshot is begun in a REPEATABLE READ transaction' USING ERRCODE = 'TM003',
      HINT = 'BEGIN ISOLATION LEVEL REPEATABLE READ.';
  ELSIF NOT EXISTS (SELECT FROM tidemark.stream s WHERE s.stream_id = of_stream AND s.capture = 'TRIGGER') THEN
    RAISE EXCEPTION 'a snapshot of this stream is begun by begin_logical_snapshot' USING ERRCODE = 'TM003',
      HINT = 'Its changes are captured by decoding.';
  END IF;
  SELECT * INTO partition_ordinal, starts, ordinals FROM tidemark.reserve_snapshot(of_stream, of_application);
END $$;

-- Refuses a copy that is no part of the making of a snapshot by the role that makes it. The function that copies asks,
-- before all else: it runs as the table's owner, who may have had it run as whoever calls it. Whoever copies sees what there was before the snapshot was begun; rights in the
-- catalog are seen as they are.
CREATE FUNCTION tidemark.check_copy(of_stream integer, to_partition bigint, source regclass, runs_as name)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream tidemark.stream;
  target CONSTANT regclass := to_regclass(format('tidemark.%I', tidemark.log_table(of_stream, to_partition)));
BEGIN
  SELECT * INTO STRICT stream FROM tidemark.stream s WHERE s.stream_id = of_stream;
  IF target IS NULL OR pg_partition_root(target) IS NOT NULL
    OR stream.source_table NOT IN (source, coalesce(pg_partition_root(source), source)) THEN
    RAISE EXCEPTION 'a snapshot has rows of the stream''s own table, and takes none once it is finished'
      USING ERRCODE = 'TM005', HINT = 'Copy rows of that table, before complete_snapshot.';
  ELSIF runs_as <> (SELECT pg_get_userbyid(c.relowner) FROM pg_class c WHERE c.oid = stream.source_table) THEN
    RAISE EXCEPTION 'the function that copies rows of % runs as the role "%", which does not own that table',
      stream.source_name, runs_as USING ERRCODE = 'insufficient_privilege', HINT = format('Have it run as the owner: '
        'ALTER FUNCTION tidemark.copy_%s SECURITY DEFINER.', of_stream);
  ELSIF NOT has_table_privilege(tidemark.caller(), target, 'DELETE') THEN
    RAISE EXCEPTION 'the snapshot is made by another role than "%"', tidemark.caller()
      USING ERRCODE = 'insufficient_privilege', HINT = 'Copy as the role that has begun it.';
  ELSIF NOT has_table_privilege(tidemark.caller(), stream.source_table, 'SELECT') THEN
    RAISE EXCEPTION 'permission denied for table %', stream.source_name USING ERRCODE = 'insufficient_privilege',
      HINT = format('Whoever starts with a snapshot needs this: GRANT SELECT ON %s TO %I.', stream.source_name,
        tidemark.caller());
  END IF;
END $$;

-- Writes the function that copies the rows in a part of a stream's table (or of a partition of one) as the records that the
-- capture would have made when they were inserted. It returns how many there were; copied is how many were copied
-- before. The parameters are what begin_snapshot has returned, for its transaction is none that those which copy see. It
-- belongs to the table's owner, for whoever writes a row as JSON runs what that owner has defined.
CREATE FUNCTION tidemark.create_copy_function(of_stream integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream tidemark.stream;
BEGIN
  SELECT * INTO STRICT stream FROM tidemark.stream s WHERE s.stream_id = of_stream;
  EXECUTE format($create$
CREATE OR REPLACE FUNCTION tidemark.%I(
  to_partition bigint, starts bigint[], ordinals integer[], copied bigint, source regclass, first_block bigint,
  end_block bigint
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
-- A row that a policy hides would be missing without a word. The other settings are those of the capture function.
SET row_security = off SET jit = off SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
SET intervalstyle = 'postgres' SET bytea_output = 'hex' SET extra_float_digits = 1 SET lc_monetary = 'C' AS %L
$create$, 'copy_' || of_stream, format($body$
DECLARE
  rows_copied bigint;
BEGIN
  PERFORM tidemark.check_copy(%1$s, to_partition, source, current_user);
  EXECUTE format($sql$
    INSERT INTO tidemark.%%I (shard_ordinal, sequence_number, event_name, cause, partition_key, new_image,
      size_in_bytes, created_at)
    SELECT $1[width_bucket(tidemark.partition_hash(r.key), $2)], $3 + row_number() OVER (), 'INSERT',
      'S', r.key, r.image, octet_length(r.key) + coalesce(octet_length(r.image::text), 0), now()
    FROM (SELECT %%s AS key, %%s AS image FROM ONLY %%s AS "tidemark item" WHERE ctid >= $4 AND ctid < $5) AS r$sql$,
    'log_%1$s_' || to_partition, %2$L, %3$s, source)
    USING ordinals, starts, (to_partition << 32) + copied, format('(%%s,0)', first_block)::tid,
      format('(%%s,0)', end_block)::tid;
  GET DIAGNOSTICS rows_copied = ROW_COUNT;
  RETURN rows_copied;
END $body$,
    of_stream, tidemark.key_expression(stream.key_columns, stream.key_spellings, '"tidemark item"'),
    CASE WHEN stream.view_type IN ('NEW_IMAGE', 'NEW_AND_OLD_IMAGES')
      THEN format('tidemark.image_expression(%s, source, %L, %L)', stream.maximum_image_size, '"tidemark item"',
        '"tidemark item".*')
      ELSE quote_literal('NULL::json') END));
  PERFORM tidemark.give_away(p.oid::regprocedure::text, stream.source_table) FROM pg_proc p
    WHERE p.pronamespace = 'tidemark'::regnamespace AND p.proname = 'copy_' || of_stream;
  PERFORM tidemark.grant_copy(of_stream);
END $$;

-- Makes a snapshot whose rows are all there a part of the log. A call that would have to wait for others changes
-- nothing and returns false.
CREATE FUNCTION tidemark.complete_snapshot(of_stream integer, of_application text, copied bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '100ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  snapshot tidemark.snapshot;
  completed timestamptz := clock_timestamp();
  writer regrole;
BEGIN
  PERFORM tidemark.check_isolation();
  PERFORM tidemark.require('{consumer}', of_stream, of_application);
  PERFORM tidemark.take_turn(of_stream);
  UPDATE tidemark.snapshot n SET completed_at = completed, row_count = copied
    WHERE n.stream_id = of_stream AND n.application = of_application AND n.completed_at IS NULL
    RETURNING * INTO snapshot;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the snapshot was dropped while it was made' USING ERRCODE = 'TM003',
      HINT = 'Start the worker again for a new one.';
  END IF;
  EXECUTE format('ALTER TABLE tidemark.%I ATTACH PARTITION tidemark.%I FOR VALUES FROM (%s) TO (%s)',
    'log_' || of_stream, tidemark.log_table(of_stream, snapshot.partition_ordinal),
    snapshot.partition_ordinal << 32, snapshot.starting_sequence);
  FOR writer IN SELECT DISTINCT a.grantee FROM pg_class c CROSS JOIN aclexplode(c.relacl) AS a
    WHERE c.oid = format('tidemark.%I', tidemark.log_table(of_stream, snapshot.partition_ordinal))::regclass
      AND a.privilege_type IN ('INSERT', 'DELETE') AND a.grantee <> c.relowner
  LOOP
    EXECUTE format('REVOKE INSERT, DELETE ON tidemark.%I FROM %s',
      tidemark.log_table(of_stream, snapshot.partition_ordinal), writer);
  END LOOP;
  EXECUTE format('ALTER TABLE tidemark.%I RESET (autovacuum_enabled)',
    tidemark.log_table(of_stream, snapshot.partition_ordinal));
  INSERT INTO tidemark.log_partition (stream_id, partition_ordinal, created_at, closed_at)
    VALUES (of_stream, snapshot.partition_ordinal, snapshot.created_at, completed);
  UPDATE tidemark.shard s SET closed_at = completed
    WHERE s.stream_id = of_stream AND s.application = of_application;
  UPDATE tidemark.stream s SET topology_version = s.topology_version + 1 WHERE s.stream_id = of_stream;
  RETURN true;
EXCEPTION WHEN lock_not_available THEN
  RETURN false;
END $$;

-- Deletes a snapshot. The application starts over with a new one once its leases are deleted: with them it would go on
-- without.
CREATE FUNCTION tidemark.drop_snapshot(of_stream integer, of_application text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '5s' SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM tidemark.check_isolation();
  PERFORM tidemark.require('{administrator}', of_stream);
  IF NOT EXISTS (SELECT FROM tidemark.snapshot n WHERE n.stream_id = of_stream AND n.application = of_application) THEN
    RAISE EXCEPTION 'the stream has no snapshot for the application "%"', of_application USING ERRCODE = 'TM005',
      HINT = 'See which there are: tidemark stream describe.';
  ELSIF tidemark.is_present(tidemark.snapshot_work(of_stream, of_application)) THEN
    RAISE EXCEPTION 'the application "%" is making its snapshot', of_application USING ERRCODE = 'TM005',
      HINT = 'Stop its workers first.';
  END IF;
  PERFORM tidemark.take_turn(of_stream);
  PERFORM tidemark.discard_snapshot(of_stream, of_application);
END $$;
