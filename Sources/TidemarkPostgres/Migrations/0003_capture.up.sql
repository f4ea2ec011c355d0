-- Writes the function that a table's triggers call. It is generated for each stream, so that a write pays only
-- for the images that its view type has. A writer never waits here: the inbox has no lock to queue on, and the
-- wake-up key is only tried. How values are written as text is not left to the writer's session: one item's keys
-- would read differently from two time zones, and go to two shards.
CREATE FUNCTION tidemark.create_capture_function(of_stream integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream tidemark.stream;
  keeps_new boolean;
  keeps_old boolean;
  key_of text;
  body text;
BEGIN
  SELECT * INTO STRICT stream FROM tidemark.stream s WHERE s.stream_id = of_stream;
  keeps_new := stream.view_type IN ('NEW_IMAGE', 'NEW_AND_OLD_IMAGES');
  keeps_old := stream.view_type IN ('OLD_IMAGE', 'NEW_AND_OLD_IMAGES');
  -- The keys as compact JSON, like row_to_json writes it; the record's name goes in front of every column.
  SELECT quote_literal('{') || ' || ' || string_agg(
      replace(quote_literal(to_json(k.name)::text || ':'), '%', '%%')
        || format('::text || to_json(%%1$s.%s)', replace(quote_ident(k.name), '%', '%%')),
      ' || '','' || ' ORDER BY k.position) || ' || ' || quote_literal('}')
    INTO key_of
    FROM unnest(stream.key_columns) WITH ORDINALITY AS k (name, position);
  body := format($body$
DECLARE
  old_key text;
  new_key text;
  old_json json;
  new_json json;
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    -- An id is only taken by a transaction that has its xid: see candidate_xid in tidemark.step.
    PERFORM pg_current_xact_id();
    EXECUTE %1$L || TG_RELID::regclass || ' AS "tidemark item") AS r';
  ELSE
    IF TG_OP = 'UPDATE' THEN
      IF OLD *= NEW THEN
        RETURN NULL;
      END IF;
    END IF;
    IF TG_OP <> 'INSERT' THEN
      old_key := %2$s;
      old_json := %3$s;
    END IF;
    IF TG_OP <> 'DELETE' THEN
      new_key := %4$s;
      new_json := %5$s;
    END IF;
    IF old_key <> new_key THEN
      INSERT INTO tidemark.%6$I (event_name, partition_key, old_image, size_in_bytes)
      VALUES ('REMOVE', old_key, old_json, octet_length(old_key) + coalesce(pg_column_size(old_json), 0));
      old_key := NULL;
      old_json := NULL;
    END IF;
    INSERT INTO tidemark.%6$I (event_name, cause, partition_key, new_image, old_image, size_in_bytes)
    VALUES (
      CASE WHEN old_key IS NULL THEN 'INSERT' WHEN new_key IS NULL THEN 'REMOVE' ELSE 'MODIFY' END, %9$s,
      coalesce(new_key, old_key), new_json, old_json,
      octet_length(coalesce(new_key, old_key))
        + coalesce(pg_column_size(new_json), 0) + coalesce(pg_column_size(old_json), 0));
  END IF;
  IF pg_try_advisory_xact_lock(%7$s, %8$s) THEN
    PERFORM pg_notify('tidemark_inbox_%8$s', '');
  END IF;
  RETURN NULL;
END $body$,
    format('INSERT INTO tidemark.%I (event_name, partition_key, old_image, size_in_bytes) '
        'SELECT ''REMOVE'', r.key, r.image, octet_length(r.key) + coalesce(pg_column_size(r.image), 0) '
        'FROM (SELECT %s AS key, %s AS image FROM ',
      'inbox_' || of_stream, format(key_of, '"tidemark item"'),
      CASE WHEN keeps_old THEN 'row_to_json("tidemark item".*)' ELSE 'NULL::json' END),
    format(key_of, 'OLD'), CASE WHEN keeps_old THEN 'row_to_json(OLD)' ELSE 'NULL' END,
    format(key_of, 'NEW'), CASE WHEN keeps_new THEN 'row_to_json(NEW)' ELSE 'NULL' END,
    'inbox_' || of_stream, hashtext('tidemark.wake'), of_stream,
    CASE WHEN stream.expiry_column IS NULL THEN 'NULL' ELSE format(
      'CASE WHEN TG_OP = ''DELETE'' AND EXISTS (SELECT FROM tidemark.expiry_run AS r WHERE r.stream_id = %s '
      'AND r.xid = pg_current_xact_id()) THEN ''E''::"char" END', of_stream) END);
  EXECUTE format('CREATE OR REPLACE FUNCTION tidemark.%I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER '
    'SET search_path = pg_catalog, pg_temp SET timezone = ''UTC'' SET datestyle = ''ISO'' '
    'SET intervalstyle = ''postgres'' SET bytea_output = ''hex'' SET extra_float_digits = 1 AS %L',
    'capture_' || of_stream, body);
  -- Whoever may execute it can make it the trigger of a table of theirs, and so write any record.
  EXECUTE format('REVOKE ALL ON FUNCTION tidemark.%I() FROM PUBLIC', 'capture_' || of_stream);
END $$;

CREATE FUNCTION tidemark.enable_stream(
  source regclass, stream_name text DEFAULT NULL, view text DEFAULT 'NEW_AND_OLD_IMAGES',
  kept_for interval DEFAULT interval '24 hours', shard_count integer DEFAULT 4
) RETURNS integer
LANGUAGE plpgsql
-- A writer that waits behind this transaction's lock waits no longer than this.
SET lock_timeout = '5s' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  class pg_class;
  namespace text;
  problem text;
  remedy text;
  keys text[];
  new_id integer;
BEGIN
  SELECT * INTO class FROM pg_class c WHERE c.oid = source;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no such table' USING ERRCODE = 'TM003',
      HINT = 'Name an existing table, with its schema if that is not in the search_path.';
  END IF;
  SELECT n.nspname INTO namespace FROM pg_namespace n WHERE n.oid = class.relnamespace;
  remedy := 'Streams are for ordinary and partitioned tables with a primary key.';
  IF class.relispartition THEN
    problem := 'a partition';
    remedy := 'Enable the stream on the partitioned table that it belongs to.';
  ELSIF class.relkind NOT IN ('r', 'p') THEN
    problem := CASE class.relkind WHEN 'v' THEN 'a view' WHEN 'm' THEN 'a materialized view'
      WHEN 'f' THEN 'a foreign table' WHEN 'S' THEN 'a sequence' WHEN 'i' THEN 'an index' ELSE 'not a table' END;
  ELSIF class.relpersistence = 't' THEN
    problem := 'a temporary table';
  ELSIF class.relpersistence = 'u' THEN
    problem := 'an unlogged table';
    remedy := format('A crash would empty it without a record of that: ALTER TABLE %s SET LOGGED.', source);
  ELSIF namespace IN ('pg_catalog', 'information_schema', 'tidemark') THEN
    problem := 'a system table';
  ELSIF class.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE source IN (i.inhparent, i.inhrelid)) THEN
    problem := 'part of a table inheritance';
  END IF;
  IF problem IS NOT NULL THEN
    RAISE EXCEPTION '% is %', source, problem USING ERRCODE = 'TM003', HINT = remedy;
  END IF;
  -- Of who has asked, for this function's own rights are greater.
  IF NOT has_table_privilege(session_user, source, 'TRIGGER') THEN
    RAISE EXCEPTION 'permission denied for table %', source USING ERRCODE = 'insufficient_privilege',
      HINT = format('Whoever enables a stream needs this: GRANT TRIGGER ON %s TO %I.', source, session_user);
  END IF;
  IF view IS NULL OR view NOT IN ('KEYS_ONLY', 'NEW_IMAGE', 'OLD_IMAGE', 'NEW_AND_OLD_IMAGES') THEN
    RAISE EXCEPTION 'the view type "%" does not exist', view USING ERRCODE = 'TM005',
      HINT = 'Choose KEYS_ONLY, NEW_IMAGE, OLD_IMAGE or NEW_AND_OLD_IMAGES.';
  END IF;

  -- The lock that CREATE TRIGGER takes, taken first: what is checked below stays true.
  EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', source);
  IF EXISTS (SELECT FROM tidemark.stream s WHERE s.source_table = source AND s.status = 'ENABLED') THEN
    RAISE EXCEPTION '% already has a stream', source USING ERRCODE = 'TM005',
      HINT = 'To change its view type, disable it and enable it again: that is a new stream.';
  END IF;
  SELECT array_agg(a.attname::text ORDER BY k.position) INTO keys
    FROM pg_index i
    CROSS JOIN unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, position)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE i.indrelid = source AND i.indisprimary AND k.position <= i.indnkeyatts;
  IF keys IS NULL THEN
    RAISE EXCEPTION '% has no primary key', source USING ERRCODE = 'TM003',
      HINT = format('A stream orders the changes of an item by its key: ALTER TABLE %s ADD PRIMARY KEY (...).', source);
  END IF;
  -- Two transactions could hold one key at the same time, and their changes would have no order.
  IF EXISTS (SELECT FROM pg_index i WHERE i.indrelid = source AND i.indisprimary AND NOT i.indimmediate) THEN
    RAISE EXCEPTION 'the primary key of % is deferrable', source USING ERRCODE = 'TM003',
      HINT = 'Make it NOT DEFERRABLE: the order of an item''s changes rests on it.';
  END IF;

  stream_name := coalesce(stream_name,
    CASE namespace WHEN 'public' THEN class.relname::text ELSE namespace || '.' || class.relname END);
  new_id := tidemark.add_stream(stream_name, kept_for, shard_count, source, source::text, view, keys);
  PERFORM tidemark.create_capture_function(new_id);
  -- Triggers fire in the order of their names. "!" makes this one the first, so that a change is captured
  -- before what another trigger of the same row does because of it.
  EXECUTE format('CREATE TRIGGER "!tidemark_capture" AFTER INSERT OR UPDATE OR DELETE ON %s '
    'FOR EACH ROW EXECUTE FUNCTION tidemark.%I()', source, 'capture_' || new_id);
  EXECUTE format('CREATE TRIGGER "!tidemark_truncate" BEFORE TRUNCATE ON %s '
    'FOR EACH STATEMENT EXECUTE FUNCTION tidemark.%I()', source, 'capture_' || new_id);
  RETURN new_id;
