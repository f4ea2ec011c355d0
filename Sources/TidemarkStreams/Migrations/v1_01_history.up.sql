-- The histories on which this database has been written, newest last. A server may come back without its newest commits:
-- as a standby that is promoted, from a backup, after a crash on a disk that lied. Whatever was given out in those
-- commits is remembered outside of the database, so nothing that is given out afterwards may look the same. Each start
-- of a server, each restored copy and each schema that is made again is a history of its own, and has a number that is
-- greater than all that may have been lost with another: the seconds since 2026. Sequence numbers that are
-- given out on a history are no less than it asks for.
CREATE TABLE tidemark.history (
  -- Sequence numbers have it as their upper half.
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
CREATE FUNCTION tidemark.known_history() RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT h.history_number FROM tidemark.history h
    WHERE h.server_started_at = pg_postmaster_start_time() AND h.table_oid = 'tidemark.history'::regclass
      AND h.database_oid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()));
END $$;

-- The number that a history which begins now has.
CREATE FUNCTION tidemark.next_history() RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN max(h.history_number) IS NULL THEN 0 ELSE
      greatest(max(h.history_number) + 1, floor(extract(epoch FROM clock_timestamp()))::bigint - 1767225600) END
    FROM tidemark.history h
$$;

-- The number of the history that the database is on. The first call on a new one notes it.
CREATE FUNCTION tidemark.enter_history() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  number bigint := tidemark.known_history();
BEGIN
  IF number IS NULL THEN
    LOCK TABLE tidemark.history IN SHARE ROW EXCLUSIVE MODE;
    number := tidemark.known_history();
  END IF;
  IF number IS NULL THEN
    INSERT INTO tidemark.history (history_number, server_started_at, database_oid, table_oid, timeline)
    SELECT tidemark.next_history(), pg_postmaster_start_time(), d.oid, 'tidemark.history'::regclass,
        left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)
      FROM pg_database d WHERE d.datname = current_database()
      RETURNING history_number INTO number;
  END IF;
  RETURN number;
END $$;

