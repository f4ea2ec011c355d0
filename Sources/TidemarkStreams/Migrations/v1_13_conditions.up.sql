-- What a stream was enabled with, and what has become of it since: a row for each condition, with the problem if there
-- is one. Of one stream or of all that are enabled and have a table, in one look at the catalog.
CREATE FUNCTION tidemark.all_conditions(
  only_stream integer DEFAULT NULL, OUT of_stream integer, OUT condition text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH watched AS (
    SELECT s.stream_id, s.capture, s.key_columns, s.key_spellings, s.source_name, s.expiry_column, s.expired_at,
      s.maintained_at, c.oid AS source, c.relkind, c.relowner,
      c.relpersistence, c.relispartition, c.relreplident, 'tidemark_' || k.capture_id AS publication,
      to_regprocedure(format('tidemark.%I()', 'capture_' || s.stream_id)) AS capture_function,
      to_regprocedure(format('tidemark.%I()', 'truncate_' || s.stream_id)) AS truncate_function
    FROM tidemark.stream s
    LEFT JOIN pg_class c ON c.oid = s.source_table
    LEFT JOIN tidemark.logical_capture k ON k.stream_id = s.stream_id
    WHERE s.status = 'ENABLED' AND s.source_name IS NOT NULL AND s.stream_id = coalesce(only_stream, s.stream_id)
  ), strange AS (
    SELECT t.stream_id, string_agg(format('%I of %s', t.tgname, t.tgrelid::regclass), ', ' ORDER BY t.tgrelid, t.tgname)
      AS triggers
    FROM (SELECT w.stream_id, w.source, t.tgrelid, t.tgname,
        row_number() OVER (PARTITION BY t.tgfoid, t.tgrelid ORDER BY t.tgname) AS position
      FROM watched w CROSS JOIN LATERAL (VALUES (w.capture_function), (w.truncate_function)) AS f (called)
      JOIN pg_trigger t ON t.tgfoid = f.called AND t.tgparentid = 0 AND t.tgenabled <> 'D') AS t
    WHERE t.position > 1 OR t.tgrelid <> t.source
    GROUP BY 1
  ), looked AS (
    SELECT w.*, o.triggers AS strange_triggers, k.names AS keys, k.types AS key_types, k.spellings, k.is_immediate,
      (EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = w.source)
        OR EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = w.source)) AS inherits,
      -- Tables with rows of the stream's whose changes nothing captures: the partitions of one that is partitioned.
      (SELECT string_agg(p.relid::regclass::text, ', ' ORDER BY p.relid::regclass::text)
        FROM (SELECT w.source AS relid WHERE w.relkind = 'r' UNION ALL
          SELECT t.relid FROM pg_partition_tree(w.source) t WHERE w.relkind = 'p' AND t.isleaf) AS p
        -- LIMIT makes it a look into an index for each, instead of all triggers for each.
        LEFT JOIN LATERAL (SELECT true AS yes FROM pg_trigger t WHERE t.tgrelid = p.relid
          -- After each row that is inserted, deleted or updated, as the bits of pg_trigger.h say it.
          AND t.tgfoid = w.capture_function AND t.tgtype & 31 = 29 AND t.tgenabled IN ('O', 'A') AND t.tgqual IS NULL
          AND t.tgattr::text = '' LIMIT 1) AS captured ON true
        WHERE captured.yes IS NULL) AS uncaptured,
      EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = w.source AND t.tgfoid = w.truncate_function
        AND t.tgtype & 34 = 34 AND (t.tgenabled = 'A' OR t.tgenabled = 'O' AND w.capture = 'TRIGGER'))
        AS captures_truncate,
      (SELECT p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AND r.oid IS NOT NULL AND e.oid IS NOT NULL
          -- By their names, because servers before version 15 have no such columns.
          AND to_jsonb(r) ->> 'prattrs' IS NULL AND to_jsonb(r) ->> 'prqual' IS NULL
        FROM pg_publication p
        LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = w.source
        LEFT JOIN pg_publication_rel e ON e.prpubid = p.oid AND e.prrelid = 'tidemark.expiry_run'::regclass
        WHERE p.pubname = w.publication) AS publishes,
      CASE WHEN w.capture = 'LOGICAL' THEN tidemark.narrow_publications(w.source, w.publication) END
        AS narrow_publications
    FROM watched AS w LEFT JOIN LATERAL tidemark.primary_key(w.source) AS k ON true
    LEFT JOIN strange AS o USING (stream_id)
  )
  SELECT l.stream_id, c.condition, c.problem, CASE WHEN c.problem IS NOT NULL THEN c.remedy END
  FROM looked AS l CROSS JOIN LATERAL (VALUES
    (1, 'table', l.source IS NULL, format('the table %s is gone', l.source_name),
      'Its stream ends by itself: a worker or "tidemark stream" sees to that.'),
    (2, 'key', l.keys IS DISTINCT FROM l.key_columns OR l.is_immediate IS NOT TRUE,
      format('the primary key was (%s), and is %s', array_to_string(l.key_columns, ', '),
        coalesce('(' || array_to_string(l.keys, ', ') || CASE WHEN l.is_immediate THEN ')' ELSE ') DEFERRABLE' END,
          'none')),
      'Changes are recorded under the old key. Disable the stream and enable it again: that is a new stream.'),
    (3, 'key type', l.keys = l.key_columns AND l.spellings IS DISTINCT FROM l.key_spellings,
      format('the primary key is of another type, (%s): its values are written in another way than before',
        array_to_string(l.key_types, ', ')),
      'Each item is another one since. Disable the stream and enable it again: that is a new stream.'),
    (4, 'persistence', l.relpersistence <> 'p', 'the table is unlogged: a crash empties it without a record of that',
      'ALTER TABLE ... SET LOGGED.'),
    (5, 'inheritance', l.relispartition OR l.relkind = 'r' AND l.inherits,
      'the table is part of a table inheritance or a partition, whose other tables are not captured',
      'End the inheritance, or capture the partitioned table instead.'),
    (14, 'capture owner', EXISTS (SELECT FROM pg_proc p WHERE p.oid IN (l.capture_function, l.truncate_function)
        AND NOT (p.prosecdef AND p.proowner = l.relowner
          AND has_table_privilege(l.relowner, format('tidemark.%I', 'inbox_' || l.stream_id), 'INSERT'))),
      'the functions that capture the table do not belong to its owner, or have no rights to write to the stream',
      'Writers of the table may fail. A worker or "tidemark stream check" gives them to the owner.'),
    (15, 'type owner', tidemark.strange_type(l.source) IS NOT NULL,
      format('the table has values of the type %s, whose owner can have code run with the rights of the table''s owner',
        tidemark.strange_type(l.source)),
      'ALTER TYPE ... OWNER TO the table''s owner.'),
    (16, 'expiry', l.expiry_column IS NOT NULL AND l.expired_at < clock_timestamp() - interval '10 minutes',
      format('no row of the table has expired since %s: no worker looks after it whose role may delete its rows',
        l.expired_at),
      format('GRANT SELECT, DELETE, UPDATE (%s) ON %s to the role of a worker.', quote_ident(l.expiry_column),
        l.source_name)),
    (6, 'row triggers', l.capture = 'TRIGGER' AND l.uncaptured IS NOT NULL,
      format('nothing captures the changes of %s: the trigger "!tidemark_capture" is disabled, altered or gone',
        l.uncaptured),
      'Changes are missing since. Disable the stream, bring what you derive from it in line, and enable it again.'),
    (7, 'truncate trigger', NOT l.captures_truncate,
      'TRUNCATE is not captured: the trigger "!tidemark_truncate" is disabled, altered or gone',
      'A TRUNCATE since then has left its rows in the stream. Disable the stream and enable it again.'),
    (8, 'publication', l.capture = 'LOGICAL' AND l.publishes IS NOT TRUE,
      format('the publication %s does not publish all changes of the table any more', l.publication),
      'Changes are missing since. Disable the stream, bring what you derive from it in line, and enable it again.'),
    (9, 'replica identity', l.capture = 'LOGICAL' AND l.relreplident <> 'f',
      'the REPLICA IDENTITY of the table is not FULL any more: the next update ends the stream',
      format('ALTER TABLE %s REPLICA IDENTITY FULL, before somebody updates or deletes a row.', l.source_name)),
    (10, 'other publications', l.narrow_publications IS NOT NULL,
      format('updates and deletes of the table fail, because %s publishes it with a list of columns',
        l.narrow_publications),
      'Publish all of its columns there.'),
    (11, 'generated columns', EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = l.source AND NOT a.attisdropped
        AND (a.attgenerated = 'v' OR l.capture = 'LOGICAL' AND a.attgenerated <> '')),
      CASE l.capture WHEN 'LOGICAL'
        THEN 'the table has got generated columns, which decoding leaves out: images do not have them'
        ELSE 'the table has got virtual generated columns, which a trigger does not see: images have null instead' END,
      CASE l.capture WHEN 'LOGICAL'
        THEN 'Derive their values, or disable the stream and enable it again by trigger.'
        ELSE 'Derive their values, or make the columns STORED.' END),
    (12, 'other triggers', l.strange_triggers IS NOT NULL,
      format('the stream gets records from triggers that are not its own (%s): changes twice, or of other tables',
        l.strange_triggers),
      'DROP TRIGGER for each of them, and bring what you derive from the stream in line with its table.')
  ) AS v (position, condition, is_broken, problem, remedy)
  CROSS JOIN LATERAL (SELECT v.condition, CASE WHEN v.is_broken THEN v.problem END AS problem, v.remedy) AS c
  WHERE l.source IS NOT NULL OR v.position = 1
  ORDER BY l.stream_id, v.position