END $$;

-- What the inbox of a disabled stream does with a record.
CREATE FUNCTION tidemark.refuse_record() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'the stream "%" is disabled and takes no records', TG_ARGV[0] USING ERRCODE = 'TM002',
    HINT = 'Enable it again, or create another one: tidemark stream create NAME.';
END $$;

-- Stops the capture, sequences what is left, and closes all shards. The stream stays readable until retention.
CREATE FUNCTION tidemark.disable_stream(of_stream integer) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '5s' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream tidemark.stream;
  source text;
BEGIN
  PERFORM tidemark.check_isolation();
  SELECT * INTO stream FROM tidemark.stream s WHERE s.stream_id = of_stream;
  SELECT format('%I.%I', n.nspname, c.relname) INTO source
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = stream.source_table;
  IF source IS NOT NULL AND stream.status = 'ENABLED' THEN
    -- Before the step's lock, because this waits for the table's writers.
    EXECUTE format('DROP TRIGGER IF EXISTS "!tidemark_capture" ON %s', source);
    EXECUTE format('DROP TRIGGER IF EXISTS "!tidemark_truncate" ON %s', source);
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('tidemark.step'), of_stream);
  SELECT * INTO stream FROM tidemark.stream s WHERE s.stream_id = of_stream;
  IF stream.status IS DISTINCT FROM 'ENABLED' THEN
    RAISE EXCEPTION 'the stream is not enabled' USING ERRCODE = 'TM002';
  END IF;
  -- Waits for transactions that have put records and not ended.
  EXECUTE format('LOCK TABLE tidemark.%I IN SHARE ROW EXCLUSIVE MODE', 'inbox_' || of_stream);
  WHILE tidemark.sequence_inbox(of_stream, 10000, 67108864) > 0 LOOP
  END LOOP;
  PERFORM tidemark.close_shards(of_stream,
    ARRAY(SELECT s.shard_ordinal FROM tidemark.shard s WHERE s.stream_id = of_stream));
  UPDATE tidemark.stream s SET status = 'DISABLED', disabled_at = clock_timestamp() WHERE s.stream_id = of_stream;
  EXECUTE format('DROP FUNCTION IF EXISTS tidemark.%I(), tidemark.%I(timestamptz, integer)',
    'capture_' || of_stream, 'expire_' || of_stream);
  -- Not left to whoever puts: in a transaction whose snapshot is from before, the stream is still enabled.
  EXECUTE format('CREATE TRIGGER disabled BEFORE INSERT ON tidemark.%I EXECUTE FUNCTION tidemark.refuse_record(%L)',
    'inbox_' || of_stream, stream.name);
END $$;
