-- What every stream with a table has of its own: the triggers, their function, and what refuses records afterwards.
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
    EXECUTE format('DROP TRIGGER IF EXISTS disabled ON tidemark.%I', 'inbox_' || stream.stream_id);
  END LOOP;
END $$;

DROP FUNCTION tidemark.disable_stream(integer);
DROP FUNCTION tidemark.refuse_record();
DROP FUNCTION tidemark.enable_stream(regclass, text, text, interval, integer);
DROP FUNCTION tidemark.begin_stream(regclass, text, text, interval, integer, text);
DROP FUNCTION tidemark.create_capture_function(integer);
DROP FUNCTION tidemark.pin_capture_settings(integer);
DROP FUNCTION tidemark.capture_settings(oid);
DROP FUNCTION tidemark.type_parts(oid[]);
DROP FUNCTION tidemark.column_types(oid);
DROP FUNCTION tidemark.key_expression(text[], text);
