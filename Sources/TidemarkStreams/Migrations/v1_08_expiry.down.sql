DO $$
DECLARE
  stream record;
BEGIN
  FOR stream IN SELECT s.stream_id FROM tidemark.stream s LOOP
    EXECUTE format('DROP FUNCTION IF EXISTS tidemark.%I(timestamptz, integer, regclass)', 'expire_' || stream.stream_id);
  END LOOP;
END $$;

DROP FUNCTION tidemark.expire_rows(integer, integer);
DROP FUNCTION tidemark.create_expiry_function(integer);
DROP FUNCTION tidemark.expiry_statement(oid, text);
DROP FUNCTION tidemark.expiry_condition(oid, text);
DROP TABLE tidemark.expiry_run;
