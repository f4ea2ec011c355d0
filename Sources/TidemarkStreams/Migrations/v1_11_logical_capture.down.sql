DO $$
DECLARE
  problems CONSTANT text := tidemark.drop_dead_captures();
  remaining text;
  stream integer;
BEGIN
  SELECT string_agg(format('the replication slot %s, the publication tidemark_%s or the REPLICA IDENTITY of %s',
      tidemark.slot_name(c.capture_id), c.capture_id, c.source_table), '; ' ORDER BY c.capture_id) INTO remaining
    FROM tidemark.logical_capture c WHERE c.ended_at IS NULL;
  IF problems <> '' OR remaining IS NOT NULL THEN
    RAISE EXCEPTION 'what captures by decoding have left cannot be removed now: %',
      concat_ws('; ', remaining, nullif(problems, '')) USING ERRCODE = 'lock_not_available',
      HINT = 'Somebody uses the table or the slot, or enables a stream: wait for that, and try again.';
  END IF;
  FOR stream IN SELECT s.stream_id FROM tidemark.stream s LOOP
    EXECUTE format('DROP FUNCTION IF EXISTS tidemark.%I', 'append_' || stream);
  END LOOP;
END $$;

DROP FUNCTION tidemark.maintain_logical_capture(integer);
DROP FUNCTION tidemark.fail_stream(integer, text);
DROP FUNCTION tidemark.end_failed_stream(integer, text);
DROP FUNCTION tidemark.drop_dead_captures();
DROP FUNCTION tidemark.drop_unused_capture(integer);
DROP FUNCTION tidemark.drop_logical_capture(integer);
DROP FUNCTION tidemark.drop_slot(integer);
DROP FUNCTION tidemark.end_logical_capture(integer);
DROP FUNCTION tidemark.append_captured(integer, integer, pg_lsn, pg_lsn, bigint, pg_lsn, bigint, text[], text[],
  json[], json[], text[], integer[], timestamptz[]);
DROP FUNCTION tidemark.create_append_function(integer);
DROP FUNCTION tidemark.capture_state(integer);
DROP FUNCTION tidemark.follow_types(integer);
DROP FUNCTION tidemark.drop_void_cut(integer);
DROP FUNCTION tidemark.create_truncate_function(integer, integer);
DROP FUNCTION tidemark.enable_logical_stream(integer, regclass, text, text, interval, integer);
DROP FUNCTION tidemark.mark_log(integer);
DROP FUNCTION tidemark.prepare_logical_capture(regclass, text, text, interval, integer, bigint);
DROP FUNCTION tidemark.logical_capture_problem(regclass);
DROP FUNCTION tidemark.narrow_publications(oid, text);
DROP FUNCTION tidemark.slot_name(integer);
DROP VIEW tidemark.own_capture;
DROP TABLE tidemark.capture_progress, tidemark.logical_capture;
