-- Functions have SQL-standard bodies: they are parsed now, under the migration's pinned search_path, and are
-- inlined where they are used.

-- The histories on which this database has been written, newest last. A server may come back without its newest commits:
-- as a standby that is promoted, from a backup, after a crash on a disk that lied. Whatever was given out in those
-- commits is remembered outside of the database, so nothing that is given out afterwards may look the same. Each start
-- of a server, each restored copy and each schema that is made again is a history of its own, and has a number that is
-- greater than all that may have been lost with another: the seconds since 2026. Epochs and incarnations that are given out on a history are no less than it asks for.
CREATE TABLE tidemark_leases.history (
  -- Epochs have it as their upper half.
  history_number bigint PRIMARY KEY CHECK (history_number BETWEEN 0 AND 2147483647),
  -- What tells it from others.
  server_started_at timestamptz NOT NULL,
  database_oid oid NOT NULL,
  table_oid oid NOT NULL,
  -- For people.
  timeline text NOT NULL,
  began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (server_started_at, database_oid, table_oid)
);

-- The number of the history that the database is on; null if nothing was given out on it yet.
CREATE FUNCTION tidemark_leases.known_history() RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT h.history_number FROM tidemark_leases.history h
    WHERE h.server_started_at = pg_postmaster_start_time() AND h.table_oid = 'tidemark_leases.history'::regclass
      AND h.database_oid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()));
END $$;

-- The number that a history which begins now has.
CREATE FUNCTION tidemark_leases.next_history() RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN max(h.history_number) IS NULL THEN 0 ELSE
      greatest(max(h.history_number) + 1, floor(extract(epoch FROM clock_timestamp()))::bigint - 1767225600) END
    FROM tidemark_leases.history h
$$;

-- The number of the history that the database is on. The first call on a new one notes it, and has incarnations go on
-- from 4096 times that: a whole fleet registers again at once after a loss, and may lose that within seconds.
CREATE FUNCTION tidemark_leases.enter_history() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  number bigint := tidemark_leases.known_history();
BEGIN
  IF number IS NULL THEN
    LOCK TABLE tidemark_leases.history IN SHARE ROW EXCLUSIVE MODE;
    number := tidemark_leases.known_history();
  END IF;
  IF number IS NULL THEN
    INSERT INTO tidemark_leases.history (history_number, server_started_at, database_oid, table_oid, timeline)
    SELECT tidemark_leases.next_history(), pg_postmaster_start_time(), d.oid, 'tidemark_leases.history'::regclass,
        left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)
      FROM pg_database d WHERE d.datname = current_database()
      RETURNING history_number INTO number;
    PERFORM setval('tidemark_leases.worker_incarnation_seq', greatest(w.last_value, number << 12), true)
      FROM tidemark_leases.worker_incarnation_seq w WHERE number > 0;
  END IF;
  RETURN number;
END $$;

-- What every epoch that is granted from now on is no less than. To be asked once a statement:
-- greatest(epoch + 1, (SELECT tidemark_leases.epoch_floor())).
CREATE FUNCTION tidemark_leases.epoch_floor() RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(tidemark_leases.known_history(), tidemark_leases.next_history()) << 32
$$;

-- The order of checkpoints: the KCL's, but for LATEST, which is no place yet and so advances to any that is. Ties are
-- broken by the sub-sequence number. Not STRICT, although NULL gives NULL: a strict function with a CASE in it is not
-- inlined, and that doubles what a checkpoint costs.
CREATE FUNCTION tidemark_leases.checkpoint_rank(checkpoint text) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE checkpoint
  WHEN 'SHARD_END' THEN 'Infinity'::numeric
  WHEN 'TRIM_HORIZON' THEN -1
  WHEN 'LATEST' THEN -3
  ELSE CASE WHEN starts_with(checkpoint, 'AT_TIMESTAMP:') THEN -2 ELSE checkpoint::numeric END
END;

