-- Errors of these functions carry a SQLSTATE of class TM: TM001 stream not found, TM002 stream disabled,
-- TM003 unsupported, TM004 shard not found, TM005 invalid argument.

CREATE TABLE tidemark.stream (
  stream_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL CHECK (name <> '' AND strpos(name, '/') = 0),
  -- The creation time in UTC, as DynamoDB Streams labels a stream. name/label stands in leases.
  label text NOT NULL,
  -- Null for a stream that only takes records by put.
  source_table oid,
  source_name text,
  view_type text CHECK (view_type IN ('KEYS_ONLY', 'NEW_IMAGE', 'OLD_IMAGE', 'NEW_AND_OLD_IMAGES')),
  key_columns text[],
  status text NOT NULL DEFAULT 'ENABLED' CHECK (status IN ('ENABLED', 'DISABLED')),
  retention interval NOT NULL CHECK (retention > interval '0'),
  -- How much time one log partition covers, and so how exactly retention is kept.
  partition_interval interval NOT NULL CHECK (partition_interval > interval '0'),
  topology_version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  disabled_at timestamptz,
  UNIQUE (name, label),
  CHECK ((source_table IS NULL) = (view_type IS NULL))
);

CREATE UNIQUE INDEX stream_enabled_name ON tidemark.stream (name) WHERE status = 'ENABLED';
CREATE UNIQUE INDEX stream_enabled_source ON tidemark.stream (source_table) WHERE status = 'ENABLED';

CREATE TABLE tidemark.shard (
  stream_id integer NOT NULL REFERENCES tidemark.stream ON DELETE CASCADE,
  shard_ordinal integer NOT NULL,
  shard_id text NOT NULL,
  parent_ids text[] NOT NULL DEFAULT '{}',
  -- Both ends included; the hash is the first 32 bits of the md5 of the partition key.
  hash_start bigint NOT NULL,
  hash_end bigint NOT NULL CHECK (hash_end BETWEEN hash_start AND 4294967295),
  starting_sequence bigint NOT NULL,
  ending_sequence bigint CHECK (ending_sequence >= starting_sequence),
  -- The last of this shard's records that retention has dropped; 0 when none was.
  trimmed_through bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  closed_at timestamptz,
  PRIMARY KEY (stream_id, shard_ordinal),
  UNIQUE (stream_id, shard_id),
  CHECK ((ending_sequence IS NULL) = (closed_at IS NULL))
);

-- The partitions of a stream's log. Ordinal p holds the sequence numbers from p << 32 up to (p + 1) << 32.
CREATE TABLE tidemark.log_partition (
  stream_id integer NOT NULL REFERENCES tidemark.stream ON DELETE CASCADE,
  partition_ordinal bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- No record was written after this; null for the partition in use.
  closed_at timestamptz,
  PRIMARY KEY (stream_id, partition_ordinal)
);

