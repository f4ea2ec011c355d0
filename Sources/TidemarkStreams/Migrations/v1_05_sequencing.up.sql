-- Whether a log partition takes more records after that head.
CREATE FUNCTION tidemark.has_room(
  partition_ordinal bigint, made_at timestamptz, covers interval, stream_head bigint
) RETURNS boolean
LANGUAGE sql VOLATILE
RETURN stream_head - (partition_ordinal << 32) < 2147483648 AND made_at + covers > clock_timestamp();

-- The ordinal of the log partition to write to. A partition that covers its time already is closed and the next
-- one made; while that would have to wait for somebody's lock, the old one is used on.
CREATE FUNCTION tidemark.current_log_partition(of_stream integer, stream_head bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
  latest tidemark.log_partition;
  next_ordinal bigint;
  next_name text;
BEGIN
  SELECT * INTO latest FROM tidemark.log_partition p WHERE p.stream_id = of_stream AND p.closed_at IS NULL;
  IF FOUND AND tidemark.has_room(latest.partition_ordinal, latest.created_at,
      (SELECT s.partition_interval FROM tidemark.stream s WHERE s.stream_id = of_stream), stream_head) THEN
    RETURN latest.partition_ordinal;
  END IF;
  -- After the latest as well: a snapshot has made one ahead of the head.
  next_ordinal := greatest((stream_head >> 32) + 1, latest.partition_ordinal + 1);
  next_name := tidemark.log_table(of_stream, next_ordinal);
  BEGIN
    -- Not CREATE TABLE ... PARTITION OF: that locks readers out of the whole log.
    PERFORM tidemark.create_log_table(of_stream, next_ordinal);
    EXECUTE format('ALTER TABLE tidemark.%I ATTACH PARTITION tidemark.%I FOR VALUES FROM (%s) TO (%s)',
      'log_' || of_stream, next_name, next_ordinal << 32, (next_ordinal + 1) << 32);
    UPDATE tidemark.log_partition p SET closed_at = clock_timestamp()
      WHERE p.stream_id = of_stream AND p.closed_at IS NULL;
    INSERT INTO tidemark.log_partition (stream_id, partition_ordinal) VALUES (of_stream, next_ordinal);
    RETURN next_ordinal;
  EXCEPTION WHEN lock_not_available THEN
    IF latest.partition_ordinal IS DISTINCT FROM (stream_head + 1) >> 32 THEN
      RAISE;
    END IF;
    RETURN latest.partition_ordinal;
  END;
END $$;

-- For what takes a stream's turn: in any other transaction its snapshot would be older than that, and hide what the
-- last one did that had the lock.
CREATE FUNCTION tidemark.check_isolation() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'a stream cannot be advanced or changed in a % transaction',
      upper(current_setting('transaction_isolation'))
      USING ERRCODE = 'TM003', HINT = 'Its snapshot is older than the step''s lock. Call it in READ COMMITTED.';
  END IF;
END $$;

-- The open shards of a stream, by the hashes that they begin with. They are kept with the stream, so that a step need
-- not gather thousands of them. The caller has the stream's turn.
CREATE FUNCTION tidemark.route_records(of_stream integer, OUT starts bigint[], OUT ordinals integer[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  is_current boolean;
BEGIN
  SELECT s.routing_version = s.topology_version, s.routing_starts, s.routing_ordinals
    INTO is_current, starts, ordinals FROM tidemark.stream s WHERE s.stream_id = of_stream;
  IF is_current IS NOT TRUE THEN
    SELECT array_agg(s.hash_start ORDER BY s.hash_start), array_agg(s.shard_ordinal ORDER BY s.hash_start)
      INTO starts, ordinals
      FROM tidemark.shard s WHERE s.stream_id = of_stream AND s.ending_sequence IS NULL;
    UPDATE tidemark.stream s
      SET routing_version = s.topology_version, routing_starts = starts, routing_ordinals = ordinals
      WHERE s.stream_id = of_stream;
  END IF;
END $$;

-- Moves committed inbox rows, in inbox order, to the log: at most maximum_rows and about maximum_bytes, and at
-- least one if there is one. Returns how many. The caller has the stream's turn.
CREATE FUNCTION tidemark.sequence_inbox(of_stream integer, maximum_rows integer, maximum_bytes bigint) RETURNS integer
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  moved integer;
BEGIN
  EXECUTE format('SELECT s.moved FROM tidemark.%I($1, $2, NULL) AS s', 'sequence_' || of_stream) INTO moved
    USING maximum_rows, maximum_bytes;
  RETURN moved;
END $$;

-- Writes the function that does this for one stream, if it is enabled: with the tables' names in it, the server plans
-- its statements once a session and not at each step, which took longer than all the rest of moving one record. Most
-- steps move a few records, so they cost what their statements cost: one asks for all that is to be known, one does all
-- that is to be done.
--
-- taken_id is the last number that the inbox has given out, from before the caller's transaction had an id of its own;
-- null if the caller has not looked. previous_head is the head before the step, and the changed shards are the step's.
--
-- Whoever calls it has switched scans of whole tables off: the inbox is empty or short most of the time, whatever its
-- statistics say. A scan that is disabled and happens all the same, a sequence's, looks so expensive that the server
-- would compile the statement. And a plan for one call's numbers would be no better than one for any.
CREATE FUNCTION tidemark.create_sequencing_function(of_stream integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format($create$
CREATE OR REPLACE FUNCTION tidemark.%1$I(
  maximum_rows integer, maximum_bytes bigint, taken_id bigint, OUT enabled boolean, OUT moved integer,
  OUT previous_head bigint, OUT head bigint, OUT changed_shards integer[], OUT changed_heads bigint[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
  state record;
  base bigint;
  next_floor bigint;
BEGIN
  moved := 0;
  changed_shards := '{}';
  changed_heads := '{}';
  LOOP
    SELECT s.status = 'ENABLED' AS is_enabled, p.head, p.inbox_floor, p.candidate_id, p.candidate_xid,
        -- By the snapshot with which this searches for the rows: it sees those whose transactions have ended by now.
        pg_snapshot_xmin(pg_current_snapshot()) >= p.candidate_xid AS is_settled,
        i.last_id, i.bytes, l.partition_ordinal,
        s.routing_version = s.topology_version AS is_routed, s.routing_starts AS starts, s.routing_ordinals AS ordinals,
        EXISTS (SELECT FROM tidemark.history h
          WHERE h.history_number = s.history_number AND h.server_started_at = pg_postmaster_start_time()
            AND h.table_oid = 'tidemark.history'::regclass
            AND h.database_oid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())) AS is_current
      INTO STRICT state
      FROM tidemark.stream s
      CROSS JOIN LATERAL (SELECT * FROM tidemark.step p WHERE p.stream_id = %2$s ORDER BY p.head DESC LIMIT 1) AS p
      CROSS JOIN LATERAL (
        SELECT max(f.id) AS last_id, sum(f.size) AS bytes
        FROM (SELECT b.id, %6$s AS size FROM tidemark.%3$I AS b WHERE b.id > p.inbox_floor
          ORDER BY b.id LIMIT maximum_rows) AS f) AS i
      LEFT JOIN tidemark.log_partition l ON l.stream_id = %2$s AND l.closed_at IS NULL
        AND tidemark.has_room(l.partition_ordinal, l.created_at, s.partition_interval, p.head)
      WHERE s.stream_id = %2$s;
    enabled := state.is_enabled;
    previous_head := state.head;
    head := state.head;
    IF NOT enabled OR state.last_id IS NULL THEN
      RETURN;
    END IF;
    EXIT WHEN state.is_current AND current_setting('synchronous_commit') <> 'off';
    EXIT WHEN NOT tidemark.follow_history(%2$s);
  END LOOP;
  IF state.bytes >= maximum_bytes THEN
    SELECT max(i.id) INTO state.last_id FROM (
      SELECT f.id, sum(f.size) OVER (ORDER BY f.id) - f.size AS preceding
      FROM (SELECT b.id, %6$s AS size FROM tidemark.%3$I AS b
        WHERE b.id > state.inbox_floor AND b.id <= state.last_id) AS f) AS i
      WHERE i.preceding < maximum_bytes;
  END IF;
  base := greatest(state.head,
    coalesce(state.partition_ordinal, tidemark.current_log_partition(%2$s, state.head)) << 32);
  IF state.is_routed IS NOT TRUE THEN
    SELECT r.starts, r.ordinals INTO state.starts, state.ordinals FROM tidemark.route_records(%2$s) AS r;
  END IF;
  next_floor := state.inbox_floor;
  IF state.is_settled THEN
    next_floor := greatest(next_floor, least(state.candidate_id, state.last_id));
    -- In this order: a transaction that has taken an id by now has a smaller xid than the one that is assigned here. A
    -- transaction that has an xid already, be it for having made a log partition, proves nothing by it and leaves
    -- the candidate to the next step.
    IF taken_id IS NOT NULL THEN
      state.candidate_id := taken_id;
      state.candidate_xid := pg_current_xact_id();
    ELSIF pg_current_xact_id_if_assigned() IS NULL THEN
      SELECT q.last_value INTO state.candidate_id FROM tidemark.%4$I AS q;
      state.candidate_xid := pg_current_xact_id();
    END IF;
  END IF;
  -- A row up to last_id that became visible since then is taken along: its place is here by the inbox's order.
  WITH taken AS (
    DELETE FROM tidemark.%3$I AS b WHERE b.id > state.inbox_floor AND b.id <= state.last_id RETURNING b.*, %6$s AS size
  ), written AS (
    INSERT INTO tidemark.%5$I (shard_ordinal, sequence_number, event_name, cause, partition_key, new_image,
      old_image, data, size_in_bytes, created_at)
    SELECT state.ordinals[width_bucket(tidemark.partition_hash(t.partition_key), state.starts)],
      base + row_number() OVER (ORDER BY t.id), t.event_name, t.cause, t.partition_key, t.new_image, t.old_image,
      t.data, t.size, t.created_at
    FROM taken AS t
    RETURNING shard_ordinal, sequence_number
  ), heads AS (
    SELECT w.shard_ordinal, max(w.sequence_number) AS head, count(*) AS records FROM written AS w GROUP BY 1
  )
  INSERT INTO tidemark.step AS p
    (stream_id, head, shard_ordinals, shard_heads, shard_counts, inbox_floor, candidate_id, candidate_xid)
  SELECT %2$s, max(h.head), array_agg(h.shard_ordinal), array_agg(h.head), array_agg(h.records::integer),
    next_floor, state.candidate_id, state.candidate_xid
  FROM heads AS h HAVING count(*) > 0
  RETURNING (SELECT sum(c) FROM unnest(p.shard_counts) AS c), p.head, p.shard_ordinals, p.shard_heads
    INTO moved, head, changed_shards, changed_heads;
  IF NOT FOUND THEN
    -- Somebody has emptied the inbox.
    moved := 0;
    head := previous_head;
  END IF;
END $body$
$create$,
    'sequence_' || of_stream, of_stream, 'inbox_' || of_stream, 'inbox_' || of_stream || '_id_seq',
    'log_' || of_stream,
    -- An image is written out as text for this. Its size in the table would be that of what is compressed.
    '(octet_length(b.partition_key) + coalesce(octet_length(b.new_image::text), 0) '
      '+ coalesce(octet_length(b.old_image::text), 0) + coalesce(octet_length(b.data), 0))');
  PERFORM tidemark.make_private('ROUTINE', format('tidemark.%I(integer, bigint, bigint)', 'sequence_' || of_stream));
END $$;

-- What is new in a stream's log. changed_shards and changed_heads are the shards with records newer than seen_head and
-- their last sequence numbers. They are null where that is not known (no seen_head, or one from long ago): any shard may
-- have some. One statement, so one snapshot for all of it: no shard's news can be hidden by a newer head.
CREATE FUNCTION tidemark.news(
  of_stream integer, seen_head bigint, OUT head bigint, OUT changed_shards integer[], OUT changed_heads bigint[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- Mostly nothing is new, and the rest costs more.
  SELECT p.head INTO head FROM tidemark.step p WHERE p.stream_id = of_stream ORDER BY p.head DESC LIMIT 1;
  IF head = seen_head THEN
    changed_shards := '{}';
    changed_heads := '{}';
    RETURN;
  END IF;
  SELECT (SELECT p.head FROM tidemark.step p WHERE p.stream_id = of_stream ORDER BY p.head DESC LIMIT 1),
      CASE WHEN known.yes THEN array_remove(array_agg(c.shard_ordinal), NULL) END,
      CASE WHEN known.yes THEN array_remove(array_agg(c.head), NULL) END
    INTO head, changed_shards, changed_heads
    FROM (SELECT EXISTS (SELECT FROM tidemark.step p
        WHERE p.stream_id = of_stream AND p.head <= seen_head) AS yes) AS known
    LEFT JOIN LATERAL (
      SELECT u.shard_ordinal, max(u.head) AS head
      FROM tidemark.step p CROSS JOIN unnest(p.shard_ordinals, p.shard_heads) AS u (shard_ordinal, head)
      WHERE known.yes AND p.stream_id = of_stream AND p.head > seen_head
      GROUP BY 1) AS c ON true
    GROUP BY known.yes;
END $$;

-- Takes the turn of a stream, if nobody has it, and moves rows if it is enabled. enabled is null where the stream is
-- gone. The rest is what the stream's function says, or null if the turn was not to be had.
CREATE FUNCTION tidemark.try_step(
  of_stream integer, maximum_rows integer, maximum_bytes bigint, taken_id bigint,
  OUT enabled boolean, OUT busy boolean, OUT moved integer, OUT previous_head bigint, OUT head bigint,
  OUT changed_shards integer[], OUT changed_heads bigint[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  BEGIN
    EXECUTE format('LOCK TABLE tidemark.%I IN SHARE UPDATE EXCLUSIVE MODE NOWAIT', 'turn_' || of_stream);
  EXCEPTION WHEN lock_not_available OR undefined_table THEN
    SELECT s.status = 'ENABLED' INTO enabled FROM tidemark.stream s WHERE s.stream_id = of_stream;
    busy := enabled IS TRUE;
    moved := 0;
    RETURN;
  END;
  busy := false;
  EXECUTE format('SELECT * FROM tidemark.%I($1, $2, $3)', 'sequence_' || of_stream)
    INTO enabled, moved, previous_head, head, changed_shards, changed_heads
    USING maximum_rows, maximum_bytes, taken_id;
END $$;

-- The sequencing step of one stream, and what a consumer needs to know after it (see tidemark.news), in one statement.
--
-- One caller at a time moves rows; another hears that it was busy and waits for nobody. Whoever dies or is
-- paused holds nothing up, because the lock is this transaction's.
CREATE FUNCTION tidemark.advance(
  of_stream integer, seen_head bigint DEFAULT NULL, maximum_rows integer DEFAULT 2000,
  maximum_bytes bigint DEFAULT 8388608,
  OUT busy boolean, OUT moved integer, OUT head bigint, OUT enabled boolean,
  OUT changed_shards integer[], OUT changed_heads bigint[])
LANGUAGE plpgsql SECURITY DEFINER SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM tidemark.check_isolation();
  PERFORM tidemark.require('{consumer,administrator,capturer}', of_stream);
  SELECT t.enabled, t.busy, t.moved INTO enabled, busy, moved
    FROM tidemark.try_step(of_stream, maximum_rows, maximum_bytes, NULL) AS t;
  IF enabled IS NULL THEN
    RAISE EXCEPTION 'stream % does not exist (any more)', of_stream USING ERRCODE = 'TM001',
      HINT = 'List those that do: tidemark stream list.';
  END IF;
  SELECT n.head, n.changed_shards, n.changed_heads INTO head, changed_shards, changed_heads
    FROM tidemark.news(of_stream, seen_head) AS n;
END $$;

-- The steps of all streams of a process that may have something, and what is new in them: one statement, and one commit.
--
-- Of each stream the caller says what it has seen: the head of its log, the last number that its inbox had given out, and
-- the transaction before which one that has taken such a number may still be open (null: none is). A stream of which nothing
-- has changed is left out of the answer, which says the same of the others. A stream is busy if somebody else has its turn,
-- or if the caller was given as much as it wants before it was the stream's turn; this call did not look at it. enabled is null
-- where the stream is gone.
CREATE FUNCTION tidemark.advance_streams(
  streams integer[], seen_heads bigint[], seen_ids bigint[], seen_xids xid8[], maximum_rows integer,
  maximum_bytes bigint
) RETURNS TABLE (
  stream_id integer, busy boolean, moved integer, head bigint, enabled boolean, last_id bigint, open_xid xid8,
  changed_shards integer[], changed_heads bigint[])
LANGUAGE plpgsql SECURITY DEFINER SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  -- Before the look at any inbox: what has ended by now is seen in it.
  oldest CONSTANT xid8 := pg_snapshot_xmin(pg_current_snapshot());
  is_first CONSTANT boolean := pg_current_xact_id_if_assigned() IS NULL;
  previous_head bigint;
  heads bigint[];
  taken_ids bigint[];
  are_enabled boolean[];
  total integer := 0;
BEGIN
  PERFORM tidemark.check_isolation();
  -- Whoever has this function's owner's rights need not be asked for others.
  IF NOT pg_has_role(tidemark.caller(), current_user, 'USAGE') THEN
    PERFORM tidemark.require('{consumer,administrator,capturer}', w.stream_id) FROM unnest(streams) AS w (stream_id);
  END IF;
  -- All of them before this transaction has an id: whoever has taken one of these numbers has a smaller one.
  SELECT array_agg(l.head ORDER BY l.position), array_agg(l.taken_id ORDER BY l.position),
      array_agg(l.enabled ORDER BY l.position)
    INTO heads, taken_ids, are_enabled
    FROM (
      SELECT w.position, s.status = 'ENABLED' AS enabled,
        coalesce(pg_sequence_last_value(to_regclass(format('tidemark.inbox_%s_id_seq', w.stream_id))), 0) AS taken_id,
        (SELECT p.head FROM tidemark.step p WHERE p.stream_id = s.stream_id ORDER BY p.head DESC LIMIT 1) AS head
      FROM unnest(streams) WITH ORDINALITY AS w (stream_id, position)
      LEFT JOIN tidemark.stream s ON s.stream_id = w.stream_id) AS l;
  FOR i IN 1 .. cardinality(streams) LOOP
    stream_id := streams[i];
    busy := false;
    moved := 0;
    head := heads[i];
    previous_head := head;
    last_id := taken_ids[i];
    open_xid := seen_xids[i];
    enabled := are_enabled[i];
    changed_shards := '{}';
    changed_heads := '{}';
    IF enabled AND (last_id IS DISTINCT FROM seen_ids[i] OR open_xid IS NOT NULL) THEN
      busy := total >= maximum_rows;
      IF NOT busy THEN
        SELECT t.enabled, t.busy, t.moved, t.previous_head, t.head, t.changed_shards, t.changed_heads
          INTO enabled, busy, moved, previous_head, head, changed_shards, changed_heads
          FROM tidemark.try_step(streams[i], maximum_rows - total, maximum_bytes, CASE WHEN is_first THEN last_id END) AS t;
        total := total + moved;
      END IF;
      IF busy THEN
        last_id := seen_ids[i];
      ELSIF last_id IS DISTINCT FROM seen_ids[i] THEN
        open_xid := pg_current_xact_id();
      ELSIF oldest >= open_xid AND moved = 0 THEN
        -- Nothing is left, and nobody can add anything without taking another number.
        open_xid := NULL;
      END IF;
    END IF;
    -- What others have done as well.
    IF busy OR previous_head IS DISTINCT FROM seen_heads[i] THEN
      SELECT n.head, n.changed_shards, n.changed_heads INTO head, changed_shards, changed_heads
        FROM tidemark.news(streams[i], seen_heads[i]) AS n;
    END IF;
    IF busy OR moved > 0 OR enabled IS NOT TRUE OR head IS DISTINCT FROM seen_heads[i]
      OR last_id IS DISTINCT FROM seen_ids[i] OR open_xid IS DISTINCT FROM seen_xids[i]
    THEN
      RETURN NEXT;
    END IF;
  END LOOP;
END $$;

-- Whoever watches the bells for all processes has locked this.
CREATE TABLE tidemark.watch_turn ();

-- One look at the bells, for tidemark.watch. One process at a time looks often; when a bell was rung since the look that
-- known is from, this wakes the others, in a transaction that waits for no disk and no standby, because whoever notifies
-- keeps all others from it until its commit. It looks at bells only when some transaction has ended since the last look.
CREATE FUNCTION tidemark.look_at_bells(
  INOUT known bigint[], INOUT snapshot text, INOUT is_watching boolean, until timestamptz, OUT is_over boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  current_snapshot CONSTANT text := pg_current_snapshot()::text;
  bells bigint[];
BEGIN
  IF is_watching IS NOT TRUE THEN
    BEGIN
      LOCK TABLE tidemark.watch_turn IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
      is_watching := true;
    EXCEPTION WHEN lock_not_available THEN
      is_watching := false;
    END;
  END IF;
  is_over := NOT is_watching OR clock_timestamp() >= until;
  IF current_snapshot = snapshot AND NOT is_over THEN
    RETURN;
  END IF;
  snapshot := current_snapshot;
  bells := tidemark.bells();
  IF bells IS DISTINCT FROM known THEN
    known := bells;
    is_over := true;
    IF is_watching THEN
      PERFORM set_config('synchronous_commit', 'off', true);
      PERFORM pg_notify('tidemark_bell', '');
    END IF;
  END IF;
END $$;

-- How often each bell was rung.
DO $$
BEGIN
  EXECUTE format($create$
CREATE FUNCTION tidemark.bells() RETURNS bigint[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
  RETURN ARRAY[%s];
END $body$
$create$, (SELECT string_agg(format('coalesce(pg_sequence_last_value(%L::regclass), 0)', 'tidemark.bell_' || i), ', '
    ORDER BY i) FROM generate_series(0, 31) AS i));
END $$;

-- Returns when a bell was rung since known was returned, when another process watches already, or after the patience. To be
-- called outside of a transaction: it ends its own ones often, so that it keeps vacuum from nothing. Therefore it has no
-- search_path of its own, and names the schema of all that it calls; what it does is in
-- tidemark.look_at_bells. That no transaction has ended, which nearly all looks find, is found here.
CREATE PROCEDURE tidemark.watch(
  INOUT known bigint[], INOUT is_watching boolean, patience double precision, pause double precision)
LANGUAGE plpgsql AS $$
DECLARE
  until CONSTANT timestamptz := pg_catalog.timestamptz_pl_interval(pg_catalog.clock_timestamp(),
    pg_catalog.make_interval(secs => patience));
  current_snapshot text;
  snapshot text;
  is_over boolean;
BEGIN
  LOOP
    is_watching := false;
    FOR look IN 1 .. 32 LOOP
      current_snapshot := pg_catalog.pg_current_snapshot();
      IF NOT is_watching OR pg_catalog.textne(current_snapshot, snapshot)
        OR pg_catalog.timestamptz_ge(pg_catalog.clock_timestamp(), until)
      THEN
        SELECT l.known, l.snapshot, l.is_watching, l.is_over INTO known, snapshot, is_watching, is_over
          FROM tidemark.look_at_bells(known, snapshot, is_watching, until) AS l;
        IF is_over THEN
          RETURN;
        END IF;
      END IF;
      PERFORM pg_catalog.pg_sleep(pause);
    END LOOP;
    COMMIT;
  END LOOP;
END $$;
