-- Snapshots of tables that are captured by decoding. Which transactions a snapshot sees and where their commits are
-- in the write-ahead log are two things, and only a replication slot brings them together: a new one has a place, and
-- exports what is seen there, which is exactly what committed before it. So the maker of a snapshot
--
-- 1. asks for a cut: from then on nothing is appended, for the place may be any that comes,
-- 2. makes a slot that goes with its session, and places the cut where that begins; what stands before is appended,
-- 3. begins the snapshot there, as one is begun for a table with a trigger; the cut is gone with that.
--
-- The capturing session waits meanwhile, but only for so long as a cut is valid without a sign of its maker's life.

-- Asks for a cut; null while there is another. One that is there for the same application is a dead or late maker's.
CREATE FUNCTION tidemark.request_cut(of_stream integer, of_application text) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  new_cut uuid;
BEGIN
  PERFORM tidemark.check_isolation();
  PERFORM tidemark.snapshot_source(of_stream);
  PERFORM tidemark.require('{consumer}', of_stream, of_application);
  -- The session's role: a connection for replication has become no other.
  IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = session_user AND (r.rolreplication OR r.rolsuper)) THEN
    RAISE EXCEPTION 'the role "%" may not replicate, which a snapshot of a stream that is captured by decoding needs',
      session_user USING ERRCODE = 'TM003', HINT = format('ALTER ROLE %I REPLICATION, or let a worker of a role that '
        'has it make the snapshot.', session_user);
  END IF;
  -- Whoever appends now has finished before the slot is made.
  PERFORM tidemark.take_turn(of_stream);
  PERFORM tidemark.drop_void_cut(of_stream);
  UPDATE tidemark.logical_capture c SET cut_id = gen_random_uuid(), cut_for = of_application, cut_at = NULL,
      cut_until = clock_timestamp() + interval '5 s'
    WHERE c.stream_id = of_stream AND (c.cut_id IS NULL OR c.cut_for = of_application) RETURNING c.cut_id INTO new_cut;
  RETURN new_cut;
END $$;

-- Says that the maker of a cut lives. The state is that of a conflict with others: to begin again may help.
CREATE FUNCTION tidemark.keep_cut(cut uuid) RETURNS tidemark.logical_capture
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  capture tidemark.logical_capture;
BEGIN
  UPDATE tidemark.logical_capture c SET cut_until = clock_timestamp() + interval '5 s'
    WHERE c.cut_id = cut AND c.cut_until > clock_timestamp() RETURNING * INTO capture;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the stream has gone on, because the snapshot took too long to begin'
      USING ERRCODE = 'serialization_failure';
  END IF;
  RETURN capture;
END $$;

CREATE FUNCTION tidemark.place_cut(cut uuid, place pg_lsn) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM tidemark.keep_cut(cut);
  UPDATE tidemark.logical_capture c SET cut_at = place WHERE c.cut_id = cut;
  -- The session that captures a table that nobody writes to learns from it that the place is passed.
  PERFORM tidemark.mark_log(c.capture_id) FROM tidemark.logical_capture c WHERE c.cut_id = cut;
END $$;

CREATE FUNCTION tidemark.end_cut(cut uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  UPDATE tidemark.logical_capture c SET cut_id = NULL, cut_for = NULL, cut_at = NULL, cut_until = NULL
    WHERE c.cut_id = cut
$$;

-- Begins a snapshot at its cut. Returns nulls as long as something that stands before the cut is not in the log yet,
-- and while others hold a lock; the call is also the sign of life. seen is what the snapshot sees.
CREATE FUNCTION tidemark.begin_logical_snapshot(
  of_stream integer, of_application text, cut uuid, seen pg_snapshot,
  OUT partition_ordinal bigint, OUT starts bigint[], OUT ordinals integer[])
LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '100ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  capture tidemark.logical_capture;
BEGIN
  PERFORM tidemark.check_isolation();
  PERFORM tidemark.snapshot_source(of_stream);
  capture := tidemark.keep_cut(cut);
  IF NOT EXISTS (SELECT FROM pg_replication_slots r
      WHERE r.slot_name = tidemark.slot_name(capture.capture_id) AND r.confirmed_flush_lsn >= capture.cut_at)
    -- A commit is in the write-ahead log a moment before others see it. To them its rows are an aborted one's.
    OR EXISTS (SELECT FROM pg_snapshot_xip(pg_current_snapshot()) AS x (id)
      WHERE pg_visible_in_snapshot(x.id, seen)) THEN
    RETURN;
  END IF;
  BEGIN
    PERFORM tidemark.take_turn(of_stream);
    SELECT * INTO partition_ordinal, starts, ordinals FROM tidemark.reserve_snapshot(of_stream, of_application);
    PERFORM tidemark.end_cut(cut);
  EXCEPTION WHEN lock_not_available THEN
    partition_ordinal := NULL;
  END;
END $$;
