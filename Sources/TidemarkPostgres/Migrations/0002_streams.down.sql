-- What every stream has of its own: triggers, capture function, inbox and log.
DO $$
DECLARE
  stream record;
BEGIN
  FOR stream IN SELECT s.stream_id, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS source
    FROM tidemark.stream s
    LEFT JOIN pg_catalog.pg_class c ON c.oid = s.source_table AND s.status = 'ENABLED'
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LOOP
    IF stream.source IS NOT NULL THEN
      EXECUTE format('DROP TRIGGER IF EXISTS "!tidemark_capture" ON %s', stream.source);
      EXECUTE format('DROP TRIGGER IF EXISTS "!tidemark_truncate" ON %s', stream.source);
    END IF;
    EXECUTE format('DROP FUNCTION IF EXISTS tidemark.%I()', 'capture_' || stream.stream_id);
    EXECUTE format('DROP TABLE IF EXISTS tidemark.%I', 'inbox_' || stream.stream_id);
    EXECUTE format('DROP TABLE IF EXISTS tidemark.%I', 'log_' || stream.stream_id);
  END LOOP;
END $$;

DROP FUNCTION tidemark.maintain_stream(integer);
DROP FUNCTION tidemark.position_at(integer, integer, timestamptz);
DROP FUNCTION tidemark.put(text, text, bytea);
DROP FUNCTION tidemark.find_stream(text);
DROP FUNCTION tidemark.disable_stream(integer);
DROP FUNCTION tidemark.refuse_record();
DROP FUNCTION tidemark.merge_shards(integer, text, text);
DROP FUNCTION tidemark.split_shard(integer, text, bigint);
DROP FUNCTION tidemark.open_shard(integer, text);
DROP FUNCTION tidemark.close_shards(integer, integer[]);
DROP FUNCTION tidemark.advance(integer, bigint, integer, bigint);
DROP FUNCTION tidemark.sequence_inbox(integer, integer, bigint);
DROP FUNCTION tidemark.check_isolation();
DROP FUNCTION tidemark.current_log_partition(integer, bigint);
DROP FUNCTION tidemark.enable_stream(regclass, text, text, interval, integer);
DROP FUNCTION tidemark.create_capture_function(integer);
DROP FUNCTION tidemark.create_stream(text, interval, integer);
DROP FUNCTION tidemark.add_stream(text, interval, integer, oid, text, text, text[]);
DROP FUNCTION tidemark.add_shard(integer, bigint, bigint, bigint, text[]);
DROP TABLE tidemark.step, tidemark.log_partition, tidemark.shard, tidemark.stream;
