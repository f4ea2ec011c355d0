DO $$
DECLARE
  snapshot tidemark.snapshot;
BEGIN
  FOR snapshot IN SELECT * FROM tidemark.snapshot n LOOP
    PERFORM tidemark.discard_snapshot(snapshot.stream_id, snapshot.application);
  END LOOP;
END $$;

DROP FUNCTION tidemark.drop_snapshot(integer, text);
DROP FUNCTION tidemark.complete_snapshot(integer, text, bigint);
DROP FUNCTION tidemark.copy_rows(integer, bigint, bigint[], integer[], bigint, regclass, bigint, bigint);
DROP FUNCTION tidemark.begin_snapshot(integer, text);
DROP FUNCTION tidemark.reserve_snapshot(integer, text);
DROP FUNCTION tidemark.snapshot_source(integer);
DROP FUNCTION tidemark.discard_abandoned_snapshots(integer);
DROP FUNCTION tidemark.discard_snapshot(integer, text);
DROP FUNCTION tidemark.snapshot_key(integer, text);
DROP TABLE tidemark.snapshot;
