DO $$
DECLARE
  stream record;
BEGIN
  FOR stream IN SELECT s.stream_id FROM tidemark.stream s LOOP
    EXECUTE format('DROP FUNCTION IF EXISTS tidemark.%I(integer, bigint, bigint)', 'sequence_' || stream.stream_id);
  END LOOP;
END $$;

DROP PROCEDURE tidemark.watch(bigint[], boolean, double precision, double precision);
DROP FUNCTION tidemark.look_at_bells(bigint[], text, boolean, timestamptz);
DROP FUNCTION tidemark.bells();
DROP TABLE tidemark.watch_turn;
DROP FUNCTION tidemark.advance_streams(integer[], bigint[], bigint[], xid8[], integer, bigint);
DROP FUNCTION tidemark.advance(integer, bigint, integer, bigint);
DROP FUNCTION tidemark.try_step(integer, integer, bigint, bigint);
DROP FUNCTION tidemark.news(integer, bigint);
DROP FUNCTION tidemark.create_sequencing_function(integer);
DROP FUNCTION tidemark.sequence_inbox(integer, integer, bigint);
DROP FUNCTION tidemark.route_records(integer);
DROP FUNCTION tidemark.check_isolation();
DROP FUNCTION tidemark.current_log_partition(integer, bigint);
DROP FUNCTION tidemark.has_room(bigint, timestamptz, interval, bigint);
