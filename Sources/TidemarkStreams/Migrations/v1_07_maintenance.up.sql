-- One of the workers of a role looks after streams at a time.
CREATE TABLE tidemark.maintenance_turn (
  role_name name PRIMARY KEY,
  holder bigint NOT NULL,
  until timestamptz NOT NULL
);

-- Whether the turn is the caller's now: it is nobody's, or was the caller's before. It ends by itself, for its holder may die.
CREATE FUNCTION tidemark.take_maintenance_turn(new_holder bigint, for_time interval) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO tidemark.maintenance_turn AS t VALUES (tidemark.caller(), new_holder, clock_timestamp() + for_time)
    ON CONFLICT (role_name) DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE t.holder = excluded.holder OR t.until < clock_timestamp();
  RETURN FOUND;
END $$;

-- Keeps retention: drops what is older. Anybody may call it as often as they like; a call that would have to
-- wait for others changes nothing and returns false, and a later one does the work.
CREATE FUNCTION tidemark.maintain_stream(of_stream integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '100ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream tidemark.stream;
  written_at timestamptz;
  horizon timestamptz;
  old_partition tidemark.log_partition;
  partition_name text;
  oldest_kept bigint;
  gone integer;
  is_clean boolean := false;
BEGIN
  PERFORM tidemark.check_isolation();
  PERFORM tidemark.require('{consumer,administrator}', of_stream);
  PERFORM tidemark.take_turn(of_stream);
  SELECT * INTO stream FROM tidemark.stream s WHERE s.stream_id = of_stream;
  IF NOT FOUND THEN
    RETURN true;
  END IF;
  IF stream.status = 'ENABLED' AND stream.source_table IS NOT NULL
    AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = stream.source_table) THEN
    PERFORM tidemark.end_stream(of_stream);
    RETURN true;
  END IF;
  IF stream.status = 'ENABLED' AND stream.source_table IS NOT NULL THEN
    -- The table may have got columns of other types.
    PERFORM tidemark.pin_capture_settings(of_stream);
    PERFORM tidemark.follow_types(of_stream);
  END IF;
  IF stream.status = 'ENABLED' THEN
    -- Also while nobody writes: whoever has seen what was lost learns it.
    PERFORM tidemark.follow_history(of_stream);
  END IF;
  horizon := clock_timestamp() - stream.retention;
  -- Steps that only changed shards wrote nothing: else an idle stream's records would stay as long as it rotates.
  SELECT greatest(stream.written_at, max(s.moved_at)) INTO written_at FROM tidemark.step s
    WHERE s.stream_id = of_stream AND s.head > stream.counted_head AND 0 < ANY (s.shard_counts);
  DELETE FROM tidemark.step s WHERE s.stream_id = of_stream
    AND s.head < (SELECT max(l.head) FROM tidemark.step l WHERE l.stream_id = of_stream)
    AND (s.head <= stream.counted_head OR stream.status = 'DISABLED')
    AND s.moved_at < clock_timestamp() - interval '1 minute';

  FOR old_partition IN SELECT * FROM tidemark.log_partition p WHERE p.stream_id = of_stream
    AND coalesce(p.closed_at, written_at) < horizon ORDER BY p.partition_ordinal
  LOOP
    partition_name := tidemark.log_table(of_stream, old_partition.partition_ordinal);
    EXECUTE format($sql$
      UPDATE tidemark.shard AS s SET trimmed_through = l.last
      FROM tidemark.shard AS t CROSS JOIN LATERAL (
        SELECT max(r.sequence_number) AS last FROM tidemark.%I AS r WHERE r.shard_ordinal = t.shard_ordinal) AS l
      WHERE t.stream_id = $1 AND s.stream_id = $1 AND s.shard_ordinal = t.shard_ordinal AND l.last IS NOT NULL
      $sql$, partition_name) USING of_stream;
    EXECUTE format('DROP TABLE tidemark.%I', partition_name);
    DELETE FROM tidemark.log_partition p
      WHERE p.stream_id = of_stream AND p.partition_ordinal = old_partition.partition_ordinal;
  END LOOP;

  UPDATE tidemark.stream s SET maintained_at = clock_timestamp()
    WHERE s.stream_id = of_stream AND s.maintained_at < clock_timestamp() - interval '1 second';
  PERFORM tidemark.discard_abandoned_snapshots(of_stream);
  PERFORM tidemark.forget_absent();
  SELECT min(p.partition_ordinal) << 32 INTO oldest_kept FROM tidemark.log_partition p WHERE p.stream_id = of_stream;
  DELETE FROM tidemark.jump j WHERE j.stream_id = of_stream AND j.jumped_at < horizon AND j.to_head < oldest_kept;
  DELETE FROM tidemark.put_token t WHERE t.stream_id = of_stream AND t.put_at < horizon;
  DELETE FROM tidemark.stream_problem p WHERE p.stream_id = of_stream AND p.gone_at < horizon;
  DELETE FROM tidemark.shard s WHERE s.stream_id = of_stream AND s.closed_at < horizon
    AND (oldest_kept IS NULL OR s.ending_sequence < oldest_kept)
    -- Not before the last shards of an earlier stream: they are what leads from those to a later one.
    AND NOT EXISTS (SELECT FROM tidemark.shard p
      WHERE p.stream_id <> of_stream AND p.shard_id = ANY (s.parent_ids));
  GET DIAGNOSTICS gone = ROW_COUNT;
  IF gone > 0 THEN
    UPDATE tidemark.stream s SET topology_version = s.topology_version + 1 WHERE s.stream_id = of_stream;
    DELETE FROM tidemark.snapshot n WHERE n.stream_id = of_stream AND n.completed_at IS NOT NULL
      AND NOT EXISTS (SELECT FROM tidemark.shard s
        WHERE s.stream_id = of_stream AND s.application = n.application);
  END IF;
  IF stream.status = 'DISABLED' THEN
    -- A statement of its own: as a part of the next condition the server may leave it out.
    is_clean := tidemark.clean_up_table(of_stream);
  END IF;
  IF is_clean AND oldest_kept IS NULL AND stream.disabled_at < horizon
    AND NOT EXISTS (SELECT FROM tidemark.shard s WHERE s.stream_id = of_stream) THEN
    EXECUTE format('DROP TABLE tidemark.%I, tidemark.%I, tidemark.%I', 'inbox_' || of_stream, 'log_' || of_stream,
      'turn_' || of_stream);
    EXECUTE format('DROP FUNCTION tidemark.%I(integer, bigint, bigint)', 'sequence_' || of_stream);
    -- Only a stream that was captured by decoding has one.
    EXECUTE format('DROP FUNCTION IF EXISTS tidemark.%I', 'append_' || of_stream);
    DELETE FROM tidemark.step p WHERE p.stream_id = of_stream;
    DELETE FROM tidemark.stream s WHERE s.stream_id = of_stream;
  END IF;
  RETURN true;
EXCEPTION WHEN lock_not_available THEN
  RETURN false;
END $$;