-- The channel on which changes of an application's leases are announced. A collision only makes a hint too many.
CREATE FUNCTION tidemark_leases.lease_channel(application text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN 'tidemark_lease_' || to_hex(hashtextextended(application, 0));

-- What the workers of one application agree on.
CREATE TABLE tidemark_leases.lease_scope (
  -- The character parts it from a stream where they are one text.
  application text PRIMARY KEY CHECK (strpos(application, E'\x1f') = 0),
  -- Rises whenever the owner of a lease changes or a handoff is requested.
  assignment_version bigint NOT NULL DEFAULT 0,
  -- Rises with all that may call for a plan. A look compares the two instead of searching the leases.
  change_version bigint NOT NULL DEFAULT 0,
  planned_version bigint NOT NULL DEFAULT 0,
  -- The history of the last change or plan, and the assignment version with which that history began here: a worker
  -- that has seen a later one on an earlier history has seen what is lost.
  history_number bigint NOT NULL DEFAULT 0,
  history_version bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Notes in a scope that it is on another history, before anything is given out on that.
CREATE FUNCTION tidemark_leases.note_history() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  number CONSTANT bigint := tidemark_leases.enter_history();
BEGIN
  IF NEW.history_number <> number THEN
    NEW.history_number := number;
    NEW.history_version := OLD.assignment_version;
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER note_history BEFORE UPDATE OF assignment_version, planned_version ON tidemark_leases.lease_scope
FOR EACH ROW EXECUTE FUNCTION tidemark_leases.note_history();

-- Whoever plans has locked the scope's row here. Not an advisory lock, which any role of the database can take.
CREATE TABLE tidemark_leases.plan_turn (
  application text PRIMARY KEY,
  -- What may be changed of it, which is what locking it needs.
  turns bigint NOT NULL DEFAULT 0
);

CREATE TABLE tidemark_leases.worker (
  incarnation bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  application text NOT NULL,
  worker_id text NOT NULL,
  host text NOT NULL,
  process_id integer NOT NULL,
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'draining', 'dead')),
  maximum_leases integer CHECK (maximum_leases >= 0),
  failover_interval interval NOT NULL CHECK (failover_interval > '0'),
  -- Whether the worker holds its session lock; false behind a transaction pooler.
  has_session boolean NOT NULL,
  -- The advisory lock that the worker's session holds for as long as it lives, and the server's process that it is. Any
  -- role can take an advisory lock whose key it knows: so the key is random, and a plan checks who holds it where the
  -- heartbeat is late.
  session_key bigint NOT NULL DEFAULT ('x' || left(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint,
  session_process integer NOT NULL DEFAULT pg_backend_pid(),
  -- The start of the server that the session was opened on: on any other, the lock's absence proves nothing.
  server_started_at timestamptz NOT NULL,
  registered_at timestamptz NOT NULL,
  heartbeat_at timestamptz NOT NULL,
  -- Since when heartbeats have come without a gap.
  heartbeating_since timestamptz NOT NULL,
  -- Leases that the worker cannot take now, because an earlier call to its processor for them hangs: stream and shard
  -- as one text. No plan gives it these.
  refused_leases text[] COLLATE "C" NOT NULL DEFAULT '{}',
  -- Which of the worker's announcements of the streams that it serves was the last.
  streams_version bigint NOT NULL DEFAULT -1,
  -- The changes that the worker's own plans have seen to, where it may not see all leases that others serve.
  planned_version bigint NOT NULL DEFAULT 0,
  -- What tells all sessions of the worker's process from others', where there is such a thing: their role and their
  -- application_name, which has a token in it. Once the worker is dead they are ended.
  session_role oid NOT NULL DEFAULT to_regrole(quote_ident(session_user)),
  session_name text,
  died_at timestamptz,
  has_left boolean NOT NULL DEFAULT false,
  UNIQUE (application, incarnation)
) WITH (fillfactor = 50);

-- The streams that each worker serves: no plan gives it leases of others. Apart from the workers' rows, which every
-- heartbeat rewrites.
CREATE TABLE tidemark_leases.worker_stream (
  application text NOT NULL,
  incarnation bigint NOT NULL,
  stream text COLLATE "C" NOT NULL CHECK (strpos(stream, E'\x1f') = 0),
  PRIMARY KEY (application, incarnation, stream),
  FOREIGN KEY (application, incarnation) REFERENCES tidemark_leases.worker (application, incarnation) ON DELETE CASCADE
);

-- Half of every page stays free: a checkpoint then rewrites its row in place and touches no index.
CREATE TABLE tidemark_leases.lease (
  application text NOT NULL,
  stream text COLLATE "C" NOT NULL,
  shard_id text COLLATE "C" NOT NULL,
  parent_shard_ids text[] NOT NULL,
  child_shard_ids text[] NOT NULL DEFAULT '{}',
  hash_range_start numeric(39),
  hash_range_end numeric(39),
  -- Incarnations of workers. No foreign keys: rows of dead workers are forgotten while leases remember them.
  owner bigint,
  last_owner bigint,
  -- The epoch under which the last owner had it.
  last_epoch bigint,
  -- The epoch that followed: for as long as it is the lease's, a write that gave it up is recognised when it comes again.
  left_epoch bigint,
  epoch bigint NOT NULL DEFAULT 0 CHECK (epoch >= 0),
  checkpoint text NOT NULL,
  sub_sequence_number bigint NOT NULL DEFAULT 0,
  pending_checkpoint text,
  pending_sub_sequence_number bigint,
  pending_state bytea,
  handoff_to bigint,
  handoff_deadline timestamptz,
  stopped_reason text,
  ended_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (application, stream, shard_id),
  CHECK ((ended_at IS NOT NULL) = (checkpoint = 'SHARD_END')),
  CHECK ((handoff_to IS NULL) = (handoff_deadline IS NULL)),
  CHECK (owner IS NULL OR (ended_at IS NULL AND stopped_reason IS NULL))
) WITH (fillfactor = 50);

CREATE INDEX lease_by_owner ON tidemark_leases.lease (owner) WHERE owner IS NOT NULL;

CREATE INDEX lease_by_handoff_deadline ON tidemark_leases.lease (application, handoff_deadline)
WHERE handoff_deadline IS NOT NULL;

-- Measurements stand apart from the leases: they come with every heartbeat, compete with no checkpoint for a
-- row, and may be lost in a crash, so they need no log.
CREATE UNLOGGED TABLE tidemark_leases.lease_load (
  application text NOT NULL,
  stream text COLLATE "C" NOT NULL,
  shard_id text COLLATE "C" NOT NULL,
  processing double precision NOT NULL,
  bytes_per_second double precision NOT NULL,
  millis_behind_latest bigint NOT NULL,
  measured_at timestamptz NOT NULL,
  PRIMARY KEY (application, stream, shard_id)
) WITH (fillfactor = 50);

CREATE TABLE tidemark_leases.dead_letter (
  application text NOT NULL,
  stream text COLLATE "C" NOT NULL,
  shard_id text COLLATE "C" NOT NULL,
  sequence_number text COLLATE "C" NOT NULL,
  sub_sequence_number bigint NOT NULL,
  partition_key text NOT NULL,
  approximate_creation_time timestamptz NOT NULL,
  -- A change has an event name, keys and images; any other record has data.
  event_name text CHECK (event_name IN ('INSERT', 'MODIFY', 'REMOVE')),
  keys json,
  new_image json,
  old_image json,
  data bytea,
  attempts integer NOT NULL,
  reason text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (application, stream, shard_id, sequence_number, sub_sequence_number),
  CHECK ((event_name IS NULL) = (data IS NOT NULL)),
  CHECK ((event_name IS NULL) = (keys IS NULL))
);

-- Moves the checkpoint of a lease in the caller's own transaction: it commits with all else that the transaction writes, or
-- not at all. Programs in any language call this, so it is a contract: its arguments, what it does and the SQLSTATEs that it
-- raises stay as they are.
--
-- Until the transaction ends the lease changes hands for nobody. An exception takes the whole transaction back:
--   TM006  The lease is not the owner's under this epoch any more, or it is not as far as from_checkpoint, which is a place
--          that the caller knows to be committed.
--   TM007  The checkpoint would go back; or, with must_advance, it is there already: then an earlier attempt has committed
--          after all, with all that it wrote.
-- Without must_advance a repeated call is harmless. Runs with the caller's rights: a consumer's.
CREATE FUNCTION tidemark_leases.checkpoint(
  application text, stream text, shard_id text, owner bigint, epoch bigint,
  checkpoint text, sub_sequence_number bigint DEFAULT 0, must_advance boolean DEFAULT true,
  from_checkpoint text DEFAULT 'LATEST', from_sub_sequence_number bigint DEFAULT 0
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF (checkpoint.checkpoint ~ '^([0-9]+|LATEST|TRIM_HORIZON|AT_TIMESTAMP:-?[0-9]+)$'
    AND checkpoint.sub_sequence_number >= 0) IS NOT TRUE
  THEN
    RAISE EXCEPTION '%/% is no checkpoint that can be written', coalesce(checkpoint.checkpoint, 'NULL'),
      coalesce(checkpoint.sub_sequence_number::text, 'NULL') USING ERRCODE = 'TM005',
      HINT = 'Give the sequence number of the last record that is handled. The end of a shard is written by its worker.';
  END IF;
  UPDATE tidemark_leases.lease AS l SET
      checkpoint = checkpoint.checkpoint, sub_sequence_number = checkpoint.sub_sequence_number,
      pending_checkpoint = NULL, pending_sub_sequence_number = NULL, pending_state = NULL,
      updated_at = clock_timestamp()
    WHERE l.application = checkpoint.application AND l.stream = checkpoint.stream
      AND l.shard_id = checkpoint.shard_id AND l.owner = checkpoint.owner AND l.epoch = checkpoint.epoch
      AND (tidemark_leases.checkpoint_rank(l.checkpoint), l.sub_sequence_number)
        >= (tidemark_leases.checkpoint_rank(from_checkpoint), from_sub_sequence_number)
      AND (tidemark_leases.checkpoint_rank(checkpoint.checkpoint), checkpoint.sub_sequence_number)
        >= (tidemark_leases.checkpoint_rank(l.checkpoint), l.sub_sequence_number)
      AND (must_advance IS FALSE
        OR (tidemark_leases.checkpoint_rank(checkpoint.checkpoint), checkpoint.sub_sequence_number)
          > (tidemark_leases.checkpoint_rank(l.checkpoint), l.sub_sequence_number));
  IF FOUND THEN
    RETURN;
  END IF;
  -- Within an epoch a checkpoint only rises; so it does not matter that this is asked later.
  IF EXISTS (
    SELECT FROM tidemark_leases.lease AS l
    WHERE l.application = checkpoint.application AND l.stream = checkpoint.stream
      AND l.shard_id = checkpoint.shard_id AND l.owner = checkpoint.owner AND l.epoch = checkpoint.epoch
      AND (tidemark_leases.checkpoint_rank(l.checkpoint), l.sub_sequence_number)
        >= (tidemark_leases.checkpoint_rank(from_checkpoint), from_sub_sequence_number))
  THEN
    RAISE EXCEPTION 'the lease of the shard "%" has passed the checkpoint %/% already', checkpoint.shard_id,
      checkpoint.checkpoint, checkpoint.sub_sequence_number USING ERRCODE = 'TM007',
      HINT = 'An earlier attempt has committed after all. Roll back, and go on after what is done.';
  END IF;
  RAISE EXCEPTION 'the lease of the shard "%" is not the worker''s with the incarnation % and the epoch % any more',
    checkpoint.shard_id, checkpoint.owner, checkpoint.epoch USING ERRCODE = 'TM006',
    HINT = 'Roll back and stop working on this shard; its owner goes on after the last checkpoint that was accepted.';
END $$;
