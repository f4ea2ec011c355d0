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
  IF FOUND AND stream_head - (latest.partition_ordinal << 32) < 2147483648 AND latest.created_at + (
      SELECT s.partition_interval FROM tidemark.stream s WHERE s.stream_id = of_stream) > clock_timestamp() THEN
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
-- last one did who had the lock.
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
CREATE FUNCTION tidemark.sequence_inbox(of_stream integer, maximum_rows integer, maximum_bytes bigint)
RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  moved integer;
BEGIN
  EXECUTE format('SELECT tidemark.%I($1, $2)', 'sequence_' || of_stream) INTO moved
    USING maximum_rows, maximum_bytes;
  RETURN moved;
END $$;

-- Writes the function that does this for one stream: with the tables' names in it, the server plans its statements
-- once a session and not at each step, which took longer than all the rest of moving one record.
CREATE FUNCTION tidemark.create_sequencing_function(of_stream integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format($create$
CREATE OR REPLACE FUNCTION tidemark.%1$I(maximum_rows integer, maximum_bytes bigint) RETURNS integer
LANGUAGE plpgsql
-- The inbox is empty or short most of the time, whatever its statistics say. A scan that is disabled and happens all
-- the same, a sequence's, looks so expensive that the server would compile the statement, each time anew.
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
  last tidemark.step;
  last_id bigint;
  base bigint;
  routing record;
  moved integer;
  is_settled boolean;
  next_floor bigint;
BEGIN
  SELECT * INTO STRICT last FROM tidemark.step s WHERE s.stream_id = %2$s ORDER BY s.head DESC LIMIT 1;
  -- Before the rows are looked for, so that they are seen if their transactions have ended by now.
  is_settled := pg_snapshot_xmin(pg_current_snapshot()) >= last.candidate_xid;
  SELECT max(i.id) INTO last_id FROM (
    SELECT f.id, sum(f.size) OVER (ORDER BY f.id) - f.size AS preceding
    FROM (SELECT b.id, %6$s AS size FROM tidemark.%3$I AS b WHERE b.id > last.inbox_floor
      ORDER BY b.id LIMIT maximum_rows) AS f) AS i
    WHERE i.preceding < maximum_bytes;
  IF last_id IS NULL THEN
    RETURN 0;
  END IF;
  IF tidemark.follow_history(%2$s) THEN
    SELECT * INTO STRICT last FROM tidemark.step s WHERE s.stream_id = %2$s ORDER BY s.head DESC LIMIT 1;
  END IF;
  base := greatest(last.head, tidemark.current_log_partition(%2$s, last.head) << 32);
  routing := tidemark.route_records(%2$s);
  next_floor := last.inbox_floor;
  IF is_settled THEN
    next_floor := greatest(next_floor, least(last.candidate_id, last_id));
    -- In this order: who has taken an id by now has a smaller xid than the one that is assigned here. A
    -- transaction that has an xid already, be it for having made a log partition, proves nothing by it and leaves
    -- the candidate to the next step.
    IF pg_current_xact_id_if_assigned() IS NULL THEN
      SELECT q.last_value INTO last.candidate_id FROM tidemark.%4$I AS q;
      last.candidate_xid := pg_current_xact_id();
    END IF;
  END IF;
  -- A row up to last_id that became visible since then is taken along: its place is here by the inbox's order.
  WITH taken AS (
    DELETE FROM tidemark.%3$I AS b WHERE b.id > last.inbox_floor AND b.id <= last_id RETURNING b.*, %6$s AS size
  ), written AS (
    INSERT INTO tidemark.%5$I (shard_ordinal, sequence_number, event_name, cause, partition_key, new_image,
      old_image, data, size_in_bytes, created_at)
    SELECT routing.ordinals[width_bucket(tidemark.partition_hash(t.partition_key), routing.starts)],
      base + row_number() OVER (ORDER BY t.id), t.event_name, t.cause, t.partition_key, t.new_image, t.old_image,
      t.data, t.size, t.created_at
    FROM taken AS t
    RETURNING shard_ordinal, sequence_number
  ), heads AS (
    SELECT w.shard_ordinal, max(w.sequence_number) AS head, count(*) AS records FROM written AS w GROUP BY 1
  ), stepped AS (
    INSERT INTO tidemark.step
      (stream_id, head, shard_ordinals, shard_heads, shard_counts, inbox_floor, candidate_id, candidate_xid)
    SELECT %2$s, max(h.head), array_agg(h.shard_ordinal), array_agg(h.head), array_agg(h.records::integer),
      next_floor, last.candidate_id, last.candidate_xid
    FROM heads AS h HAVING count(*) > 0
  )
  SELECT coalesce(sum(h.records), 0), coalesce(max(h.head), 0) INTO moved, base FROM heads AS h;
  IF moved > 0 THEN
    PERFORM pg_notify('tidemark_log_%2$s', base::text);
  END IF;
  RETURN moved;
END $body$
$create$,
    'sequence_' || of_stream, of_stream, 'inbox_' || of_stream, 'inbox_' || of_stream || '_id_seq',
    'log_' || of_stream,
    -- Without decompressing anything: a value's full size stands in front of it.
    '(octet_length(b.partition_key) + coalesce(octet_length(b.new_image::text), 0) '
      '+ coalesce(octet_length(b.old_image::text), 0) + coalesce(octet_length(b.data), 0))');
  PERFORM tidemark.make_private('FUNCTION', format('tidemark.%I(integer, bigint)', 'sequence_' || of_stream));
END $$;

-- The sequencing step, and what a consumer needs to know after it, in one statement.
--
-- One caller at a time moves rows; another is told that it was busy and waits for nobody. Whoever dies or is
-- paused holds nothing up, because the lock is this transaction's.
--
-- changed_shards and changed_heads are the shards with records newer than seen_head and their last sequence
-- numbers. They are null where that is not known (no seen_head, or one from long ago): any shard may have some.
CREATE FUNCTION tidemark.advance(
  of_stream integer, seen_head bigint DEFAULT NULL, maximum_rows integer DEFAULT 2000,
  maximum_bytes bigint DEFAULT 8388608,
  OUT busy boolean, OUT moved integer, OUT head bigint, OUT version bigint, OUT enabled boolean,
  OUT changed_shards integer[], OUT changed_heads bigint[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM tidemark.check_isolation();
  PERFORM tidemark.require('{consumer,administrator,capturer}', of_stream);
  busy := false;
  moved := 0;
  SELECT s.status = 'ENABLED' INTO enabled FROM tidemark.stream s WHERE s.stream_id = of_stream;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'stream % does not exist (any more)', of_stream USING ERRCODE = 'TM001',
      HINT = 'List those that do: tidemark stream list.';
  END IF;
  IF enabled THEN
    IF tidemark.try_turn(of_stream) THEN
      -- Read again: the stream may have been disabled before the lock was got.
      SELECT s.status = 'ENABLED' INTO enabled FROM tidemark.stream s WHERE s.stream_id = of_stream;
      IF enabled THEN
        moved := tidemark.sequence_inbox(of_stream, maximum_rows, maximum_bytes);
      END IF;
    ELSE
      busy := true;
    END IF;
  END IF;
  -- One snapshot for all of it, so that no shard's news can hide behind a newer head.
  SELECT s.topology_version, n.head, n.shards, n.heads INTO version, head, changed_shards, changed_heads
    FROM tidemark.stream s
    CROSS JOIN LATERAL (
      SELECT (SELECT p.head FROM tidemark.step p WHERE p.stream_id = of_stream ORDER BY p.head DESC LIMIT 1) AS head,
        CASE WHEN known.yes THEN array_remove(array_agg(c.shard_ordinal), NULL) END AS shards,
        CASE WHEN known.yes THEN array_remove(array_agg(c.head), NULL) END AS heads
      FROM (SELECT EXISTS (SELECT FROM tidemark.step p
          WHERE p.stream_id = of_stream AND p.head <= seen_head) AS yes) AS known
      LEFT JOIN LATERAL (
        SELECT u.shard_ordinal, max(u.head) AS head
        FROM tidemark.step p CROSS JOIN unnest(p.shard_ordinals, p.shard_heads) AS u (shard_ordinal, head)
        WHERE known.yes AND p.stream_id = of_stream AND p.head > seen_head
        GROUP BY 1) AS c ON true
      GROUP BY known.yes) AS n
    WHERE s.stream_id = of_stream;
END $$;
