-- Capture by logical decoding: a replication slot keeps the write-ahead log of the table's changes until a capturer
-- (any process that pumps the stream) has appended them to the stream's log. A slot cannot be made in a transaction
-- that has written, so enabling is several steps, and a capture exists before its stream does.
CREATE TABLE tidemark.logical_capture (
  capture_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- Null while the stream is being enabled, and once it is gone.
  stream_id integer UNIQUE REFERENCES tidemark.stream ON DELETE SET NULL,
  source_table regclass NOT NULL,
  -- What the table had before, to be restored.
  replica_identity "char" NOT NULL,
  replica_index text,
  -- Transactions that commit after this place are not the stream's any more; null until it is being disabled.
  ends_at pg_lsn,
  -- A cut, for a snapshot that is made for an application: until its place is known nothing is appended, and nothing
  -- from after it until the snapshot has begun. It is void when its time is up or its maker's lock is free.
  cut_id uuid,
  cut_for text,
  cut_at pg_lsn,
  cut_until timestamptz,
  -- The most bytes of write-ahead log that the slot may keep the server from removing.
  maximum_lag bigint NOT NULL CHECK (maximum_lag > 0),
  -- What the messages begin with that its own functions put into the write-ahead log. Any role may put messages
  -- there, so it is a secret.
  message_prefix text NOT NULL DEFAULT 'tidemark_' || gen_random_uuid(),
  -- The attributes of the composite types in the table's columns: see tidemark.follow_types.
  attributes text,
  -- When slot and publication were removed, and the table's replica identity restored.
  ended_at timestamptz
);

-- What the functions of a table's owner need to know of its captures: whoever sees more can forge what was truncated.
CREATE VIEW tidemark.own_capture WITH (security_barrier) AS
  SELECT c.capture_id, c.message_prefix FROM tidemark.logical_capture c JOIN pg_class t ON t.oid = c.source_table
    WHERE pg_has_role(t.relowner, 'USAGE');

