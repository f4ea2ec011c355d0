-- An enabled stream's table would go on without its changes being captured.
DO $$
DECLARE
  enabled text;
BEGIN
  LOCK TABLE tidemark.adding IN SHARE UPDATE EXCLUSIVE MODE;
  SELECT string_agg(format('%s/%s', s.name, s.label), ', ' ORDER BY s.stream_id) INTO enabled
    FROM tidemark.stream s WHERE s.status = 'ENABLED';
  IF enabled IS NOT NULL THEN
    RAISE EXCEPTION 'the schema tidemark cannot be taken away from streams that are enabled: %', enabled
      USING ERRCODE = 'TM003', HINT = 'Disable them first, by tidemark stream disable; or remove everything: '
        'tidemark uninstall.';
  END IF;
END $$;

DROP FUNCTION tidemark.after_restore();
DROP FUNCTION tidemark.drop_stream(integer);
