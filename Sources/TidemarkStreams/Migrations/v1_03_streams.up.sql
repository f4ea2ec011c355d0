-- Errors of these functions carry a SQLSTATE of class TM: TM001 stream not found, TM002 stream disabled,
-- TM003 unsupported, TM004 shard not found, TM005 invalid argument.

CREATE TABLE tidemark.stream (
  stream_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL CHECK (name <> '' AND strpos(name, '/') = 0),
  -- The creation time in UTC, as DynamoDB Streams labels a stream. Leases contain name/label.
  label text NOT NULL,
  -- The first half of the ids of its records: random, so that they are unique beyond this database.
  uid bigint NOT NULL DEFAULT ('x' || right(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint,
  -- Null for a stream that only takes records by put. A dump has it by its name, for in the copy its number is another
  -- table's.
  source_table regclass,
  source_name text,
  view_type text CHECK (view_type IN ('KEYS_ONLY', 'NEW_IMAGE', 'OLD_IMAGE', 'NEW_AND_OLD_IMAGES')),
  key_columns text[],
  -- How their values are written in keys: see tidemark.primary_key.
  key_spellings text[],
  -- The most bytes that a row's image may have as JSON. A larger one is left out, with JSON's null as the mark of that.
  -- Two of them and a key fit into one value of the server's.
  maximum_image_size integer NOT NULL DEFAULT 16777216 CHECK (maximum_image_size BETWEEN 1048576 AND 268435456),
  -- How changes of the table are captured.
  capture text NOT NULL DEFAULT 'TRIGGER' CHECK (capture IN ('TRIGGER', 'LOGICAL')),
  status text NOT NULL DEFAULT 'ENABLED' CHECK (status IN ('ENABLED', 'DISABLED')),
  retention interval NOT NULL CHECK (retention > interval '0'),
  -- How much time one log partition covers, and so how exactly retention is kept.
  partition_interval interval NOT NULL CHECK (partition_interval > interval '0'),
  -- The column of the table that says when a row expires; null if none does.
  expiry_column text,
  -- When a role that may do so has last looked for expired rows, or the column was named.
  expired_at timestamptz,
  -- When somebody has last kept its retention.
  maintained_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- How shards manage themselves; null for never. Rates are in records a second.
  rotate_after interval DEFAULT interval '4 hours',
  split_above double precision DEFAULT 1000,
  merge_below double precision DEFAULT 10,
  sustained_time interval NOT NULL DEFAULT interval '30 seconds',
  minimum_shards integer NOT NULL,
  maximum_shards integer NOT NULL,
  -- The shards' rates hold what was written up to this head by this time.
  counted_head bigint NOT NULL DEFAULT 0,
  measured_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- When the last of the steps that are counted and that moved records did so.
  written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Rises whenever the set of shards changes.
  topology_version bigint NOT NULL DEFAULT 1,
  -- The open shards as of a version, by the hashes that they begin with.
  routing_version bigint,
  routing_starts bigint[],
  routing_ordinals integer[],
  -- The history on which its numbers were last given out: see tidemark.follow_history.
  history_number bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  disabled_at timestamptz,
  -- What made its own functions: see tidemark.create_functions.
  generator_version integer,
  -- Why it ended before somebody disabled it: changes after that are missing.
  failure text,
  UNIQUE (name, label),
  CHECK ((source_table IS NULL) = (view_type IS NULL))
);

-- Whoever adds a stream has locked this table.
CREATE TABLE tidemark.adding ();

-- Waits until it is this transaction's turn to give out numbers of a stream, or to change its shards: whoever has the turn
-- has locked a table that is there for that. Not an advisory lock, which any role of the database can take.
CREATE FUNCTION tidemark.take_turn(of_stream integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('LOCK TABLE tidemark.%I IN SHARE UPDATE EXCLUSIVE MODE', 'turn_' || of_stream);
EXCEPTION WHEN undefined_table THEN
  -- The stream is gone, which its row says.
  NULL;
END $$;

-- Rung by whoever writes to a stream's inbox, adds to its log or closes its shards. Nothing waits for a sequence, and a look
-- at a few of them says for all streams whether there may be news: see tidemark.watch.
DO $$
BEGIN
  FOR bell IN 0..31 LOOP
    EXECUTE format('CREATE SEQUENCE tidemark.%I CACHE 1', 'bell_' || bell);
  END LOOP;
END $$;

-- The bell of a stream.
CREATE FUNCTION tidemark.bell(of_stream integer) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN 'tidemark.bell_' || of_stream % 32;

CREATE FUNCTION tidemark.ring(of_stream integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM nextval(tidemark.bell(of_stream));
END $$;

CREATE UNIQUE INDEX stream_enabled_name ON tidemark.stream (name) WHERE status = 'ENABLED';
CREATE UNIQUE INDEX stream_enabled_source ON tidemark.stream (source_table) WHERE status = 'ENABLED';

CREATE TABLE tidemark.shard (
  stream_id integer NOT NULL REFERENCES tidemark.stream ON DELETE CASCADE,
  shard_ordinal integer NOT NULL,
  shard_id text NOT NULL,
  parent_ids text[] NOT NULL DEFAULT '{}',
  -- Both ends included: see tidemark.partition_hash.
  hash_start bigint NOT NULL,
  hash_end bigint NOT NULL CHECK (hash_end BETWEEN hash_start AND 4294967295),
  starting_sequence bigint NOT NULL,
  ending_sequence bigint CHECK (ending_sequence >= starting_sequence),
  -- The last of this shard's records that retention has dropped; 0 when none was.
  trimmed_through bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  closed_at timestamptz,
  -- The only application that a snapshot's shard is for; null for all others.
  application text,
  -- Records a second when they were last counted, and since when they have been enough for a split, or few enough
  -- for a merge.
  write_rate double precision NOT NULL DEFAULT 0,
  hot_since timestamptz,
  cold_since timestamptz,
  PRIMARY KEY (stream_id, shard_ordinal),
  UNIQUE (stream_id, shard_id),
  CHECK ((ending_sequence IS NULL) = (closed_at IS NULL))
);

-- Without a list of what is to be indexed later, which each look goes through: thousands of shards may be added at once.
CREATE INDEX shard_by_parent ON tidemark.shard USING gin (parent_ids) WITH (fastupdate = off);

-- The partitions of a stream's log. Ordinal p holds the sequence numbers from p << 32 up to (p + 1) << 32.
CREATE TABLE tidemark.log_partition (
  stream_id integer NOT NULL REFERENCES tidemark.stream ON DELETE CASCADE,
  partition_ordinal bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- No record was written after this; null for the partition in use.
  closed_at timestamptz,
  PRIMARY KEY (stream_id, partition_ordinal)
);

-- Where a partition key belongs among a stream's shards: 32 bits of the hash that partitions by hash rest on, and which
-- PostgreSQL therefore keeps. (A server in FIPS mode refuses MD5.)
CREATE FUNCTION tidemark.partition_hash(partition_key text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (hashtextextended(partition_key COLLATE "C", 0) >> 32) & 4294967295;

-- A text as UTF-8, also where there is none, which is an error for a session that asks for UTF-8: a character without
-- comes as its bytes, each after an FF, so that they cannot be taken for UTF-8. Where the database does not know what
-- its bytes mean (SQL_ASCII), they come as they are.
CREATE FUNCTION tidemark.utf8(value text) RETURNS bytea
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  half integer;
BEGIN
  RETURN convert_to(value, 'UTF8');
EXCEPTION WHEN untranslatable_character OR character_not_in_repertoire THEN
  half := length(value) / 2;
  IF getdatabaseencoding() = 'SQL_ASCII' THEN
    RETURN convert_to(value, 'SQL_ASCII');
  ELSIF half = 0 THEN
    RETURN decode(regexp_replace(encode(convert_to(value, getdatabaseencoding()), 'hex'), '..', 'ff\&', 'g'), 'hex');
  END IF;
  RETURN tidemark.utf8(left(value, half)) || tidemark.utf8(right(value, -half));
END $$;

-- A partition's table. Whatever must not miss a record reads these, one after the other: a session learns with some
-- delay that the log has got another partition, and may stay ignorant of it if that happens while it looks what there
-- is. What a statement on the log itself returns is what its session knows of.
CREATE FUNCTION tidemark.log_table(of_stream integer, partition_ordinal bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN format('log_%s_%s', of_stream, partition_ordinal);

-- Makes one, for all consumers of the stream, or one for a snapshot, for those of its application.
CREATE FUNCTION tidemark.create_log_table(
  of_stream integer, partition_ordinal bigint, more text DEFAULT '', of_application text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  name CONSTANT text := tidemark.log_table(of_stream, partition_ordinal);
  reader regrole;
BEGIN
  EXECUTE format('CREATE TABLE tidemark.%I (LIKE tidemark.%I INCLUDING ALL%s)', name, 'log_' || of_stream, more);
  PERFORM tidemark.make_private('TABLE', format('tidemark.%I', name));
  FOR reader IN SELECT r.* FROM tidemark.stream s CROSS JOIN LATERAL tidemark.readers(s.name, of_application) AS r
    WHERE s.stream_id = of_stream
  LOOP
    EXECUTE format('GRANT SELECT ON tidemark.%I TO %s', name, reader);
  END LOOP;
END $$;

-- One row for every sequencing step that moved something or changed the shards: the stream's head, and the heads
-- of the shards that the step wrote to. Rows are only ever appended, so a long-open snapshot, which keeps dead
-- rows from being cleaned away, does not make the newest one slower to find.
CREATE TABLE tidemark.step (
  -- No reference: to check it would lock the stream's row at every step.
  stream_id integer NOT NULL,
  head bigint NOT NULL,
  shard_ordinals integer[] NOT NULL,
  shard_heads bigint[] NOT NULL,
  -- How many records each of these shards got; 0 for one that was closed.
  shard_counts integer[] NOT NULL,
  moved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- No inbox row up to this id will be seen any more: they have been moved, or their transactions rolled back. A
  -- step starts its search after it, for the dead rows before may be many while a long-open snapshot keeps them.
  inbox_floor bigint NOT NULL DEFAULT 0,
  -- Transactions that took an id up to candidate_id had a smaller xid than candidate_xid. Once all those have
  -- ended, the floor may rise that far.
  candidate_id bigint NOT NULL DEFAULT 0,
  candidate_xid xid8 NOT NULL DEFAULT '0',
  PRIMARY KEY (stream_id, head)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- The jumps of a stream's numbers to another history. What had a number between the two ends was lost.
CREATE TABLE tidemark.jump (
  stream_id integer NOT NULL REFERENCES tidemark.stream ON DELETE CASCADE,
  history_number bigint NOT NULL,
  -- The last number that the database had given out, as far as it knew.
  from_head bigint NOT NULL,
  -- The next one is given out after this.
  to_head bigint NOT NULL,
  jumped_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- The last number that a reader is known to have seen of those that are lost; null if none is.
  lost_through bigint,
  PRIMARY KEY (stream_id, to_head)
);

-- Has the stream's numbers go on from the database's history if they were last given out on another one: whatever was
-- lost with that, no number is given out twice. Returns whether they have jumped. Before every step that gives out
-- numbers, in the stream's turn.
CREATE FUNCTION tidemark.follow_history(of_stream integer) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  current_number bigint;
  last tidemark.step;
  target bigint;
BEGIN
  -- What is read must not be lost in a crash, so it is on disk before anybody sees it. (The setting is the
  -- transaction's: no function on the way here has one of its own.)
  IF current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
  current_number := tidemark.enter_history();
  IF current_number = (SELECT s.history_number FROM tidemark.stream s WHERE s.stream_id = of_stream) THEN
    RETURN false;
  END IF;
  SELECT * INTO STRICT last FROM tidemark.step s WHERE s.stream_id = of_stream ORDER BY s.head DESC LIMIT 1;
  SELECT (greatest(((last.head + 1) >> 32) + 1, max(p.partition_ordinal) + 1, current_number) << 32) - 1 INTO target
    FROM tidemark.log_partition p WHERE p.stream_id = of_stream;
  -- Transaction ids of another server's prove nothing here, so there is no candidate.
  INSERT INTO tidemark.step (stream_id, head, shard_ordinals, shard_heads, shard_counts, inbox_floor)
    VALUES (of_stream, target, '{}', '{}', '{}', last.inbox_floor);
  INSERT INTO tidemark.jump (stream_id, history_number, from_head, to_head)
    VALUES (of_stream, current_number, last.head, target);
  UPDATE tidemark.stream s SET history_number = current_number WHERE s.stream_id = of_stream;
  PERFORM tidemark.ring(of_stream);
  RETURN true;
END $$;

-- Says that a reader had seen numbers that were lost, up to this one.
CREATE FUNCTION tidemark.note_loss(of_stream integer, through bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT tidemark.require('{consumer}', of_stream);
  UPDATE tidemark.jump j SET lost_through = through
    WHERE j.stream_id = of_stream AND j.from_head < through AND through <= j.to_head
      AND coalesce(j.lost_through < through, true)
$$;

-- Ordinals, and so ids, are unique among all streams of the name, because an application reads them as one.
CREATE FUNCTION tidemark.add_shard(
  of_stream integer, starting bigint, first_hash bigint, last_hash bigint, parents text[]
) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  next_ordinal integer;
  new_id text;
BEGIN
  SELECT coalesce(max(m.ordinal) + 1, 0) INTO next_ordinal
    FROM tidemark.stream o JOIN tidemark.stream n ON n.name = o.name
    CROSS JOIN LATERAL (SELECT max(s.shard_ordinal) FROM tidemark.shard s WHERE s.stream_id = n.stream_id)
      AS m (ordinal)
    WHERE o.stream_id = of_stream;
  new_id := 'shardId-' || lpad((extract(epoch FROM clock_timestamp()) * 1000)::bigint::text, 20, '0')
    || '-' || lpad(to_hex(next_ordinal), 8, '0');
  INSERT INTO tidemark.shard
    (stream_id, shard_ordinal, shard_id, parent_ids, hash_start, hash_end, starting_sequence)
  VALUES (of_stream, next_ordinal, new_id, parents, first_hash, last_hash, starting);
  RETURN new_id;
END $$;

-- The last shards of the streams of a name whose items may go on in a shard of these hashes: all of them if the key
-- columns are others, since an item's hash is then another one. Not VOLATILE: it must not see the shards that the
-- statement which calls it adds.
CREATE FUNCTION tidemark.last_shards(
  stream_name text, source oid, keys text[], first_hash bigint, last_hash bigint
) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(array_agg(s.shard_id ORDER BY s.shard_ordinal), '{}')
  FROM tidemark.stream o JOIN tidemark.shard s ON s.stream_id = o.stream_id
  WHERE o.name = stream_name AND s.closed_at IS NOT NULL AND s.application IS NULL
    AND s.shard_id NOT IN (SELECT unnest(c.parent_ids)
      FROM tidemark.stream d JOIN tidemark.shard c ON c.stream_id = d.stream_id WHERE d.name = stream_name)
    AND ((o.source_table, o.key_columns) IS DISTINCT FROM (source, keys)
      OR s.hash_start <= last_hash AND s.hash_end >= first_hash)
$$;

CREATE FUNCTION tidemark.partition_interval(kept_for interval) RETURNS interval
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN kept_for > interval '24 minutes' THEN kept_for / 24 ELSE least(kept_for, interval '1 minute') END
$$;

-- The stream's row, its shards, its inbox and its log: what streams with and without a table have in common.
CREATE FUNCTION tidemark.add_stream(
  stream_name text, kept_for interval, shard_count integer, source oid, source_text text, view text, keys text[]
) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  new_id integer;
  created timestamptz := clock_timestamp();
  new_label text;
  previous_head bigint;
  current_history CONSTANT bigint := tidemark.enter_history();
  hash_count CONSTANT bigint := 4294967296;
BEGIN
  IF getdatabaseencoding() = 'SQL_ASCII' THEN
    RAISE WARNING 'the encoding of this database is SQL_ASCII: a record with text that is no UTF-8 cannot be decoded'
      USING HINT = 'The failure policies of processors decide about such records.';
  END IF;
  IF stream_name = '' OR strpos(stream_name, '/') > 0 THEN
    RAISE EXCEPTION 'the stream name "%" is empty or contains a slash', stream_name USING ERRCODE = 'TM005',
      HINT = 'Choose a name without "/": the full name of a stream is name/label.';
  END IF;
  IF shard_count NOT BETWEEN 1 AND 4096 THEN
    RAISE EXCEPTION 'a stream cannot start with % shards', shard_count USING ERRCODE = 'TM005',
      HINT = 'Choose 1 to 4096 shards.';
  END IF;
  IF kept_for IS NULL OR kept_for NOT BETWEEN interval '1 second' AND interval '365 days' THEN
    RAISE EXCEPTION 'the retention % is not between a second and 365 days', kept_for USING ERRCODE = 'TM005',
      HINT = 'The default is 24 hours.';
  END IF;
  LOCK TABLE tidemark.adding IN SHARE UPDATE EXCLUSIVE MODE;
  IF EXISTS (SELECT FROM tidemark.stream s WHERE s.name = stream_name AND s.status = 'ENABLED') THEN
    RAISE EXCEPTION 'a stream named "%" is already enabled', stream_name USING ERRCODE = 'TM005',
      HINT = 'Choose another name, or disable that stream first.';
  END IF;
  LOOP
    new_label := to_char(created AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS');
    EXIT WHEN NOT EXISTS (SELECT FROM tidemark.stream s WHERE s.name = stream_name AND s.label = new_label);
    created := created + interval '1 millisecond';
  END LOOP;
  -- The id of a stream that was lost is not given to another: whoever read that one would read this.
  PERFORM setval('tidemark.stream_stream_id_seq', current_history)
    FROM tidemark.stream_stream_id_seq q WHERE q.last_value < current_history;
  -- Its numbers go on from those before, and so does what they may have lost.
  INSERT INTO tidemark.stream (name, label, source_table, source_name, view_type, key_columns, retention,
    partition_interval, minimum_shards, maximum_shards, history_number, created_at)
  VALUES (stream_name, new_label, source, source_text, view, keys, kept_for, tidemark.partition_interval(kept_for),
    shard_count, greatest(shard_count, 256), coalesce((SELECT min(s.history_number) FROM tidemark.stream s
      WHERE s.name = stream_name), current_history), created)
  RETURNING stream_id INTO new_id;
  -- Numbers go on where the last stream of the name has stopped, so that they rise from parent to child.
  SELECT coalesce(max(p.head), 0) INTO previous_head
    FROM tidemark.stream s JOIN tidemark.step p ON p.stream_id = s.stream_id WHERE s.name = stream_name;
  INSERT INTO tidemark.step (stream_id, head, shard_ordinals, shard_heads, shard_counts)
    VALUES (new_id, previous_head, '{}', '{}', '{}');
  PERFORM tidemark.follow_history(new_id);
  SELECT max(p.head) INTO previous_head FROM tidemark.step p WHERE p.stream_id = new_id;
  PERFORM tidemark.add_shard(new_id, previous_head + 1, r.first_hash, r.last_hash,
      tidemark.last_shards(stream_name, source, keys, r.first_hash, r.last_hash))
    FROM (SELECT hash_count * i / shard_count AS first_hash, hash_count * (i + 1) / shard_count - 1 AS last_hash
      FROM generate_series(0, shard_count - 1) AS i) AS r;

  -- The number must not be cached: two changes of one item are in order only because the second takes its
  -- number after the first, and the inbox's floor counts on it, too. Vacuum must not truncate: it would take a
  -- lock that stops all writers.
  EXECUTE format($sql$
    CREATE TABLE tidemark.%I (
      id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
      event_name text,
      -- What made the change: null for a write, E for the expiry job, S for a snapshot of an existing row.
      cause "char",
      partition_key text NOT NULL,
      new_image json,
      old_image json,
      data bytea,
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
      cause "char",
      partition_key text NOT NULL,
      new_image json,
      old_image json,
      data bytea,
      size_in_bytes integer NOT NULL,
      created_at timestamptz NOT NULL,
      PRIMARY KEY (shard_ordinal, sequence_number)
    ) PARTITION BY RANGE (sequence_number)$sql$, 'log_' || new_id);
  EXECUTE format('CREATE TABLE tidemark.%I ()', 'turn_' || new_id);
  PERFORM tidemark.make_private('TABLE', format('tidemark.%I', t.name || new_id || t.suffix))
    FROM (VALUES ('inbox_', ''), ('inbox_', '_id_seq'), ('log_', ''), ('turn_', '')) AS t (name, suffix);
  PERFORM tidemark.create_sequencing_function(new_id);
  PERFORM tidemark.grant_log(new_id);
  RETURN new_id;
END $$;

CREATE FUNCTION tidemark.create_stream(
  stream_name text, kept_for interval DEFAULT interval '24 hours', shard_count integer DEFAULT 4
) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT tidemark.refuse('{administrator}', stream_name) WHERE NOT tidemark.may('{administrator}', stream_name);
  SELECT tidemark.add_stream(stream_name, kept_for, shard_count, NULL, NULL, NULL, NULL)
$$;

-- The stream of a full name, or all streams of a short one that still exist.
CREATE FUNCTION tidemark.streams_named(stream_name text) RETURNS TABLE (
  stream_id integer, name text, label text, uid bigint, view_type text, capture text, status text, created_at timestamptz)
LANGUAGE sql STABLE
BEGIN ATOMIC
  -- Not all columns: a later version may add some.
  SELECT s.stream_id, s.name, s.label, s.uid, s.view_type, s.capture, s.status, s.created_at FROM tidemark.stream s
    WHERE s.name = split_part(stream_name, '/', 1)
      AND (strpos(stream_name, '/') = 0 OR s.label = split_part(stream_name, '/', 2));
END;

-- The id of a stream by its full name, or by its short one: then the enabled stream, else the newest.
CREATE FUNCTION tidemark.find_stream(stream_name text) RETURNS integer
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found_id integer;
BEGIN
  SELECT s.stream_id INTO found_id FROM tidemark.streams_named(stream_name) s
    ORDER BY s.status = 'ENABLED' DESC, s.created_at DESC LIMIT 1;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no stream "%"', stream_name USING ERRCODE = 'TM001',
      HINT = 'Enable one on a table with: tidemark stream enable TABLE. List all with: tidemark stream list.';
  END IF;
  RETURN found_id;
END $$;

-- The idempotency tokens of the records that were put, for as long as the stream keeps records.
CREATE TABLE tidemark.put_token (
  stream_id integer NOT NULL REFERENCES tidemark.stream ON DELETE CASCADE,
  token text NOT NULL,
  put_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (stream_id, token)
);

CREATE INDEX put_token_by_age ON tidemark.put_token (stream_id, put_at);

-- Appends a record to a stream in the caller's transaction. With an idempotency token, only if no record was put with the
-- same one within the stream's retention: then it returns false. It waits for a transaction that puts the same one.
CREATE FUNCTION tidemark.put(stream_name text, partition_key text, data bytea, idempotency_token text DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  of_stream integer;
  stream tidemark.stream;
BEGIN
  IF partition_key IS NULL OR data IS NULL THEN
    RAISE EXCEPTION 'a record needs a partition key and data' USING ERRCODE = 'TM005',
      HINT = 'Either may be empty, but not NULL.';
  ELSIF octet_length(idempotency_token) NOT BETWEEN 1 AND 256 THEN
    RAISE EXCEPTION 'the idempotency token has % bytes', octet_length(idempotency_token) USING ERRCODE = 'TM005',
      HINT = 'Choose one of 1 to 256 bytes that no other record of the stream has, such as a UUID.';
  END IF;
  of_stream := tidemark.find_stream(stream_name);
  SELECT * INTO STRICT stream FROM tidemark.stream s WHERE s.stream_id = of_stream;
  IF NOT tidemark.may('{producer}', stream.name) THEN
    PERFORM tidemark.refuse('{producer}', stream.name);
  ELSIF stream.source_name IS NOT NULL THEN
    RAISE EXCEPTION 'the stream "%" has the changes of the table %, and takes no other records', stream.name,
      stream.source_name USING ERRCODE = 'TM003', HINT = 'Create a stream for records: tidemark stream create NAME.';
  END IF;
  -- An id is only taken by a transaction that has its xid: see candidate_xid in tidemark.step.
  PERFORM pg_current_xact_id();
  IF idempotency_token IS NOT NULL THEN
    -- One that is older than the retention is as good as gone, whether or not maintenance has been there.
    UPDATE tidemark.put_token t SET put_at = clock_timestamp()
      WHERE t.stream_id = of_stream AND t.token = idempotency_token AND t.put_at < clock_timestamp() - stream.retention;
    IF NOT FOUND THEN
      INSERT INTO tidemark.put_token (stream_id, token) VALUES (of_stream, idempotency_token) ON CONFLICT DO NOTHING;
      IF NOT FOUND THEN
        RETURN false;
      END IF;
    END IF;
  END IF;
  EXECUTE format('INSERT INTO tidemark.%I (partition_key, data) VALUES ($1, $2)', 'inbox_' || of_stream)
    USING partition_key, data;
  PERFORM tidemark.ring(of_stream);
  RETURN true;
END $$;

-- The position before the first record of a shard that is not older than since; the stream's head if there is
-- none yet. It does not look at partitions that were closed before then.
CREATE FUNCTION tidemark.position_at(of_stream integer, of_ordinal integer, since timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  partition bigint;
  first_record bigint;
BEGIN
  PERFORM tidemark.require('{consumer}', of_stream);
  FOR partition IN SELECT p.partition_ordinal FROM tidemark.log_partition p
    WHERE p.stream_id = of_stream AND (p.closed_at IS NULL OR p.closed_at >= since) ORDER BY 1
  LOOP
    BEGIN
      EXECUTE format('SELECT l.sequence_number FROM tidemark.%I l WHERE l.shard_ordinal = $1 AND l.created_at >= $2 '
          'ORDER BY l.sequence_number LIMIT 1', tidemark.log_table(of_stream, partition))
        INTO first_record USING of_ordinal, since;
    EXCEPTION WHEN undefined_table THEN
      -- Retention has just taken it.
      CONTINUE;
    END;
    EXIT WHEN first_record IS NOT NULL;
  END LOOP;
  RETURN coalesce(first_record - 1, (SELECT max(s.head) FROM tidemark.step s WHERE s.stream_id = of_stream));
END $$;
