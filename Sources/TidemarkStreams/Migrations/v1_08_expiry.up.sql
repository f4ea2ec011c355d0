-- Says that a transaction is deleting expired rows: what it deletes until it takes its row away is marked as expired.
-- Only the expiry job, which runs with its owner's rights, can write here, and only the writer itself can see the row,
-- so no session can get at the mark by a setting.
CREATE TABLE tidemark.expiry_run (
  stream_id integer NOT NULL,
  xid xid8 NOT NULL,
  PRIMARY KEY (stream_id, xid)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- The condition under which a row is expired at $1: null for a type that tells no time. DynamoDB's rules for numbers,
-- which are seconds since 1970: what is more than five years in the past is taken for a mistake.
CREATE FUNCTION tidemark.expiry_condition(of_table oid, column_name text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format(CASE
      WHEN k.type = 'timestamptz'::regtype THEN '%1$s <= $1 AND %1$s > ''-infinity'''
      WHEN k.type = 'timestamp'::regtype THEN '%1$s <= $1 AT TIME ZONE ''UTC'' AND %1$s > ''-infinity'''
      WHEN k.type = 'date'::regtype THEN '%1$s <= ($1 AT TIME ZONE ''UTC'')::date AND %1$s > ''-infinity'''
      WHEN k.type = 'numeric'::regtype THEN
        '%1$s <= extract(epoch FROM $1)::numeric AND %1$s > extract(epoch FROM $1 - interval ''5 years'')::numeric'
      WHEN k.type IN ('integer'::regtype, 'bigint'::regtype) THEN
        '%1$s <= floor(extract(epoch FROM $1))::bigint '
        'AND %1$s > floor(extract(epoch FROM $1 - interval ''5 years''))::bigint'
    END, 'e.' || quote_ident(column_name))
  FROM (SELECT coalesce(nullif(t.typbasetype, 0), t.oid) AS type FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = of_table AND a.attname = column_name AND a.attnum > 0 AND NOT a.attisdropped) AS k
$$;

-- What deletes at most $2 rows of a table that are expired at $1; null for a column that tells no time. Rows of a
-- child table are not the table's. Rows are looked for before they are locked, so that none is locked for as long as
-- the search takes.
CREATE FUNCTION tidemark.expiry_statement(of_table oid, column_name text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format($sql$
    WITH found AS MATERIALIZED (
      SELECT e.tableoid AS part, e.ctid AS place FROM %2$s"tidemark table" AS e WHERE %1$s LIMIT $2
    ), taken AS (
      SELECT e.tableoid AS part, e.ctid AS place FROM found AS f
      JOIN %2$s"tidemark table" AS e ON e.tableoid = f.part AND e.ctid = f.place
      WHERE %1$s FOR UPDATE OF e SKIP LOCKED
    )
    DELETE FROM %2$s"tidemark table" AS d USING taken AS t WHERE d.tableoid = t.part AND d.ctid = t.place$sql$,
    k.condition, CASE c.relkind WHEN 'r' THEN 'ONLY ' ELSE '' END)
  FROM pg_class c CROSS JOIN tidemark.expiry_condition(of_table, column_name) AS k (condition)
  WHERE c.oid = of_table AND k.condition IS NOT NULL
$$;

-- Writes the function that deletes expired rows of a stream's table. It has the rights of the table's owner, and so have
-- the triggers that it fires: with those of the schema's owner they could do anything.
CREATE FUNCTION tidemark.create_expiry_function(of_stream integer) RETURNS void
LANGUAGE plpgsql SET client_min_messages = warning SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream tidemark.stream;
  class pg_class;
  function_name CONSTANT text := format('tidemark.%I(timestamptz, integer, regclass)', 'expire_' || of_stream);
  needs_grant boolean;
BEGIN
  SELECT * INTO STRICT stream FROM tidemark.stream s WHERE s.stream_id = of_stream;
  SELECT * INTO STRICT class FROM pg_class c WHERE c.oid = stream.source_table;
  EXECUTE 'DROP FUNCTION IF EXISTS ' || function_name;
  -- A row that a policy hides would never expire, without a word: that is an error.
  EXECUTE format('CREATE FUNCTION tidemark.%I(now timestamptz, maximum_rows integer, source regclass) '
    'RETURNS integer '
    'LANGUAGE plpgsql SECURITY DEFINER SET row_security = off SET search_path = pg_catalog, %I, pg_temp AS %L',
    'expire_' || of_stream, class.relnamespace::regnamespace::name, format($body$
DECLARE
  deleted integer;
BEGIN
  EXECUTE replace(%L, '"tidemark table"', source::text) USING now, maximum_rows;
  GET DIAGNOSTICS deleted = ROW_COUNT;
  RETURN deleted;
END $body$, tidemark.expiry_statement(class.oid, stream.expiry_column)));
  EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', function_name);
  -- Who gives a function away, and is no superuser, can do so only to a role that may create one here.
  needs_grant := NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user)
    AND NOT has_schema_privilege(class.relowner, 'tidemark', 'CREATE');
  IF needs_grant THEN
    EXECUTE format('GRANT CREATE ON SCHEMA tidemark TO %s', class.relowner::regrole);
  END IF;
  EXECUTE format('ALTER FUNCTION %s OWNER TO %s', function_name, class.relowner::regrole);
  IF needs_grant THEN
    EXECUTE format('REVOKE CREATE ON SCHEMA tidemark FROM %s', class.relowner::regrole);
  END IF;
END $$;

-- Deletes some expired rows of a stream's table, and returns how many; 0 also when somebody else is at it. Anybody may
-- call it as often as they like. No writer waits for it longer than for any delete.
CREATE FUNCTION tidemark.expire_rows(of_stream integer, maximum_rows integer DEFAULT 500) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '100ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream tidemark.stream;
  owner oid;
  statement text;
  deleted integer;
BEGIN
  PERFORM tidemark.check_isolation();
  SELECT * INTO stream FROM tidemark.stream s
    WHERE s.stream_id = of_stream AND s.status = 'ENABLED' AND s.expiry_column IS NOT NULL;
  SELECT c.relowner INTO owner FROM pg_class c WHERE c.oid = stream.source_table;
  IF owner IS NULL OR NOT pg_try_advisory_xact_lock(hashtext('tidemark.expiry'), of_stream) THEN
    RETURN 0;
  END IF;
  -- From here on nobody can end the capture, and what they did before is seen.
  EXECUTE format('LOCK TABLE %s IN ROW EXCLUSIVE MODE', stream.source_table::regclass);
  SELECT * INTO stream FROM tidemark.stream s
    WHERE s.stream_id = of_stream AND s.status = 'ENABLED' AND s.expiry_column IS NOT NULL;
  IF NOT FOUND THEN
    RETURN 0;
  END IF;
  statement := tidemark.expiry_statement(stream.source_table, stream.expiry_column);
  IF statement IS NULL THEN
    RAISE EXCEPTION '% has no column "%" that tells a time any more', stream.source_table::regclass,
      stream.expiry_column USING ERRCODE = 'TM005',
      HINT = 'No row expires. Name another column, or none: tidemark stream alter NAME --expiry-column COLUMN.';
  END IF;
  -- What is not captured must not go without a record, and what is not the stream's table not at all.
  IF EXISTS (SELECT FROM tidemark.stream_conditions(of_stream) AS c WHERE c.problem IS NOT NULL
      AND c.condition IN ('key', 'key type', 'row triggers', 'publication', 'replica identity'))
    OR stream.capture = 'TRIGGER' AND current_setting('session_replication_role') = 'replica' THEN
    RETURN 0;
  END IF;
  -- The table may have got another owner, and the column another type.
  IF NOT EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = 'tidemark'::regnamespace
    AND p.proname = 'expire_' || of_stream AND p.proowner = owner
    AND strpos(p.prosrc, quote_literal(statement)) > 0) THEN
    PERFORM tidemark.create_expiry_function(of_stream);
  END IF;
  INSERT INTO tidemark.expiry_run (stream_id, xid) VALUES (of_stream, pg_current_xact_id());
  EXECUTE format('SELECT tidemark.%I($1, $2, $3)', 'expire_' || of_stream) INTO deleted
    USING clock_timestamp(), maximum_rows, stream.source_table;
  DELETE FROM tidemark.expiry_run r WHERE r.stream_id = of_stream AND r.xid = pg_current_xact_id();
  RETURN deleted;
EXCEPTION WHEN lock_not_available THEN
  RETURN 0;
END $$;