-- One row for every sequencing step that moved something or changed the shards: the stream's head, and the heads
-- of the shards that the step wrote to. Rows are only ever appended, so a long-open snapshot, which keeps dead
-- rows from being cleaned away, does not make the newest one slower to find.
CREATE TABLE tidemark.step (
  stream_id integer NOT NULL REFERENCES tidemark.stream ON DELETE CASCADE,
  head bigint NOT NULL,
  shard_ordinals integer[] NOT NULL,
  shard_heads bigint[] NOT NULL,
  moved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- No inbox row up to this id will be seen any more: they have been moved, or their transactions rolled back. A
  -- step starts to look behind it, for the dead rows before may be many while a long-open snapshot keeps them.
  inbox_floor bigint NOT NULL DEFAULT 0,
  -- Transactions that took an id up to candidate_id had a smaller xid than candidate_xid. Once all those have
  -- ended, the floor may rise that far.
  candidate_id bigint NOT NULL DEFAULT 0,
  candidate_xid xid8 NOT NULL DEFAULT '0',
  PRIMARY KEY (stream_id, head)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE FUNCTION tidemark.add_shard(
  of_stream integer, starting bigint, first_hash bigint, last_hash bigint, parents text[]
) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  next_ordinal integer;
  new_id text;
BEGIN
  SELECT coalesce(max(s.shard_ordinal) + 1, 0) INTO next_ordinal
    FROM tidemark.shard s WHERE s.stream_id = of_stream;
  new_id := 'shardId-' || lpad((extract(epoch FROM clock_timestamp()) * 1000)::bigint::text, 20, '0')
    || '-' || lpad(to_hex(next_ordinal), 8, '0');
  INSERT INTO tidemark.shard
    (stream_id, shard_ordinal, shard_id, parent_ids, hash_start, hash_end, starting_sequence)
  VALUES (of_stream, next_ordinal, new_id, parents, first_hash, last_hash, starting);
  RETURN new_id;
END $$;

-- The stream's row, its shards, its inbox and its log: what streams with and without a table have in common.
CREATE FUNCTION tidemark.add_stream(
  stream_name text, kept_for interval, shard_count integer, source oid, source_text text, view text, keys text[]
) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  new_id integer;
  created timestamptz := clock_timestamp();
  new_label text;
  hash_count CONSTANT bigint := 4294967296;
BEGIN
  IF stream_name = '' OR strpos(stream_name, '/') > 0 THEN
    RAISE EXCEPTION 'the stream name "%" is empty or contains a slash', stream_name USING ERRCODE = 'TM005',
      HINT = 'Choose a name without "/": the full name of a stream is name/label.';
  END IF;
  IF shard_count NOT BETWEEN 1 AND 4096 THEN
    RAISE EXCEPTION 'a stream cannot start with % shards', shard_count USING ERRCODE = 'TM005',
      HINT = 'Choose 1 to 4096 shards.';
  END IF;
  IF kept_for IS NULL OR kept_for < interval '1 second' THEN
    RAISE EXCEPTION 'the retention % is shorter than a second', kept_for USING ERRCODE = 'TM005',
      HINT = 'Choose a longer one; the default is 24 hours.';
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('tidemark.add_stream'), 0);
  IF EXISTS (SELECT FROM tidemark.stream s WHERE s.name = stream_name AND s.status = 'ENABLED') THEN
    RAISE EXCEPTION 'a stream named "%" is already enabled', stream_name USING ERRCODE = 'TM005',
      HINT = 'Choose another name, or disable that stream first.';
  END IF;
  LOOP
    new_label := to_char(created AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS');
    EXIT WHEN NOT EXISTS (SELECT FROM tidemark.stream s WHERE s.name = stream_name AND s.label = new_label);
    created := created + interval '1 millisecond';
  END LOOP;
  INSERT INTO tidemark.stream (name, label, source_table, source_name, view_type, key_columns, retention,
    partition_interval, created_at)
  VALUES (stream_name, new_label, source, source_text, view, keys, kept_for,
    CASE WHEN kept_for > interval '24 minutes' THEN kept_for / 24 ELSE least(kept_for, interval '1 minute') END,
    created)
  RETURNING stream_id INTO new_id;
  INSERT INTO tidemark.step (stream_id, head, shard_ordinals, shard_heads) VALUES (new_id, 0, '{}', '{}');
  PERFORM tidemark.add_shard(new_id, 1, hash_count * i / shard_count, hash_count * (i + 1) / shard_count - 1, '{}')
    FROM generate_series(0, shard_count - 1) AS i;

  -- The number must not be cached: two changes of one item are in order only because the second takes its
  -- number after the first, and the inbox's floor counts on it, too. Vacuum must not truncate: it would take a
  -- lock that stops all writers.
  EXECUTE format($sql$
    CREATE TABLE tidemark.%I (
      id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
      event_name text,
      partition_key text NOT NULL,
      new_image json,
      old_image json,
      data bytea,
      size_in_bytes integer NOT NULL,
      created_at timestamptz NOT NULL DEFAULT clock_timestamp()
    ) WITH (
      vacuum_truncate = false, toast.vacuum_truncate = false,
      autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
      autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_threshold = -1,
      toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 2000,
      toast.autovacuum_vacuum_cost_delay = 0
    )$sql$, 'inbox_' || new_id);
  EXECUTE format($sql$
    CREATE TABLE tidemark.%I (
      shard_ordinal integer NOT NULL,
      sequence_number bigint NOT NULL,
      event_name text,
      partition_key text NOT NULL,
      new_image json,
      old_image json,
      data bytea,
      size_in_bytes integer NOT NULL,
      created_at timestamptz NOT NULL,
      PRIMARY KEY (shard_ordinal, sequence_number)
    ) PARTITION BY RANGE (sequence_number)$sql$, 'log_' || new_id);
  RETURN new_id;
END $$;

CREATE FUNCTION tidemark.create_stream(
  stream_name text, kept_for interval DEFAULT interval '24 hours', shard_count integer DEFAULT 4
) RETURNS integer
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT tidemark.add_stream(stream_name, kept_for, shard_count, NULL, NULL, NULL, NULL)
$$;

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
    INSERT INTO tidemark.%6$I (event_name, partition_key, new_image, old_image, size_in_bytes)
    VALUES (
      CASE WHEN old_key IS NULL THEN 'INSERT' WHEN new_key IS NULL THEN 'REMOVE' ELSE 'MODIFY' END,
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
    'inbox_' || of_stream, hashtext('tidemark.wake'), of_stream);
  EXECUTE format('CREATE FUNCTION tidemark.%I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER '
    'SET search_path = pg_catalog, pg_temp SET timezone = ''UTC'' SET datestyle = ''ISO'' '
    'SET intervalstyle = ''postgres'' SET bytea_output = ''hex'' SET extra_float_digits = 1 AS %L',
    'capture_' || of_stream, body);
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

-- The ordinal of the log partition to write to. A partition that covers its time already is closed and the next
-- one made; while that would have to wait for somebody's lock, the old one is used on.
CREATE FUNCTION tidemark.current_log_partition(of_stream integer, stream_head bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
  latest tidemark.log_partition;
  next_ordinal bigint;
  next_name text;
BEGIN
  SELECT * INTO latest FROM tidemark.log_partition p WHERE p.stream_id = of_stream AND p.closed_at IS NULL;
  IF FOUND AND stream_head - (latest.partition_ordinal << 32) < 2147483648 AND latest.created_at + (
      SELECT s.partition_interval FROM tidemark.stream s WHERE s.stream_id = of_stream) > clock_timestamp() THEN
    RETURN latest.partition_ordinal;
  END IF;
  next_ordinal := (stream_head >> 32) + 1;
  next_name := format('log_%s_%s', of_stream, next_ordinal);
  BEGIN
    -- Not CREATE TABLE ... PARTITION OF: that locks readers out of the whole log.
    EXECUTE format('CREATE TABLE tidemark.%I (LIKE tidemark.%I INCLUDING ALL)', next_name, 'log_' || of_stream);
    EXECUTE format('ALTER TABLE tidemark.%I ATTACH PARTITION tidemark.%I FOR VALUES FROM (%s) TO (%s)',
      'log_' || of_stream, next_name, next_ordinal << 32, (next_ordinal + 1) << 32);
    UPDATE tidemark.log_partition p SET closed_at = clock_timestamp()
      WHERE p.stream_id = of_stream AND p.closed_at IS NULL;
    INSERT INTO tidemark.log_partition (stream_id, partition_ordinal) VALUES (of_stream, next_ordinal);
    RETURN next_ordinal;
  EXCEPTION WHEN lock_not_available THEN
    IF latest.partition_ordinal IS NULL THEN
      RAISE;
    END IF;
    RETURN latest.partition_ordinal;
  END;
END $$;

-- For what takes the step's lock: in any other transaction its snapshot would be older than that, and hide what the
-- last one did who had the lock.
CREATE FUNCTION tidemark.check_isolation() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'a stream cannot be advanced or changed in a % transaction',
      upper(current_setting('transaction_isolation'))
      USING ERRCODE = 'TM003', HINT = 'Its snapshot is older than the step''s lock. Call it in READ COMMITTED.';
  END IF;
END $$;

-- Moves committed inbox rows, in inbox order, to the log: at most maximum_rows and about maximum_bytes, and at
-- least one if there is one. Returns how many. The caller holds the stream's step lock.
CREATE FUNCTION tidemark.sequence_inbox(of_stream integer, maximum_rows integer, maximum_bytes bigint)
RETURNS integer
LANGUAGE plpgsql
-- The inbox is empty or short most of the time, whatever its statistics say.
SET enable_seqscan = off SET enable_bitmapscan = off SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  last tidemark.step;
  last_id bigint;
  base bigint;
  starts bigint[];
  ordinals integer[];
  moved integer;
  is_settled boolean;
  next_floor bigint;
BEGIN
  SELECT * INTO STRICT last FROM tidemark.step s WHERE s.stream_id = of_stream ORDER BY s.head DESC LIMIT 1;
  -- Before the rows are looked for, so that they are seen if their transactions have ended by now.
  is_settled := pg_snapshot_xmin(pg_current_snapshot()) >= last.candidate_xid;
  EXECUTE format($sql$
    SELECT max(i.id) FROM (
      SELECT f.id, sum(f.size_in_bytes) OVER (ORDER BY f.id) - f.size_in_bytes AS preceding
      FROM (SELECT b.id, b.size_in_bytes FROM tidemark.%I AS b WHERE b.id > $3
        ORDER BY b.id LIMIT $1) AS f) AS i
    WHERE i.preceding < $2$sql$, 'inbox_' || of_stream)
    INTO last_id USING maximum_rows, maximum_bytes, last.inbox_floor;
  IF last_id IS NULL THEN
    RETURN 0;
  END IF;
  base := greatest(last.head, tidemark.current_log_partition(of_stream, last.head) << 32);
  SELECT array_agg(s.hash_start ORDER BY s.hash_start), array_agg(s.shard_ordinal ORDER BY s.hash_start)
    INTO starts, ordinals
    FROM tidemark.shard s WHERE s.stream_id = of_stream AND s.ending_sequence IS NULL;
  next_floor := last.inbox_floor;
  IF is_settled THEN
    next_floor := greatest(next_floor, least(last.candidate_id, last_id));
    -- In this order: who has taken an id by now has a smaller xid than the one that is assigned here. A
    -- transaction that has an xid already, be it for having made a log partition, proves nothing by it and leaves
    -- the candidate to the next step.
    IF pg_current_xact_id_if_assigned() IS NULL THEN
      EXECUTE format('SELECT q.last_value FROM tidemark.%I AS q', 'inbox_' || of_stream || '_id_seq')
        INTO last.candidate_id;
      last.candidate_xid := pg_current_xact_id();
    END IF;
  END IF;
  -- A row up to last_id that became visible since then is taken along: its place is here by the inbox's order.
  EXECUTE format($sql$
    WITH taken AS (
      DELETE FROM tidemark.%I AS b WHERE b.id > $6 AND b.id <= $1 RETURNING b.*
    ), written AS (
      INSERT INTO tidemark.%I (shard_ordinal, sequence_number, event_name, partition_key, new_image, old_image,
        data, size_in_bytes, created_at)
      SELECT ($3::integer[])[width_bucket(('x' || left(md5(t.partition_key), 8))::bit(32)::bigint, $2::bigint[])],
        $4 + row_number() OVER (ORDER BY t.id), t.event_name, t.partition_key, t.new_image, t.old_image,
        t.data, t.size_in_bytes, t.created_at
      FROM taken AS t
      RETURNING shard_ordinal, sequence_number
    ), heads AS (
      SELECT w.shard_ordinal, max(w.sequence_number) AS head, count(*) AS moved FROM written AS w GROUP BY 1
    ), step AS (
      INSERT INTO tidemark.step
        (stream_id, head, shard_ordinals, shard_heads, inbox_floor, candidate_id, candidate_xid)
      SELECT $5, max(h.head), array_agg(h.shard_ordinal), array_agg(h.head), $7, $8, $9
      FROM heads AS h HAVING count(*) > 0
    )
    SELECT coalesce(sum(h.moved), 0), coalesce(max(h.head), 0) FROM heads AS h$sql$,
    'inbox_' || of_stream, 'log_' || of_stream)
    INTO moved, base
    USING last_id, starts, ordinals, base, of_stream, last.inbox_floor, next_floor, last.candidate_id,
      last.candidate_xid;
  IF moved > 0 THEN
    PERFORM pg_notify('tidemark_log_' || of_stream, base::text);
  END IF;
  RETURN moved;
END $$;

-- The sequencing step, and what a consumer needs to know after it, in one statement.
--
-- One caller at a time moves rows; another is told that it was busy and waits for nobody. Whoever dies or is
-- paused holds nothing up, because the lock is this transaction's.
--
-- changed_shards and changed_heads are the shards with records newer than seen_head and their last sequence
-- numbers. They are null where that is not known (no seen_head, or one from long ago): any shard may have some.
CREATE FUNCTION tidemark.advance(
  of_stream integer, seen_head bigint DEFAULT NULL, maximum_rows integer DEFAULT 2000,
  maximum_bytes bigint DEFAULT 8388608,
  OUT busy boolean, OUT moved integer, OUT head bigint, OUT version bigint, OUT enabled boolean,
  OUT changed_shards integer[], OUT changed_heads bigint[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM tidemark.check_isolation();
  busy := false;
  moved := 0;
  SELECT s.status = 'ENABLED' INTO enabled FROM tidemark.stream s WHERE s.stream_id = of_stream;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'stream % does not exist (any more)', of_stream USING ERRCODE = 'TM001';
  END IF;
  IF enabled THEN
    IF pg_try_advisory_xact_lock(hashtext('tidemark.step'), of_stream) THEN
      -- Read again: the stream may have been disabled before the lock was got.
      SELECT s.status = 'ENABLED' INTO enabled FROM tidemark.stream s WHERE s.stream_id = of_stream;
      IF enabled THEN
        moved := tidemark.sequence_inbox(of_stream, maximum_rows, maximum_bytes);
      END IF;
    ELSE
      busy := true;
    END IF;
  END IF;
  -- One snapshot for all of it, so that no shard's news can hide behind a newer head.
  SELECT s.topology_version, n.head, n.shards, n.heads INTO version, head, changed_shards, changed_heads
    FROM tidemark.stream s
    CROSS JOIN LATERAL (
      SELECT (SELECT p.head FROM tidemark.step p WHERE p.stream_id = of_stream ORDER BY p.head DESC LIMIT 1) AS head,
        CASE WHEN known.yes THEN array_remove(array_agg(c.shard_ordinal), NULL) END AS shards,
        CASE WHEN known.yes THEN array_remove(array_agg(c.head), NULL) END AS heads
      FROM (SELECT EXISTS (SELECT FROM tidemark.step p
          WHERE p.stream_id = of_stream AND p.head <= seen_head) AS yes) AS known
      LEFT JOIN LATERAL (
        SELECT u.shard_ordinal, max(u.head) AS head
        FROM tidemark.step p CROSS JOIN unnest(p.shard_ordinals, p.shard_heads) AS u (shard_ordinal, head)
        WHERE known.yes AND p.stream_id = of_stream AND p.head > seen_head
        GROUP BY 1) AS c ON true
      GROUP BY known.yes) AS n
    WHERE s.stream_id = of_stream;
END $$;

-- Closes shards at the stream's head and returns the number at which their children start. The closing takes a
-- number of its own, so that a shard's range is never empty, and it is news of the shards that it closes. The
-- caller holds the stream's step lock.
CREATE FUNCTION tidemark.close_shards(of_stream integer, ordinals integer[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  ending bigint;
BEGIN
  SELECT s.head + 1 INTO STRICT ending FROM tidemark.step s
    WHERE s.stream_id = of_stream ORDER BY s.head DESC LIMIT 1;
  INSERT INTO tidemark.step
    (stream_id, head, shard_ordinals, shard_heads, inbox_floor, candidate_id, candidate_xid)
  SELECT of_stream, ending, ordinals, array_fill(ending, ARRAY[cardinality(ordinals)]), s.inbox_floor,
      s.candidate_id, s.candidate_xid
    FROM tidemark.step s WHERE s.stream_id = of_stream ORDER BY s.head DESC LIMIT 1;
  UPDATE tidemark.shard s SET ending_sequence = ending, closed_at = clock_timestamp()
    WHERE s.stream_id = of_stream AND s.shard_ordinal = ANY (ordinals) AND s.ending_sequence IS NULL;
  UPDATE tidemark.stream s SET topology_version = s.topology_version + 1 WHERE s.stream_id = of_stream;
  PERFORM pg_notify('tidemark_log_' || of_stream, ending::text);
  RETURN ending + 1;
END $$;

CREATE FUNCTION tidemark.open_shard(of_stream integer, of_shard text) RETURNS tidemark.shard
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  shard tidemark.shard;
BEGIN
  SELECT * INTO shard FROM tidemark.shard s WHERE s.stream_id = of_stream AND s.shard_id = of_shard;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the stream has no shard "%"', of_shard USING ERRCODE = 'TM004',
      HINT = 'List its shards: tidemark stream describe.';
  ELSIF shard.ending_sequence IS NOT NULL THEN
    RAISE EXCEPTION 'the shard "%" is closed', of_shard USING ERRCODE = 'TM005',
      HINT = 'Only open shards can be split or merged.';
  END IF;
  RETURN shard;
END $$;

-- Splits a shard in the middle, or so that the second child starts at at_hash. Returns the children's ids.
CREATE FUNCTION tidemark.split_shard(of_stream integer, of_shard text, at_hash bigint DEFAULT NULL) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  parent tidemark.shard;
  starting bigint;
BEGIN
  PERFORM tidemark.check_isolation();
  PERFORM pg_advisory_xact_lock(hashtext('tidemark.step'), of_stream);
  parent := tidemark.open_shard(of_stream, of_shard);
  at_hash := coalesce(at_hash, parent.hash_start + (parent.hash_end - parent.hash_start + 1) / 2);
  IF at_hash <= parent.hash_start OR at_hash > parent.hash_end THEN
    RAISE EXCEPTION 'the shard "%" cannot be split at hash %', of_shard, at_hash USING ERRCODE = 'TM005',
      HINT = format('It takes the hashes %s to %s; both children need at least one.',
        parent.hash_start, parent.hash_end);
  END IF;
  starting := tidemark.close_shards(of_stream, ARRAY[parent.shard_ordinal]);
  RETURN ARRAY[
    tidemark.add_shard(of_stream, starting, parent.hash_start, at_hash - 1, ARRAY[parent.shard_id]),
    tidemark.add_shard(of_stream, starting, at_hash, parent.hash_end, ARRAY[parent.shard_id])];
END $$;

-- Merges two open shards whose hash ranges touch. Returns the child's id.
CREATE FUNCTION tidemark.merge_shards(of_stream integer, one_shard text, other_shard text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  one tidemark.shard;
  other tidemark.shard;
  starting bigint;
BEGIN
  PERFORM tidemark.check_isolation();
  PERFORM pg_advisory_xact_lock(hashtext('tidemark.step'), of_stream);
  one := tidemark.open_shard(of_stream, one_shard);
  other := tidemark.open_shard(of_stream, other_shard);
  IF one.hash_end + 1 <> other.hash_start AND other.hash_end + 1 <> one.hash_start THEN
    RAISE EXCEPTION 'the hash ranges of "%" and "%" do not touch', one_shard, other_shard USING ERRCODE = 'TM005',
      HINT = 'Merge a shard with the one whose range starts where its own ends.';
  END IF;
  starting := tidemark.close_shards(of_stream, ARRAY[one.shard_ordinal, other.shard_ordinal]);
  RETURN tidemark.add_shard(of_stream, starting, least(one.hash_start, other.hash_start),
    greatest(one.hash_end, other.hash_end), ARRAY[one.shard_id, other.shard_id]);
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
  EXECUTE format('DROP FUNCTION IF EXISTS tidemark.%I()', 'capture_' || of_stream);
  -- Not left to whoever puts: in a transaction whose snapshot is from before, the stream is still enabled.
  EXECUTE format('CREATE TRIGGER disabled BEFORE INSERT ON tidemark.%I EXECUTE FUNCTION tidemark.refuse_record(%L)',
    'inbox_' || of_stream, stream.name);
END $$;

-- The id of a stream by its full name, or by its short one: then the enabled stream, else the newest.
CREATE FUNCTION tidemark.find_stream(stream_name text) RETURNS integer
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found_id integer;
BEGIN
  SELECT s.stream_id INTO found_id FROM tidemark.stream s
    WHERE s.name = split_part(stream_name, '/', 1)
      AND (strpos(stream_name, '/') = 0 OR s.label = split_part(stream_name, '/', 2))
    ORDER BY s.status = 'ENABLED' DESC, s.created_at DESC LIMIT 1;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no stream "%"', stream_name USING ERRCODE = 'TM001',
      HINT = 'Enable one on a table with: tidemark stream enable TABLE. List all with: tidemark stream list.';
  END IF;
  RETURN found_id;
END $$;

-- Appends a record to a stream in the caller's transaction.
CREATE FUNCTION tidemark.put(stream_name text, partition_key text, data bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  of_stream integer;
BEGIN
  IF partition_key IS NULL OR data IS NULL THEN
    RAISE EXCEPTION 'a record needs a partition key and data' USING ERRCODE = 'TM005';
  END IF;
  of_stream := tidemark.find_stream(stream_name);
  -- An id is only taken by a transaction that has its xid: see candidate_xid in tidemark.step.
  PERFORM pg_current_xact_id();
  EXECUTE format('INSERT INTO tidemark.%I (partition_key, data, size_in_bytes) '
    'VALUES ($1, $2, octet_length($1) + octet_length($2))', 'inbox_' || of_stream)
    USING partition_key, data;
  IF pg_try_advisory_xact_lock(hashtext('tidemark.wake'), of_stream) THEN
    PERFORM pg_notify('tidemark_inbox_' || of_stream, '');
  END IF;
END $$;

-- The position before the first record of a shard that is not older than since; the stream's head if there is
-- none yet. Partitions that were closed before then are not looked at.
CREATE FUNCTION tidemark.position_at(of_stream integer, of_ordinal integer, since timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  head bigint;
  first_partition bigint;
  first_record bigint;
BEGIN
  SELECT max(s.head) INTO head FROM tidemark.step s WHERE s.stream_id = of_stream;
  SELECT min(p.partition_ordinal) INTO first_partition FROM tidemark.log_partition p
    WHERE p.stream_id = of_stream AND (p.closed_at IS NULL OR p.closed_at >= since);
  EXECUTE format('SELECT l.sequence_number FROM tidemark.%I l WHERE l.shard_ordinal = $1 '
      'AND l.sequence_number >= $2 AND l.created_at >= $3 ORDER BY l.sequence_number LIMIT 1', 'log_' || of_stream)
    INTO first_record USING of_ordinal, coalesce(first_partition << 32, 0), since;
  RETURN coalesce(first_record - 1, head);
END $$;

-- Keeps retention: drops what is older. Anybody may call it as often as they like; a call that would have to
-- wait for others changes nothing and returns false, and a later one does the work.
CREATE FUNCTION tidemark.maintain_stream(of_stream integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '100ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream tidemark.stream;
  last_step tidemark.step;
  horizon timestamptz;
  old_partition tidemark.log_partition;
  partition_name text;
  oldest_kept bigint;
  gone integer;
BEGIN
  PERFORM tidemark.check_isolation();
  PERFORM pg_advisory_xact_lock(hashtext('tidemark.step'), of_stream);
  SELECT * INTO stream FROM tidemark.stream s WHERE s.stream_id = of_stream;
  IF NOT FOUND THEN
    RETURN true;
  END IF;
  IF stream.status = 'ENABLED' AND stream.source_table IS NOT NULL
    AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = stream.source_table) THEN
    PERFORM tidemark.disable_stream(of_stream);
    RETURN true;
  END IF;
  horizon := clock_timestamp() - stream.retention;
  SELECT * INTO STRICT last_step FROM tidemark.step s
    WHERE s.stream_id = of_stream ORDER BY s.head DESC LIMIT 1;
  DELETE FROM tidemark.step s WHERE s.stream_id = of_stream AND s.head < last_step.head
    AND s.moved_at < clock_timestamp() - interval '1 minute';

  FOR old_partition IN SELECT * FROM tidemark.log_partition p WHERE p.stream_id = of_stream
    AND coalesce(p.closed_at, last_step.moved_at) < horizon ORDER BY p.partition_ordinal
  LOOP
    partition_name := format('log_%s_%s', of_stream, old_partition.partition_ordinal);
    EXECUTE format($sql$
      UPDATE tidemark.shard AS s SET trimmed_through = l.last
      FROM tidemark.shard AS t CROSS JOIN LATERAL (
        SELECT max(r.sequence_number) AS last FROM tidemark.%I AS r WHERE r.shard_ordinal = t.shard_ordinal) AS l
      WHERE t.stream_id = $1 AND s.stream_id = $1 AND s.shard_ordinal = t.shard_ordinal AND l.last IS NOT NULL
      $sql$, partition_name) USING of_stream;
    EXECUTE format('DROP TABLE tidemark.%I', partition_name);
    DELETE FROM tidemark.log_partition p
      WHERE p.stream_id = of_stream AND p.partition_ordinal = old_partition.partition_ordinal;
  END LOOP;

  SELECT min(p.partition_ordinal) << 32 INTO oldest_kept FROM tidemark.log_partition p WHERE p.stream_id = of_stream;
  DELETE FROM tidemark.shard s WHERE s.stream_id = of_stream AND s.closed_at < horizon
    AND (oldest_kept IS NULL OR s.ending_sequence < oldest_kept);
  GET DIAGNOSTICS gone = ROW_COUNT;
  IF gone > 0 THEN
    UPDATE tidemark.stream s SET topology_version = s.topology_version + 1 WHERE s.stream_id = of_stream;
  END IF;
  IF stream.status = 'DISABLED' AND oldest_kept IS NULL AND stream.disabled_at < horizon THEN
    EXECUTE format('DROP TABLE tidemark.%I, tidemark.%I', 'inbox_' || of_stream, 'log_' || of_stream);
    DELETE FROM tidemark.stream s WHERE s.stream_id = of_stream;
  END IF;
  RETURN true;
EXCEPTION WHEN lock_not_available THEN
  RETURN false;
END $$;
