DROP FUNCTION tidemark.revoke_role(text);
DROP FUNCTION tidemark.grant_role(text, text, text, text);
DROP FUNCTION tidemark.find_role(text);
DROP FUNCTION tidemark.log_tables(integer);
DROP FUNCTION tidemark.lock_logs();
DROP FUNCTION tidemark.grant_copy(integer);
DROP FUNCTION tidemark.grant_log(integer);
DROP POLICY application ON tidemark.shard;
DROP POLICY application ON tidemark.snapshot;
DO $$
DECLARE
  table_name text;
BEGIN
  FOREACH table_name IN ARRAY ARRAY['shard', 'step', 'jump', 'log_partition', 'snapshot', 'stream_problem',
    'logical_capture', 'stream']
  LOOP
    EXECUTE format('DROP POLICY visible ON tidemark.%I', table_name);
  END LOOP;
END $$;
