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
DROP FUNCTION tidemark.create_copy_function(integer);
DROP FUNCTION tidemark.check_copy(integer, bigint, regclass, name);
DROP FUNCTION tidemark.begin_snapshot(integer, text);
DROP FUNCTION tidemark.reserve_snapshot(integer, text);
DROP FUNCTION tidemark.snapshot_source(integer);
DROP FUNCTION tidemark.discard_abandoned_snapshots(integer);
DROP FUNCTION tidemark.discard_snapshot(integer, text);
DROP FUNCTION tidemark.begin_making(integer, text);
DROP FUNCTION tidemark.snapshot_work(integer, text);
DROP TABLE tidemark.snapshot;
