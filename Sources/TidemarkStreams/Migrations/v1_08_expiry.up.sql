-- Says that a transaction is deleting expired rows: what it deletes until it takes its row away is marked as expired.
-- Only begin_expiry can write here, and only the transaction itself can see the row, so no session can get at the mark by a
-- setting.
CREATE TABLE tidemark.expiry_run (
  stream_id integer NOT NULL,
  xid xid8 NOT NULL,
  PRIMARY KEY (stream_id, xid)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- The condition under which a row is expired at $1: null for a type that tells no time. DynamoDB's rules for numbers,
-- which are seconds since 1970: what is more than five years in the past is taken for a mistake. The operators are the
-- server's own: where the statement runs, others may have defined some.
CREATE FUNCTION tidemark.expiry_condition(of_table oid, column_name text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('%1$s OPERATOR(pg_catalog.<=) ' || b.latest || ' AND %1$s OPERATOR(pg_catalog.>) ' || b.earliest,
    'e.' || quote_ident(column_name))
  FROM (SELECT coalesce(nullif(t.typbasetype, 0), t.oid) AS type FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = of_table AND a.attname = column_name AND a.attnum > 0 AND NOT a.attisdropped) AS k
  JOIN (VALUES
    ('timestamptz'::regtype, '$1', '''-infinity''::pg_catalog.timestamptz'),
    ('timestamp'::regtype, '($1 AT TIME ZONE ''UTC'')', '''-infinity''::pg_catalog.timestamp'),
    ('date'::regtype, '($1 AT TIME ZONE ''UTC'')::pg_catalog.date', '''-infinity''::pg_catalog.date'),
    ('numeric'::regtype, 'extract(epoch FROM $1)', 'extract(epoch FROM $2)'),
    ('integer'::regtype, 'pg_catalog.floor(extract(epoch FROM $1))::pg_catalog.int8',
      'pg_catalog.floor(extract(epoch FROM $2))::pg_catalog.int8'),
    ('bigint'::regtype, 'pg_catalog.floor(extract(epoch FROM $1))::pg_catalog.int8',
      'pg_catalog.floor(extract(epoch FROM $2))::pg_catalog.int8')
  ) AS b (type, latest, earliest) ON b.type = k.type
$$;

-- What deletes some rows of a table that are expired at a moment; null for a column that tells no time. Rows of a child table are not the table's. It looks for rows before it locks them,
-- so that none is locked for as long as the search takes.
CREATE FUNCTION tidemark.expiry_statement(
  of_table oid, column_name text, now timestamptz, maximum_rows integer
) RETURNS text
-- Other styles name the time zone by letters, which may stand for several.
LANGUAGE sql STABLE SET datestyle = 'ISO' SET search_path = pg_catalog, pg_temp AS $$
  SELECT format($sql$
    WITH found AS MATERIALIZED (
      SELECT e.tableoid AS part, e.ctid AS place FROM %2$s AS e WHERE %1$s LIMIT %3$s
    ), taken AS (
      SELECT e.tableoid AS part, e.ctid AS place FROM found AS f
      JOIN %2$s AS e ON e.tableoid OPERATOR(pg_catalog.=) f.part AND e.ctid OPERATOR(pg_catalog.=) f.place
      WHERE %1$s FOR UPDATE OF e SKIP LOCKED
    )
    DELETE FROM %2$s AS d USING taken AS t
    WHERE d.tableoid OPERATOR(pg_catalog.=) t.part AND d.ctid OPERATOR(pg_catalog.=) t.place$sql$,
    replace(replace(k.condition, '$1', format('%L::pg_catalog.timestamptz', now)),
      '$2', format('%L::pg_catalog.timestamptz', now - interval '5 years')),
    CASE c.relkind WHEN 'r' THEN 'ONLY ' ELSE '' END || format('%I.%I', n.nspname, c.relname), maximum_rows)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN tidemark.expiry_condition(of_table, column_name) AS k (condition)
  WHERE c.oid = of_table AND k.condition IS NOT NULL
$$;

-- Begins to expire rows of a stream's table: returns the statement that deletes some of them, which the caller runs in this
-- transaction. So it is the caller who needs the rights to the table, and whose rights its triggers have. What the caller
-- lacks is the problem. Neither is there where there is nothing to do, or where what is deleted would not be captured.
CREATE FUNCTION tidemark.begin_expiry(of_stream integer, maximum_rows integer, OUT statement text, OUT problem text)
LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '100ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream tidemark.stream;
  asking CONSTANT name := tidemark.caller();
BEGIN
  PERFORM tidemark.check_isolation();
  PERFORM tidemark.require('{expirer,consumer,administrator}', of_stream);
  SELECT * INTO stream FROM tidemark.stream s
    WHERE s.stream_id = of_stream AND s.status = 'ENABLED' AND s.expiry_column IS NOT NULL;
  IF NOT FOUND OR NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = stream.source_table) THEN
    RETURN;
  END IF;
  -- Rows are locked before they are deleted, for which the server asks for a right to update as well.
  IF NOT (has_table_privilege(asking, stream.source_table, 'SELECT')
      AND has_table_privilege(asking, stream.source_table, 'DELETE')
      AND has_any_column_privilege(asking, stream.source_table, 'UPDATE')) THEN
    problem := format('the role %I may not delete rows: GRANT SELECT, DELETE, UPDATE (%I) ON %s TO %1$I', asking,
      stream.expiry_column, stream.source_table);
    RETURN;
  END IF;
  -- From here on nobody can end the capture, and what they did before is seen.
  EXECUTE format('LOCK TABLE %s IN ROW EXCLUSIVE MODE', stream.source_table);
  SELECT * INTO stream FROM tidemark.stream s
    WHERE s.stream_id = of_stream AND s.status = 'ENABLED' AND s.expiry_column IS NOT NULL;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  statement := tidemark.expiry_statement(stream.source_table, stream.expiry_column, clock_timestamp(),
    maximum_rows);
  IF statement IS NULL THEN
    RAISE EXCEPTION '% has no column "%" that tells a time any more', stream.source_table, stream.expiry_column
      USING ERRCODE = 'TM005',
      HINT = 'No row expires. Name another column, or none: tidemark stream alter NAME --expiry-column COLUMN.';
  END IF;
  -- What is not captured must not go without a record, and what is not the stream's table not at all.
  IF EXISTS (SELECT FROM tidemark.all_conditions(of_stream) AS c WHERE c.problem IS NOT NULL
      AND c.condition IN ('key', 'key type', 'capture owner', 'row triggers', 'publication', 'replica identity'))
    OR stream.capture = 'TRIGGER' AND current_setting('session_replication_role') = 'replica' THEN
    statement := NULL;
    RETURN;
  END IF;
  INSERT INTO tidemark.expiry_run (stream_id, xid) VALUES (of_stream, pg_current_xact_id());
  UPDATE tidemark.stream s SET expired_at = clock_timestamp()
    WHERE s.stream_id = of_stream AND s.expired_at < clock_timestamp() - interval '1 minute';
EXCEPTION WHEN lock_not_available THEN
  statement := NULL;
END $$;

-- Ends what begin_expiry began: what this transaction deletes from now on is not marked any more.
CREATE FUNCTION tidemark.end_expiry(of_stream integer) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  DELETE FROM tidemark.expiry_run r WHERE r.stream_id = of_stream AND r.xid = pg_current_xact_id()
$$;