-- How far the table has been captured, a row for every append: rows are only added, as in tidemark.step.
CREATE TABLE tidemark.capture_progress (
  capture_id integer NOT NULL REFERENCES tidemark.logical_capture ON DELETE CASCADE,
  head bigint NOT NULL,
  -- Transactions whose commit stands before this place are in the log.
  lsn pg_lsn NOT NULL,
  -- So many changes of the next one are in there, too.
  changes bigint NOT NULL,
  PRIMARY KEY (capture_id, head)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- Slots are the server's and not a database's, so their names hold the database.
CREATE FUNCTION tidemark.slot_name(of_capture integer) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('tidemark_%s_%s', d.oid, of_capture) FROM pg_database d WHERE d.datname = current_database()
$$;

-- The publications, but for a capture's own, that have a list of the table's columns: with REPLICA IDENTITY FULL its
-- updates and deletes fail.
CREATE FUNCTION tidemark.narrow_publications(source oid, own text DEFAULT NULL) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg(quote_ident(p.pubname), ', ' ORDER BY p.pubname)
    FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
    -- By its name, because servers before version 15 have no such column.
    WHERE r.prrelid = source AND to_jsonb(r) ->> 'prattrs' IS NOT NULL AND (p.pubupdate OR p.pubdelete)
      AND p.pubname IS DISTINCT FROM own
$$;

-- What keeps a table from being captured by logical decoding, and what to do about it; nulls if nothing does.
CREATE FUNCTION tidemark.logical_capture_problem(source regclass, OUT problem text, OUT remedy text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  class pg_class;
  culprit text;
BEGIN
  SELECT * INTO STRICT class FROM pg_class c WHERE c.oid = source;
  IF current_setting('wal_level') <> 'logical' THEN
    problem := format('the server''s wal_level is %s', current_setting('wal_level'));
    remedy := 'ALTER SYSTEM SET wal_level = ''logical'' and restart the server, or capture by trigger.';
  ELSIF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = current_user AND (r.rolreplication OR r.rolsuper)) THEN
    problem := format('the role %I may not replicate', current_user);
    remedy := format('ALTER ROLE %I REPLICATION, or capture by trigger.', current_user);
  ELSIF NOT pg_has_role(class.relowner, 'USAGE') THEN
    problem := format('the role %I does not own the table %s', current_user, source);
    remedy := 'Enable the stream as the table''s owner: its REPLICA IDENTITY is to be changed.';
  ELSIF NOT has_database_privilege(current_database(), 'CREATE') THEN
    problem := format('the role %I may not create a publication', current_user);
    remedy := format('GRANT CREATE ON DATABASE %I TO %I.', current_database(), current_user);
  ELSIF class.relkind = 'p' THEN
    problem := format('%s is partitioned', source);
    remedy := 'A new partition would not have the REPLICA IDENTITY that is needed. Capture by trigger.';
  ELSIF EXISTS (SELECT FROM pg_attribute a
      WHERE a.attrelid = source AND a.attgenerated <> '' AND NOT a.attisdropped) THEN
    problem := format('%s has generated columns', source);
    remedy := 'Logical decoding leaves them out. Capture by trigger.';
  ELSE
    SELECT format_type(p.type, NULL) INTO culprit FROM tidemark.type_parts(tidemark.column_types(source)) AS p (type)
      JOIN pg_cast c ON c.castsource = p.type AND c.casttarget = 'json'::regtype AND c.castmethod = 'f' LIMIT 1;
    IF culprit IS NOT NULL THEN
      problem := format('%s has values of the type %s, which has a cast to json of its own', source, culprit);
      remedy := 'Only the server can run that. Capture by trigger.';
      RETURN;
    END IF;
    culprit := tidemark.narrow_publications(source);
    IF culprit IS NOT NULL THEN
      problem := format('%s is published with a list of columns (%s): with the REPLICA IDENTITY that is needed, updates '
        'and deletes would fail', source, culprit);
      remedy := 'Publish all of its columns there, or capture by trigger.';
    END IF;
  END IF;
END $$;

-- Enabling, first step: refuses a table that cannot be captured, and prepares one that can. The caller's session holds
-- the capture's lock from here on, which says that this is not a remainder of somebody's death.
CREATE FUNCTION tidemark.prepare_logical_capture(
  source regclass, stream_name text, view text, kept_for interval, shard_count integer, most_lag bigint
) RETURNS integer
LANGUAGE plpgsql
-- Whoever waits after this transaction's locks waits no longer than this. The caller tries again.
SET lock_timeout = '500ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  class pg_class;
  before tidemark.logical_capture;
  problem text;
  remedy text;
  new_id integer;
BEGIN
  -- The slot is on disk as soon as it is made, and would outlive this in a crash.
  IF current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
  -- All that may be wrong with the rest is found out by doing it and undoing it.
  BEGIN
    PERFORM tidemark.begin_stream(source, stream_name, view, kept_for, shard_count, 'LOGICAL');
    RAISE EXCEPTION USING ERRCODE = 'TM000';
  EXCEPTION WHEN SQLSTATE 'TM000' THEN
    NULL;
  END;
  SELECT p.problem, p.remedy INTO problem, remedy FROM tidemark.logical_capture_problem(source) AS p;
  IF problem IS NOT NULL THEN
    RAISE EXCEPTION '%', problem USING ERRCODE = 'TM003', HINT = remedy;
  END IF;
  IF most_lag IS NULL OR most_lag < 1048576 THEN
    RAISE EXCEPTION 'the slot may keep less than 1 MiB' USING ERRCODE = 'TM005',
      HINT = 'Allow it more write-ahead log; the default is 16 GiB.';
  END IF;
  SELECT * INTO STRICT class FROM pg_class c WHERE c.oid = source;
  -- One that has ended may have left the table as it is, and then knows what was there before.
  SELECT * INTO before FROM tidemark.logical_capture c
    WHERE c.source_table = source AND c.ended_at IS NULL ORDER BY c.capture_id LIMIT 1;
  INSERT INTO tidemark.logical_capture (source_table, replica_identity, replica_index, maximum_lag)
  VALUES (source, coalesce(before.replica_identity, class.relreplident), coalesce(before.replica_index,
    (SELECT i.indexrelid::regclass::text FROM pg_index i WHERE i.indrelid = source AND i.indisreplident)), most_lag)
  RETURNING capture_id INTO new_id;
  PERFORM tidemark.appear('enabling of ' || new_id);
  -- For the old row of each change: the old image, and values that are too large to be in the log twice.
  EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', source);
  EXECUTE format('CREATE PUBLICATION %I FOR TABLE %s, tidemark.expiry_run WITH (publish = ''insert, update, delete, truncate'')',
    'tidemark_' || new_id, source);
  RETURN new_id;
END $$;

-- A mark in the log: what committed before the call is before it, what commits later is after it.
CREATE FUNCTION tidemark.mark_log(of_capture integer) RETURNS pg_lsn
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT pg_logical_emit_message(true, 'tidemark_' || of_capture, '')
$$;

-- Enabling, last step, once the slot is there: the stream begins with the changes that commit after this transaction's
-- lock on the table.
CREATE FUNCTION tidemark.enable_logical_stream(
  of_capture integer, source regclass, stream_name text, view text, kept_for interval, shard_count integer
) RETURNS integer
LANGUAGE plpgsql SET lock_timeout = '500ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  new_id integer;
BEGIN
  new_id := tidemark.begin_stream(source, stream_name, view, kept_for, shard_count, 'LOGICAL');
  UPDATE tidemark.logical_capture c SET stream_id = new_id WHERE c.capture_id = of_capture;
  PERFORM tidemark.create_triggers(new_id);
  INSERT INTO tidemark.capture_progress (capture_id, head, lsn, changes)
    VALUES (of_capture, 0, tidemark.mark_log(of_capture), 0);
  RETURN new_id;
END $$;

-- A decoded TRUNCATE has no rows. Its trigger puts the key and the image of each into the log, as messages of the
-- transaction, parted by a byte that no JSON has. An empty one says that the trigger was there.
CREATE FUNCTION tidemark.create_truncate_function(of_stream integer, of_capture integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream tidemark.stream;
BEGIN
  SELECT * INTO STRICT stream FROM tidemark.stream s WHERE s.stream_id = of_stream;
  EXECUTE format('CREATE OR REPLACE FUNCTION tidemark.%I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS %L',
    'truncate_' || of_stream, format($body$
DECLARE
  prefix CONSTANT text := (SELECT c.message_prefix FROM tidemark.own_capture AS c WHERE c.capture_id = %s);
BEGIN
  PERFORM pg_logical_emit_message(true, prefix, '');
  EXECUTE %L || %s || ')) FROM ONLY ' || TG_RELID::regclass || ' AS "tidemark item"' USING prefix;
  RETURN NULL;
END $body$,
    of_capture, format('SELECT count(pg_logical_emit_message(true, $1, %s',
      tidemark.key_expression(stream.key_columns, stream.key_spellings, '"tidemark item"')),
    CASE WHEN stream.view_type IN ('OLD_IMAGE', 'NEW_AND_OLD_IMAGES')
      THEN format('%L || %s', ' || chr(1) || ', tidemark.truncated_image(stream.maximum_image_size)) ELSE '''''' END));
  PERFORM tidemark.give_away(format('tidemark.%I()', 'truncate_' || of_stream), stream.source_table);
END $$;

-- Gives up the cut of a snapshot that nobody makes any more, or whose maker takes too long.
CREATE FUNCTION tidemark.drop_void_cut(of_stream integer) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  UPDATE tidemark.logical_capture c SET cut_id = NULL, cut_for = NULL, cut_at = NULL, cut_until = NULL
    WHERE c.stream_id = of_stream AND c.cut_id IS NOT NULL AND (c.cut_until < clock_timestamp()
      OR NOT tidemark.is_present(tidemark.snapshot_work(of_stream, c.cut_for)))
$$;

-- Whoever captures looks a table's types up when the server describes the table, which it does not do for an attribute of
-- a type that is renamed. Has it look again, if one was: its images had the old name until then.
CREATE FUNCTION tidemark.follow_types(of_stream integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  capture tidemark.logical_capture;
  now_there text;
BEGIN
  SELECT * INTO capture FROM tidemark.logical_capture c WHERE c.stream_id = of_stream AND c.ended_at IS NULL;
  IF capture.capture_id IS NULL THEN
    RETURN;
  END IF;
  SELECT coalesce(string_agg(format('%s.%I', t.oid::regtype, a.attname), ', ' ORDER BY t.oid, a.attnum), '')
    INTO now_there
    FROM tidemark.type_parts(tidemark.column_types(capture.source_table)) AS p (type)
    JOIN pg_type t ON t.oid = p.type AND t.typtype = 'c'
    JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped;
  IF now_there IS NOT DISTINCT FROM capture.attributes THEN
    RETURN;
  END IF;
  UPDATE tidemark.logical_capture c SET attributes = now_there WHERE c.capture_id = capture.capture_id;
  IF capture.attributes <> '' THEN
    BEGIN
      PERFORM pg_terminate_backend(r.active_pid) FROM pg_replication_slots r
        WHERE r.slot_name = tidemark.slot_name(capture.capture_id) AND r.active;
    EXCEPTION WHEN insufficient_privilege THEN
      -- It looks when it begins again.
      NULL;
    END;
    INSERT INTO tidemark.stream_problem (stream_id, condition, problem, remedy, well_at, gone_at, is_mended)
      SELECT of_stream, 'types', format('the attributes of its composite types were (%s), and are (%s): images may have '
          'the old ones', capture.attributes, now_there), 'Read the old names as well as the new ones.',
        (SELECT greatest(s.created_at, n.looked_at) FROM tidemark.stream s, tidemark.conditions_look n
          WHERE s.stream_id = of_stream), clock_timestamp(), true;
  END IF;
END $$;

-- How far a stream has been captured, for a process that wants to go on; no row where decoding does not capture it.
-- ends_at is how far that may go. is_held says that there is nothing to capture until something else has happened: a
-- cut's place is not known yet, or all before ends_at is captured.
CREATE FUNCTION tidemark.capture_state(
  of_stream integer, OUT capture_id integer, OUT slot text, OUT source_table bigint, OUT key_columns text[],
  OUT view_type text, OUT maximum_image_size integer, OUT message_prefix text, OUT ends_at text, OUT lsn text,
  OUT changes bigint, OUT is_active boolean, OUT confirmed text, OUT is_held boolean)
RETURNS SETOF record
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT tidemark.require('{capturer,consumer,administrator}', of_stream);
  SELECT tidemark.drop_void_cut(of_stream);
  SELECT c.capture_id, r.slot_name::text, c.source_table::oid::bigint, s.key_columns, s.view_type,
      s.maximum_image_size,
      -- No secret of those who may append.
      CASE WHEN tidemark.may('{capturer}', s.name) THEN c.message_prefix ELSE '' END,
      least(c.ends_at, c.cut_at)::text, p.lsn::text, p.changes, r.active, r.confirmed_flush_lsn::text,
      c.cut_id IS NOT NULL AND c.cut_at IS NULL
        OR coalesce(r.confirmed_flush_lsn >= least(c.ends_at, c.cut_at), false)
    FROM tidemark.logical_capture c
    JOIN tidemark.stream s USING (stream_id)
    CROSS JOIN LATERAL (SELECT q.lsn, q.changes FROM tidemark.capture_progress q
      WHERE q.capture_id = c.capture_id ORDER BY q.head DESC LIMIT 1) AS p
    LEFT JOIN pg_replication_slots r ON r.slot_name = tidemark.slot_name(c.capture_id)
    WHERE c.stream_id = of_stream AND s.status = 'ENABLED' AND c.ended_at IS NULL
$$;

-- Writes the function that appends to one stream's log, so that its statement is planned once a session.
CREATE FUNCTION tidemark.create_append_function(of_stream integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format($create$
CREATE OR REPLACE FUNCTION tidemark.%1$I(
  last tidemark.step, base bigint, events text[], keys text[], new_images json[], old_images json[],
  causes text[], sizes integer[], times timestamptz[]
) RETURNS bigint
LANGUAGE plpgsql
-- A plan for this call's arrays would be no better than one for any, and is made again each time.
SET plan_cache_mode = force_generic_plan SET jit = off SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
  routing record := tidemark.route_records(%2$s);
  next_head bigint;
BEGIN
  WITH written AS (
    INSERT INTO tidemark.%3$I (shard_ordinal, sequence_number, event_name, cause, partition_key, new_image, old_image,
      size_in_bytes, created_at)
    SELECT routing.ordinals[width_bucket(tidemark.partition_hash(r.key), routing.starts)], r.number, r.event,
      r.cause::"char", r.key, r.new_image, r.old_image, r.size, r.at
    -- Not FROM unnest: that stores each array's elements before the first is used.
    FROM (
      SELECT generate_series(base + 1, base + cardinality(events)) AS number, unnest(events) AS event,
        unnest(keys) AS key, unnest(new_images) AS new_image,
        unnest(old_images) AS old_image, unnest(causes) AS cause, unnest(sizes) AS size, unnest(times) AS at
    ) AS r
    RETURNING shard_ordinal, sequence_number
  ), heads AS (
    SELECT w.shard_ordinal, max(w.sequence_number) AS head, count(*) AS moved FROM written AS w GROUP BY 1
  )
  INSERT INTO tidemark.step
    (stream_id, head, shard_ordinals, shard_heads, shard_counts, inbox_floor, candidate_id, candidate_xid)
  SELECT %2$s, max(h.head), array_agg(h.shard_ordinal), array_agg(h.head), array_agg(h.moved::integer),
    last.inbox_floor, last.candidate_id, last.candidate_xid
  FROM heads AS h HAVING count(*) > 0
  RETURNING head INTO next_head;
  RETURN next_head;
END $body$
$create$,
    'append_' || of_stream, of_stream, 'log_' || of_stream);
  PERFORM tidemark.make_private('ROUTINE', p.oid::regprocedure::text) FROM pg_proc AS p
    WHERE p.pronamespace = 'tidemark'::regnamespace AND p.proname = 'append_' || of_stream;
END $$;

-- Appends captured records to the log, in the order in which they are given: the one that was captured from from_lsn
-- and from_changes up to to_lsn and to_changes. Without records only the place moves: past a commit whose changes have
-- all been appended before. Returns false, and does nothing, if the log is not at that place any
-- more, or the stream's end or its cut is another one than the caller knows: then the caller must begin again. So each
-- change is appended once, whoever was taken for dead.
CREATE FUNCTION tidemark.append_captured(
  of_stream integer, of_capture integer, known_end pg_lsn, from_lsn pg_lsn, from_changes bigint, to_lsn pg_lsn,
  to_changes bigint, events text[], keys text[], new_images json[], old_images json[], causes text[],
  sizes integer[], times timestamptz[]
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  last tidemark.step;
  is_current boolean;
  base bigint;
  next_head bigint;
BEGIN
  PERFORM tidemark.check_isolation();
  PERFORM tidemark.require('{capturer}', of_stream);
  -- The slot's session may count as a synchronous standby, and confirms only after this has committed. So this commit
  -- waits for no standby, only for the disk.
  PERFORM set_config('synchronous_commit', 'local', true);
  PERFORM tidemark.take_turn(of_stream);
  SELECT s.status = 'ENABLED' AND least(c.ends_at, c.cut_at) IS NOT DISTINCT FROM known_end
      AND (c.cut_id IS NULL OR c.cut_at IS NOT NULL) AND p.lsn = from_lsn AND p.changes = from_changes
    INTO is_current
    FROM tidemark.stream s
    JOIN tidemark.logical_capture c USING (stream_id)
    CROSS JOIN LATERAL (SELECT q.lsn, q.changes FROM tidemark.capture_progress q
      WHERE q.capture_id = c.capture_id ORDER BY q.head DESC LIMIT 1) AS p
    WHERE s.stream_id = of_stream AND c.capture_id = of_capture;
  IF is_current IS NOT TRUE THEN
    RETURN false;
  END IF;
  IF cardinality(events) = 0 THEN
    UPDATE tidemark.capture_progress p SET lsn = to_lsn, changes = to_changes
      WHERE p.capture_id = of_capture AND p.head = (SELECT max(q.head) FROM tidemark.capture_progress q
        WHERE q.capture_id = of_capture);
    RETURN true;
  END IF;
  PERFORM tidemark.follow_history(of_stream);
  SELECT * INTO STRICT last FROM tidemark.step s WHERE s.stream_id = of_stream ORDER BY s.head DESC LIMIT 1;
  base := greatest(last.head, tidemark.current_log_partition(of_stream, last.head) << 32);
  EXECUTE format('SELECT tidemark.%I($1, $2, $3, $4, $5, $6, $7, $8, $9)', 'append_' || of_stream) INTO next_head
    USING last, base, events, keys, new_images, old_images, causes, sizes, times;
  INSERT INTO tidemark.capture_progress (capture_id, head, lsn, changes)
    VALUES (of_capture, next_head, to_lsn, to_changes);
  PERFORM tidemark.ring(of_stream);
  RETURN true;
END $$;

-- Disabling, first step: fixes the place after which changes are not the stream's any more. The first call decides, and
-- is all that can fail: what follows waits for nobody's lock on the table, and whoever looks after the stream does it
-- (maintain_logical_capture) if the caller does not live to do it.
CREATE FUNCTION tidemark.end_logical_capture(of_stream integer) RETURNS pg_lsn
LANGUAGE plpgsql SET lock_timeout = '500ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  capture tidemark.logical_capture;
  source text;
BEGIN
  -- The slot may be confirmed up to the place as soon as it is known.
  IF current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
  SELECT * INTO STRICT capture FROM tidemark.logical_capture c WHERE c.stream_id = of_stream;
  IF capture.ends_at IS NOT NULL THEN
    RETURN capture.ends_at;
  END IF;
  SELECT format('%I.%I', n.nspname, c.relname) INTO source
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = capture.source_table;
  IF source IS NOT NULL THEN
    -- Waits for the table's writers.
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', source);
    PERFORM tidemark.switch_triggers_off(of_stream);
  END IF;
  UPDATE tidemark.logical_capture c SET ends_at = coalesce(c.ends_at, tidemark.mark_log(c.capture_id))
    WHERE c.stream_id = of_stream RETURNING * INTO capture;
  RETURN capture.ends_at;
END $$;

-- Removes a capture's slot, whoever uses it and whatever becomes of this transaction: it is what keeps the server's
-- disk from being freed.
CREATE FUNCTION tidemark.drop_slot(of_capture integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  slot pg_replication_slots;
BEGIN
  FOR i IN 1..200 LOOP
    SELECT * INTO slot FROM pg_replication_slots r WHERE r.slot_name = tidemark.slot_name(of_capture);
    IF NOT FOUND THEN
      RETURN;
    ELSIF slot.active THEN
      PERFORM pg_terminate_backend(slot.active_pid);
      PERFORM pg_sleep(0.01);
    ELSE
      BEGIN
        PERFORM pg_drop_replication_slot(slot.slot_name);
      EXCEPTION WHEN object_in_use OR undefined_object THEN
        NULL;
      END;
    END IF;
  END LOOP;
  RAISE EXCEPTION 'the replication slot % cannot be dropped while the process % uses it', slot.slot_name,
    slot.active_pid USING ERRCODE = 'object_in_use', HINT = 'End that process: SELECT pg_terminate_backend(...).';
END $$;

-- Removes what a capture has of its own. Returns false if the table's REPLICA IDENTITY has to wait until nobody reads
-- the table; then maintenance calls this again.
CREATE FUNCTION tidemark.drop_logical_capture(of_capture integer) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '100ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  capture tidemark.logical_capture;
  source text;
BEGIN
  SELECT * INTO capture FROM tidemark.logical_capture c WHERE c.capture_id = of_capture FOR UPDATE;
  IF NOT FOUND THEN
    RETURN true;
  END IF;
  PERFORM tidemark.drop_slot(of_capture);
  EXECUTE format('DROP PUBLICATION IF EXISTS %I', 'tidemark_' || of_capture);
  SELECT format('%I.%I', n.nspname, c.relname) INTO source
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = capture.source_table AND c.relreplident = 'f';
  -- Another one may have begun meanwhile, and has noted FULL as what was there before.
  IF source IS NOT NULL AND capture.ended_at IS NULL AND NOT EXISTS (SELECT FROM tidemark.logical_capture o
      WHERE o.source_table = capture.source_table AND o.capture_id <> of_capture AND o.ended_at IS NULL) THEN
    BEGIN
      EXECUTE format('ALTER TABLE %s REPLICA IDENTITY %s', source, CASE capture.replica_identity
        WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
        WHEN 'i' THEN coalesce('USING INDEX ' || (SELECT quote_ident(c.relname) FROM pg_class c
          WHERE c.oid = to_regclass(capture.replica_index)), 'DEFAULT')
        ELSE 'DEFAULT' END);
    EXCEPTION WHEN lock_not_available THEN
      RETURN false;
    END;
  END IF;
  IF capture.stream_id IS NULL THEN
    DELETE FROM tidemark.logical_capture c WHERE c.capture_id = of_capture;
  ELSE
    UPDATE tidemark.logical_capture c SET ended_at = clock_timestamp() WHERE c.capture_id = of_capture;
  END IF;
  RETURN true;
END $$;

-- Removes what is left of a capture unless its stream is enabled. Whoever enables may not know whether it is, so
-- this waits for its COMMIT.
CREATE FUNCTION tidemark.drop_unused_capture(of_capture integer) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '100ms' SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM FROM tidemark.logical_capture c WHERE c.capture_id = of_capture FOR UPDATE;
  RETURN EXISTS (SELECT FROM tidemark.logical_capture c JOIN tidemark.stream s USING (stream_id)
    WHERE c.capture_id = of_capture AND s.status = 'ENABLED') OR tidemark.drop_logical_capture(of_capture);
END $$;

-- Removes what is left of captures whose enabling or disabling somebody's death has cut short. Returns what could not
-- be removed, and why: one of them must not keep the others.
CREATE FUNCTION tidemark.drop_dead_captures() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  dead record;
  problems text[];
BEGIN
  FOR dead IN
    SELECT c.capture_id, false AS is_unknown
      FROM tidemark.logical_capture c LEFT JOIN tidemark.stream s USING (stream_id)
      WHERE c.ended_at IS NULL AND s.status IS DISTINCT FROM 'ENABLED' OR c.ended_at IS NOT NULL AND c.stream_id IS NULL
    UNION ALL
    -- Slots that no capture is known of: it was lost, or replaced by one from a backup. They keep the log for nobody.
    SELECT split_part(r.slot_name, '_', 3)::integer, true FROM pg_replication_slots r
      WHERE r.slot_name ~ '^tidemark_[0-9]+_[0-9]+$' AND r.database = current_database() AND NOT r.active
        AND r.slot_name = tidemark.slot_name(split_part(r.slot_name, '_', 3)::integer)
        AND NOT EXISTS (SELECT FROM tidemark.logical_capture c
          WHERE c.capture_id = split_part(r.slot_name, '_', 3)::integer)
        AND EXISTS (SELECT FROM pg_roles o WHERE o.rolname = current_user AND (o.rolreplication OR o.rolsuper))
  LOOP
    BEGIN
      -- The session that enables has the lock until it has committed.
      IF NOT tidemark.is_present('enabling of ' || dead.capture_id) THEN
        IF dead.is_unknown THEN
          PERFORM tidemark.drop_slot(dead.capture_id);
        ELSE
          PERFORM tidemark.drop_unused_capture(dead.capture_id);
        END IF;
      END IF;
    EXCEPTION WHEN OTHERS THEN
      problems := problems || format('tidemark_%s: %s', dead.capture_id, sqlerrm);
    END;
  END LOOP;
  RETURN array_to_string(problems, '; ');
END $$;

-- Ends an enabled stream whose capture cannot go on, with the reason. Changes are missing then, which readers learn at
-- its end. A capturer does so where it captures; elsewhere it is disabling, which is for whoever owns the table.
CREATE FUNCTION tidemark.fail_stream(of_stream integer, reason text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM tidemark.require('{capturer,administrator}', of_stream);
  PERFORM tidemark.require_ownership(s.source_table) FROM tidemark.stream s
    WHERE s.stream_id = of_stream AND NOT (s.capture = 'LOGICAL' AND tidemark.may('{capturer}', s.name));
  PERFORM tidemark.end_failed_stream(of_stream, reason);
END $$;

CREATE FUNCTION tidemark.end_failed_stream(of_stream integer, reason text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE tidemark.stream s SET failure = coalesce(s.failure, reason)
    WHERE s.stream_id = of_stream AND s.status = 'ENABLED';
  IF FOUND THEN
    PERFORM tidemark.end_stream(of_stream);
    PERFORM tidemark.drop_logical_capture(c.capture_id) FROM tidemark.logical_capture c
      WHERE c.stream_id = of_stream AND c.ended_at IS NULL;
  END IF;
END $$;

-- Ends a stream whose slot is lost, or keeps more of the write-ahead log than it may. Returns the reason, or null if all
-- is well. Also completes a disabling that somebody's death has cut short.
CREATE FUNCTION tidemark.maintain_logical_capture(of_stream integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  capture tidemark.logical_capture;
  slot pg_replication_slots;
  lag numeric;
  reason text;
BEGIN
  PERFORM tidemark.require('{consumer,administrator,capturer}', of_stream);
  SELECT c.* INTO capture FROM tidemark.logical_capture c JOIN tidemark.stream s USING (stream_id)
    WHERE c.stream_id = of_stream AND s.status = 'ENABLED' AND c.ended_at IS NULL;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  DELETE FROM tidemark.capture_progress p WHERE p.capture_id = capture.capture_id AND p.head < (
    SELECT max(q.head) FROM tidemark.capture_progress q WHERE q.capture_id = capture.capture_id);
  SELECT * INTO slot FROM pg_replication_slots r WHERE r.slot_name = tidemark.slot_name(capture.capture_id);
  lag := pg_wal_lsn_diff(pg_current_wal_lsn(), slot.restart_lsn);
  IF capture.ends_at IS NOT NULL AND slot.confirmed_flush_lsn >= capture.ends_at THEN
    PERFORM tidemark.end_stream(of_stream);
    PERFORM tidemark.drop_logical_capture(capture.capture_id);
    RETURN NULL;
  ELSIF slot.slot_name IS NULL THEN
    reason := format('its replication slot %s was dropped', tidemark.slot_name(capture.capture_id));
  ELSIF slot.wal_status = 'lost' THEN
    reason := format('its replication slot %s has lost its place: %s', slot.slot_name,
      -- Servers before version 17 do not say it.
      CASE to_jsonb(slot) ->> 'invalidation_reason'
        WHEN 'idle_timeout' THEN format('nobody has captured for longer than the server''s '
          'idle_replication_slot_timeout (%s)', current_setting('idle_replication_slot_timeout'))
        WHEN 'rows_removed' THEN 'the server has removed rows of its catalog that it needed'
        WHEN 'wal_level_insufficient' THEN 'the server''s wal_level was not logical'
        ELSE format('the server has removed write-ahead log that it needed (its max_slot_wal_keep_size is %s)',
          current_setting('max_slot_wal_keep_size')) END);
  ELSIF lag > capture.maximum_lag THEN
    reason := format('its replication slot %s kept %s of write-ahead log, more than the %s that it may',
      slot.slot_name, pg_size_pretty(lag), pg_size_pretty(capture.maximum_lag));
  ELSE
    RETURN NULL;
  END IF;
  BEGIN
    PERFORM tidemark.end_failed_stream(of_stream, reason);
  EXCEPTION WHEN lock_not_available THEN
    -- Somebody writes to the table, whose transaction may be what the slot keeps the log for. It waits for its end, but
    -- not with the slot.
    UPDATE tidemark.stream s SET failure = coalesce(s.failure, reason) WHERE s.stream_id = of_stream;
    PERFORM tidemark.drop_slot(capture.capture_id);
  END;
  RETURN (SELECT s.failure FROM tidemark.stream s WHERE s.stream_id = of_stream);
END $$;