$$;

-- The same, of what the caller has rights to.
CREATE FUNCTION tidemark.stream_conditions(
  only_stream integer DEFAULT NULL, OUT of_stream integer, OUT condition text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.* FROM tidemark.all_conditions(only_stream) AS c JOIN tidemark.stream s ON s.stream_id = c.of_stream
    WHERE tidemark.may('{consumer,administrator,capturer,monitor}', s.name)
$$;

-- What was found to be wrong with a stream, and when.
CREATE TABLE tidemark.stream_problem (
  stream_id integer NOT NULL REFERENCES tidemark.stream ON DELETE CASCADE,
  condition text NOT NULL,
  problem text NOT NULL,
  remedy text NOT NULL,
  -- The last look before it, or the stream's beginning. From then on changes may be missing.
  well_at timestamptz NOT NULL,
  found_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- When it was put right or found gone, which is how long they may be missing; null while it lasts.
  gone_at timestamptz,
  is_mended boolean NOT NULL DEFAULT false,
  PRIMARY KEY (stream_id, condition, found_at)
);

CREATE UNIQUE INDEX stream_problem_now ON tidemark.stream_problem (stream_id, condition) WHERE gone_at IS NULL;

-- When all streams were last looked at; one row.
CREATE TABLE tidemark.conditions_look (looked_at timestamptz NOT NULL);
INSERT INTO tidemark.conditions_look VALUES ('-infinity');

-- Looks at the conditions of all streams, if the last look is so long ago, and notes which problems have come and gone.
CREATE FUNCTION tidemark.watch_conditions(at_most_every interval) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  last timestamptz;
  this CONSTANT timestamptz := clock_timestamp();
BEGIN
  PERFORM tidemark.check_isolation();
  -- Before the look, for the time of a problem that comes during it.
  UPDATE tidemark.conditions_look AS n SET looked_at = this
    FROM (SELECT o.looked_at FROM tidemark.conditions_look o WHERE o.looked_at + at_most_every <= this
      FOR UPDATE SKIP LOCKED) AS o
    RETURNING o.looked_at INTO last;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  WITH found AS MATERIALIZED (
    SELECT c.* FROM tidemark.all_conditions() AS c WHERE c.problem IS NOT NULL
  ), gone AS (
    UPDATE tidemark.stream_problem p SET gone_at = this WHERE p.gone_at IS NULL
      AND NOT EXISTS (SELECT FROM found f WHERE f.of_stream = p.stream_id AND f.condition = p.condition)
  )
  INSERT INTO tidemark.stream_problem AS p (stream_id, condition, problem, remedy, well_at)
    SELECT f.of_stream, f.condition, f.problem, f.remedy, greatest(s.created_at, last)
    FROM found f JOIN tidemark.stream s ON s.stream_id = f.of_stream
    ON CONFLICT (stream_id, condition) WHERE gone_at IS NULL DO UPDATE
      SET problem = excluded.problem, remedy = excluded.remedy
      WHERE (p.problem, p.remedy) IS DISTINCT FROM (excluded.problem, excluded.remedy);
END $$;

-- Puts right what is wrong with a stream, as far as that can be, or ends it if its records would be of other items than
-- its table has. A call that would have to wait for others, or that something else keeps from it, changes nothing; what
-- is wrong stays noted, and a later one tries again. Returns what kept it from it, but for waiting.
CREATE FUNCTION tidemark.mend_stream(of_stream integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '100ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  source regclass;
  publication text;
  found record;
  mended text[] := '{}';
BEGIN
  PERFORM tidemark.check_isolation();
  PERFORM tidemark.require('{consumer,administrator}', of_stream);
  SELECT s.source_table, 'tidemark_' || c.capture_id INTO source, publication
    FROM tidemark.stream s LEFT JOIN tidemark.logical_capture c USING (stream_id) WHERE s.stream_id = of_stream;
  FOR found IN SELECT c.condition, c.problem FROM tidemark.all_conditions(of_stream) AS c
    WHERE c.problem IS NOT NULL
  LOOP
    CASE found.condition
      WHEN 'key', 'key type' THEN
        UPDATE tidemark.stream s SET failure = coalesce(s.failure, found.problem) WHERE s.stream_id = of_stream;
        IF publication IS NULL THEN
          PERFORM tidemark.end_stream(of_stream);
        ELSE
          -- What was committed until now is captured first.
          PERFORM tidemark.end_logical_capture(of_stream);
        END IF;
        RETURN NULL;
      WHEN 'capture owner' THEN
        PERFORM tidemark.create_functions(of_stream);
      WHEN 'row triggers', 'truncate trigger' THEN
        PERFORM tidemark.create_triggers(of_stream);
      WHEN 'publication' THEN
        -- One that was dropped is missing in the server's log as well: the next change ends the stream.
        IF EXISTS (SELECT FROM pg_publication p WHERE p.pubname = publication) THEN
          EXECUTE format('ALTER PUBLICATION %I SET TABLE %s, tidemark.expiry_run', publication, source);
          EXECUTE format('ALTER PUBLICATION %I SET (publish = ''insert, update, delete, truncate'')', publication);
        END IF;
      WHEN 'replica identity' THEN
        EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', source);
      ELSE
        -- The table is its owner's business.
        CONTINUE;
    END CASE;
    mended := mended || found.condition;
  END LOOP;
  UPDATE tidemark.stream_problem p SET gone_at = clock_timestamp(), is_mended = true
    WHERE p.stream_id = of_stream AND p.gone_at IS NULL AND p.condition = ANY (mended) AND NOT EXISTS (
      SELECT FROM tidemark.all_conditions(of_stream) AS c WHERE c.condition = p.condition AND c.problem IS NOT NULL);
  RETURN NULL;
EXCEPTION
  WHEN lock_not_available THEN
    RETURN NULL;
  WHEN OTHERS THEN
    RETURN sqlerrm;
END $$;
