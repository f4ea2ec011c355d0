DO $$
DECLARE
  stream record;
BEGIN
  FOR stream IN SELECT s.stream_id FROM tidemark.stream s LOOP
    EXECUTE format('DROP TABLE IF EXISTS tidemark.%I', 'inbox_' || stream.stream_id);
    EXECUTE format('DROP TABLE IF EXISTS tidemark.%I', 'log_' || stream.stream_id);
    EXECUTE format('DROP TABLE IF EXISTS tidemark.%I', 'turn_' || stream.stream_id);
  END LOOP;
END $$;

DROP FUNCTION tidemark.position_at(integer, integer, timestamptz);
DROP FUNCTION tidemark.put(text, text, bytea, text);
DROP FUNCTION tidemark.find_stream(text);
DROP FUNCTION tidemark.streams_named(text);
DROP FUNCTION tidemark.create_stream(text, interval, integer);
DROP FUNCTION tidemark.add_stream(text, interval, integer, oid, text, text, text[]);
DROP FUNCTION tidemark.last_shards(text, oid, text[], bigint, bigint);
DROP FUNCTION tidemark.partition_interval(interval);
DROP FUNCTION tidemark.add_shard(integer, bigint, bigint, bigint, text[]);
DROP FUNCTION tidemark.note_loss(integer, bigint);
DROP FUNCTION tidemark.follow_history(integer);
DROP FUNCTION tidemark.create_log_table(integer, bigint, text, text);
DROP FUNCTION tidemark.log_table(integer, bigint);
DROP FUNCTION tidemark.utf8(text);
DROP FUNCTION tidemark.partition_hash(text);
DROP FUNCTION tidemark.ring(integer);
DROP FUNCTION tidemark.bell(integer);
DO $$
BEGIN
  FOR bell IN 0..31 LOOP
    EXECUTE format('DROP SEQUENCE tidemark.%I', 'bell_' || bell);
  END LOOP;
END $$;
DROP FUNCTION tidemark.take_turn(integer);
DROP TABLE tidemark.adding, tidemark.put_token, tidemark.jump, tidemark.step, tidemark.log_partition, tidemark.shard, tidemark.stream;
