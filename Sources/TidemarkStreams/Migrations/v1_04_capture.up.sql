-- What btree indexes compare values of one of PostgreSQL's own types with, or of one that is made of them.
CREATE FUNCTION tidemark.default_class(of_type oid) RETURNS oid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.oid FROM pg_type t JOIN pg_opclass c ON c.opcdefault AND c.opcintype = CASE t.typtype
      WHEN 'e' THEN 'anyenum'::regtype WHEN 'r' THEN 'anyrange'::regtype WHEN 'c' THEN 'record'::regtype
      ELSE CASE WHEN t.oid = 'varchar'::regtype THEN 'text'::regtype
        WHEN t.typsubscript = 'array_subscript_handler'::regproc THEN 'anyarray'::regtype ELSE t.oid END END
    JOIN pg_am m ON m.oid = c.opcmethod
    WHERE t.oid = of_type AND m.amname = 'btree' AND c.oid < 16384
$$;

-- Whether values of a type that an index takes for equal are alike to the byte. Index deduplication rests on the same.
CREATE FUNCTION tidemark.equal_is_alike(of_type oid, class oid, collated oid) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  base pg_type;
  parts_are boolean;
  proof regproc;
BEGIN
  -- Extensions' and users' may take anything for equal.
  IF class >= 16384 OR class IS NULL THEN
    RETURN false;
  END IF;
  SELECT t.* INTO base FROM pg_type t WHERE t.oid = of_type;
  IF base.typtype = 'd' THEN
    RETURN tidemark.equal_is_alike(base.typbasetype, class, collated);
  END IF;
  SELECT bool_and(tidemark.equal_is_alike(p.type, p.class, p.collated)) INTO parts_are FROM (
      SELECT base.typelem, tidemark.default_class(base.typelem), collated
        WHERE base.typsubscript = 'array_subscript_handler'::regproc
      UNION ALL
      SELECT r.rngsubtype, r.rngsubopc, r.rngcollation FROM pg_range r WHERE r.rngtypid = of_type
      UNION ALL
      SELECT a.atttypid, tidemark.default_class(a.atttypid), a.attcollation FROM pg_attribute a
        WHERE a.attrelid = base.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    ) AS p (type, class, collated);
  IF parts_are IS NOT NULL THEN
    RETURN parts_are;
  END IF;
  SELECT p.amproc INTO proof FROM pg_opclass c JOIN pg_amproc p ON p.amprocfamily = c.opcfamily
    AND p.amproclefttype = c.opcintype AND p.amprocrighttype = c.opcintype AND p.amprocnum = 4
    -- This is equal but for the spaces at its end.
    WHERE c.oid = class AND c.opcintype <> 'bpchar'::regtype;
  RETURN coalesce(proof = 'btequalimage'::regproc OR proof = 'btvarstrequalimage'::regproc
    AND (SELECT l.collisdeterministic FROM pg_collation l WHERE l.oid = collated), false);
END $$;

-- A table's primary key in its order, all null without one. What its index takes for equal is one item, so equal values
-- must be written alike: a spelling says how. Null where a value may be written in several ways that nothing makes one.
CREATE FUNCTION tidemark.primary_key(
  source oid, OUT names text[], OUT types text[], OUT spellings text[], OUT is_immediate boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT array_agg(a.attname::text ORDER BY k.position),
    array_agg(format_type(a.atttypid, a.atttypmod)
      || CASE WHEN k.collated NOT IN (0, 100) THEN ' COLLATE ' || k.collated::regcollation ELSE '' END
      ORDER BY k.position),
    array_agg(CASE
      WHEN c.oid >= 16384 THEN NULL
      WHEN c.opcintype IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype) THEN 'number'
      WHEN c.opcintype IN ('float4'::regtype, 'float8'::regtype) THEN format_type(c.opcintype, NULL)
      WHEN c.opcintype IN ('text'::regtype, 'bpchar'::regtype, 'name'::regtype) AND l.collisdeterministic
        OR c.opcintype = 'anyenum'::regtype THEN 'text'
      -- Of a type that stands for many, or for two that are written in other ways, the column's own.
      WHEN tidemark.equal_is_alike(a.atttypid, c.oid, k.collated) THEN format_type(CASE WHEN c.opcintype IN (
        'anyarray'::regtype, 'anyrange'::regtype, 'record'::regtype, 'inet'::regtype) THEN a.atttypid
        ELSE c.opcintype END, NULL)
      END ORDER BY k.position),
    bool_and(i.indimmediate)
  FROM pg_index i
  CROSS JOIN unnest(i.indkey::smallint[], i.indclass::oid[], i.indcollation::oid[])
    WITH ORDINALITY AS k (attnum, class, collated, position)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
  JOIN pg_opclass c ON c.oid = k.class
  LEFT JOIN pg_collation l ON l.oid = k.collated
  WHERE i.indrelid = source AND i.indisprimary AND k.position <= i.indnkeyatts
$$;

-- A key column's value as JSON, in its spelling: without zeros at the end of a number, a sign of 0, spaces that pad a text.
-- The column's type chooses the function when a session plans a write, and so again when somebody gives the column another
-- one. Each is a part of that plan then, which a search_path of its own would prevent.
CREATE FUNCTION tidemark.key_text(value smallint) RETURNS text LANGUAGE sql STABLE RETURN to_json(value)::text;
CREATE FUNCTION tidemark.key_text(value integer) RETURNS text LANGUAGE sql STABLE RETURN to_json(value)::text;
CREATE FUNCTION tidemark.key_text(value bigint) RETURNS text LANGUAGE sql STABLE RETURN to_json(value)::text;
CREATE FUNCTION tidemark.key_text(value numeric) RETURNS text LANGUAGE sql STABLE
RETURN to_json(trim_scale(value))::text;
CREATE FUNCTION tidemark.key_text(value real) RETURNS text LANGUAGE sql STABLE RETURN to_json(value + 0::real)::text;
CREATE FUNCTION tidemark.key_text(value double precision) RETURNS text LANGUAGE sql STABLE
RETURN to_json(value + 0::double precision)::text;
CREATE FUNCTION tidemark.key_text(value text) RETURNS text LANGUAGE sql STABLE RETURN to_json(value)::text;
CREATE FUNCTION tidemark.key_text(value character) RETURNS text LANGUAGE sql STABLE RETURN to_json(value::text)::text;
-- Of any other type that a column was given since.
CREATE FUNCTION tidemark.key_text(value anyelement) RETURNS text
LANGUAGE sql STABLE AS 'SELECT pg_catalog.to_json($1)::pg_catalog.text';

-- The SQL that makes an item's key of a record of that name: its key columns as compact JSON, like row_to_json writes
-- it, in their spellings. The record's name goes in front of every column.
CREATE FUNCTION tidemark.key_expression(keys text[], spellings text[], of_record text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT quote_literal('{') || ' || ' || string_agg(
      quote_literal(to_json(k.name)::text || ':') || '::text || ' || format(
        CASE WHEN k.spelling IN ('number', 'real', 'double precision', 'text') THEN 'tidemark.key_text(%s.%I)'
          ELSE 'to_json(%s.%I)' END, of_record, k.name),
      ' || '','' || ' ORDER BY k.position) || ' || ' || quote_literal('}')
  FROM unnest(keys, spellings) WITH ORDINALITY AS k (name, spelling, position)
$$;

CREATE FUNCTION tidemark.column_types(source oid) RETURNS oid[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT array_agg(a.atttypid) FROM pg_attribute a
    WHERE a.attrelid = source AND a.attnum > 0 AND NOT a.attisdropped);
END $$;

-- Types and all that they are made of: elements, attributes, the types under domains and ranges. (Maintenance asks for each
-- stream: a query within a function in SQL would be planned each time.)
CREATE FUNCTION tidemark.type_parts(types oid[]) RETURNS SETOF oid
LANGUAGE plpgsql STABLE ROWS 10 SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY WITH RECURSIVE part (type) AS (
    SELECT unnest(types)
    UNION
    SELECT inner_type.oid FROM part JOIN pg_type t ON t.oid = part.type
      CROSS JOIN LATERAL (
        SELECT t.typbasetype UNION ALL SELECT t.typelem
        UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)
        UNION ALL SELECT unnest(tidemark.column_types(t.typrelid)) WHERE t.typrelid <> 0
      ) AS inner_type (oid)
      WHERE inner_type.oid <> 0
  )
  SELECT p.type FROM part AS p;
END $$;

-- The settings that decide how values of these types are written as text, and so the settings that a table's
-- capture functions must pin: each costs every write something, and most tables need one or none.
CREATE FUNCTION tidemark.capture_settings(source oid) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (WITH needs AS (
    SELECT bool_or(t.oid = 'timestamptz'::regtype) AS zone,
      -- JSON has dates in ISO form by itself; ranges of them are text.
      bool_or(t.typtype IN ('r', 'm')) AS dates,
      bool_or(t.oid = 'interval'::regtype) AS intervals,
      bool_or(t.oid = 'bytea'::regtype) AS bytes,
      -- The catalog does not say of the last three that they are made of floats.
      bool_or(t.oid IN ('float4'::regtype, 'float8'::regtype, 'path'::regtype, 'polygon'::regtype,
        'circle'::regtype)) AS floats,
      bool_or(t.oid = 'money'::regtype) AS money,
      -- An extension's type may depend on any of them.
      bool_or(t.typtype = 'b' AND t.typcategory <> 'A' AND t.typnamespace <> 'pg_catalog'::regnamespace) AS everything
    FROM tidemark.type_parts(tidemark.column_types(source)) AS p (type) JOIN pg_type t ON t.oid = p.type
  )
  SELECT array_remove(ARRAY[
      'search_path=pg_catalog, pg_temp',
      CASE WHEN n.zone OR n.everything THEN 'TimeZone=UTC' END,
      CASE WHEN n.dates OR n.everything THEN 'DateStyle=ISO' END,
      CASE WHEN n.intervals OR n.everything THEN 'IntervalStyle=postgres' END,
      CASE WHEN n.bytes OR n.everything THEN 'bytea_output=hex' END,
      CASE WHEN n.floats OR n.everything THEN 'extra_float_digits=1' END,
      CASE WHEN n.money OR n.everything THEN 'lc_monetary=C' END
    ], NULL)
    FROM needs AS n);
END $$;

-- Pins the settings of a stream's capture functions, if its table's columns need others than they have.
CREATE FUNCTION tidemark.pin_capture_settings(of_stream integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  settings text[];
  capture record;
  setting text;
BEGIN
  SELECT tidemark.capture_settings(s.source_table) INTO STRICT settings
    FROM tidemark.stream s WHERE s.stream_id = of_stream;
  FOR capture IN SELECT p.proname AS name, n.needed
    FROM pg_proc p CROSS JOIN LATERAL (
      -- A row that a policy hides would be gone without a word.
      SELECT settings || CASE WHEN p.proname LIKE 'truncate%' THEN ARRAY['row_security=off'] END AS needed) AS n
    WHERE p.oid = ANY (tidemark.capture_functions(of_stream)) AND p.proconfig IS DISTINCT FROM n.needed
  LOOP
    EXECUTE format('ALTER FUNCTION tidemark.%I() RESET ALL', capture.name);
    FOREACH setting IN ARRAY capture.needed LOOP
      -- A list of names, each of which is one already; or a value.
      EXECUTE format(CASE WHEN starts_with(setting, 'search_path=') THEN 'ALTER FUNCTION tidemark.%I() SET %I TO %s'
        ELSE 'ALTER FUNCTION tidemark.%I() SET %I TO %L' END, capture.name, split_part(setting, '=', 1),
        split_part(setting, '=', 2));
    END LOOP;
  END LOOP;
END $$;

-- The functions that a stream's triggers call, as far as there are any.
CREATE FUNCTION tidemark.capture_functions(of_stream integer) RETURNS oid[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN array_remove(ARRAY[to_regprocedure(format('tidemark.%I()', 'capture_' || of_stream)),
    to_regprocedure(format('tidemark.%I()', 'truncate_' || of_stream))], NULL)::oid[];
END $$;

-- The triggers that a stream has at its table, which is named for a statement.
CREATE FUNCTION tidemark.capture_triggers(of_stream integer, OUT source text, OUT name name) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('%I.%I', n.nspname, c.relname), t.tgname
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE t.tgfoid = ANY (tidemark.capture_functions(of_stream)) AND t.tgparentid = 0
    ORDER BY t.tgname
$$;

-- What a capture function does for readers that wait.
CREATE FUNCTION tidemark.wake_up(of_stream integer) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('PERFORM nextval(%L);', tidemark.bell(of_stream))
$$;

-- A number of bytes of which a row's image has no fewer, as the SQL that finds it without reading what is stored apart
-- from the row: the full size of a text or a bytea is in front of it, also of one that is compressed.
CREATE FUNCTION tidemark.least_image_size(source oid, item text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT '0::bigint' || coalesce(string_agg(format(
      CASE b.type WHEN 'bytea'::regtype THEN ' + coalesce(octet_length(%s.%I), 0)::bigint * 2'
        ELSE ' + coalesce(octet_length(%s.%I::text), 0)' END, item, a.attname), '' ORDER BY a.attnum), '')
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    CROSS JOIN LATERAL (SELECT CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END) AS b (type)
    WHERE a.attrelid = source AND a.attnum > 0 AND NOT a.attisdropped
      AND b.type IN ('bytea'::regtype, 'text'::regtype, 'varchar'::regtype)
$$;

-- A row's image, or JSON's null, which is no row's image and says in its place that it is larger than the stream takes.
-- One that does not fit into memory is larger, too: what the server takes as a row is none of the capture's to refuse.
CREATE FUNCTION tidemark.image_within(item record, most integer) RETURNS json
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  image json;
BEGIN
  image := row_to_json(item);
  RETURN CASE WHEN octet_length(image::text) <= most THEN image ELSE 'null' END;
EXCEPTION WHEN program_limit_exceeded OR out_of_memory OR internal_error THEN
  RETURN 'null';
END $$;

-- The SQL of whether a row's image is sure to be within the limit: compression makes a value 255 times smaller at most,
-- and JSON a character six times longer.
CREATE FUNCTION tidemark.is_small(item_row text, most integer) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('pg_column_size(%s) BETWEEN 0 AND %s', item_row, most / 2048)
$$;

-- The SQL of the image of a row of any size: what is sure to be too large is not written as JSON in the first place. The
-- row is a record of a name, with what stands for it as a value.
CREATE FUNCTION tidemark.image_expression(most integer, source oid, item text, item_row text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('CASE WHEN %1$s > %2$s THEN ''null'' WHEN %4$s THEN row_to_json(%3$s) '
    'ELSE tidemark.image_within(%3$s, %2$s) END', tidemark.least_image_size(source, item), most, item_row,
    tidemark.is_small(item_row, most))
$$;

-- What a capture function does for the image of a row that may be large. The subquery is for the planner, which would
-- make a copy of the row for each place where it is mentioned.
CREATE FUNCTION tidemark.take_image(most integer, item text, variable text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format($body$IF pg_column_size(%2$s) BETWEEN 0 AND %4$s THEN
        %3$s := tidemark.image_within(%2$s, %1$s);
      ELSE
        BEGIN
          EXECUTE format('SELECT %%s FROM (SELECT $1 AS item OFFSET 0) AS i',
            tidemark.image_expression(%1$s, TG_RELID, '(i.item)', 'i.item')) INTO %3$s USING %2$s;
        EXCEPTION WHEN program_limit_exceeded OR out_of_memory OR internal_error THEN
          %3$s := 'null';
        END;
      END IF;$body$, most, item, variable, most / 256)
$$;

-- Gives a function that was made for a stream's table to the owner of that, with whose rights it runs: what he has defined,
-- a cast to json for instance, is run in it. It is for nobody else, for whoever may execute it can make it the trigger
-- of a table of theirs, and so write any record.
CREATE FUNCTION tidemark.give_away(function_name text, source oid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  owner CONSTANT regrole := (SELECT c.relowner FROM pg_class c WHERE c.oid = source);
  needs_grant boolean;
BEGIN
  PERFORM tidemark.make_private('ROUTINE', function_name);
  IF owner = (SELECT p.proowner FROM pg_proc p WHERE p.oid = function_name::regprocedure) THEN
    RETURN;
  END IF;
  -- A role that gives a function away, and is no superuser, can do so only to a role that may create one here.
  needs_grant := NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user)
    AND NOT has_schema_privilege(owner, 'tidemark', 'CREATE');
  IF needs_grant THEN
    EXECUTE format('GRANT CREATE ON SCHEMA tidemark TO %s', owner);
  END IF;
  EXECUTE format('ALTER FUNCTION %s OWNER TO %s', function_name, owner);
  IF needs_grant THEN
    EXECUTE format('REVOKE CREATE ON SCHEMA tidemark FROM %s', owner);
  END IF;
END $$;

-- What the owner of a stream's table needs for the functions that were given to him: to write to this inbox, and no other.
CREATE FUNCTION tidemark.grant_capture(of_stream integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  inbox CONSTANT text := format('tidemark.%I', 'inbox_' || of_stream);
  owner regrole;
  earlier regrole;
BEGIN
  SELECT c.relowner INTO STRICT owner FROM tidemark.stream s JOIN pg_class c ON c.oid = s.source_table
    WHERE s.stream_id = of_stream;
  FOR earlier IN SELECT DISTINCT a.grantee FROM pg_class c CROSS JOIN aclexplode(c.relacl) AS a
    WHERE c.oid = inbox::regclass AND a.grantee NOT IN (c.relowner, owner)
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s', inbox, earlier);
  END LOOP;
  EXECUTE format('GRANT INSERT ON %s TO %s', inbox, owner);
  EXECUTE format('GRANT USAGE ON SEQUENCE %s TO %s', tidemark.bell(of_stream), owner);
  EXECUTE format('GRANT SELECT ON tidemark.expiry_run, tidemark.own_capture TO %s', owner);
  EXECUTE format('GRANT USAGE ON SCHEMA tidemark TO %s', owner);
  EXECUTE format('GRANT EXECUTE ON FUNCTION tidemark.key_text(smallint), tidemark.key_text(integer), '
    'tidemark.key_text(bigint), tidemark.key_text(numeric), tidemark.key_text(real), tidemark.key_text(double precision), '
    'tidemark.key_text(text), tidemark.key_text(character), tidemark.key_text(anyelement), tidemark.image_within, '
    'tidemark.image_expression, tidemark.is_small, tidemark.least_image_size, tidemark.partition_hash, '
    'tidemark.check_copy TO %s', owner);
END $$;

-- Writes the function that a table's row trigger calls. It is generated for each stream, so that a write pays only
-- for the images that its view type has: an insert or a delete is one statement, and so is an update that keeps
-- the key. A writer never waits here: neither the inbox nor the bell has a lock to queue on. How
-- values are written as text is not left to the writer's session: one item's keys would read differently from two
-- time zones, and go to two shards.
CREATE FUNCTION tidemark.create_capture_function(of_stream integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream tidemark.stream;
  keeps_new boolean;
  keeps_old boolean;
  old_key text;
  new_key text;
  old_image text;
  new_image text;
  insert_into text;
  old_is_small text;
  new_is_small text;
BEGIN
  SELECT * INTO STRICT stream FROM tidemark.stream s WHERE s.stream_id = of_stream;
  keeps_new := stream.view_type IN ('NEW_IMAGE', 'NEW_AND_OLD_IMAGES');
  keeps_old := stream.view_type IN ('OLD_IMAGE', 'NEW_AND_OLD_IMAGES');
  old_key := tidemark.key_expression(stream.key_columns, stream.key_spellings, 'OLD');
  new_key := tidemark.key_expression(stream.key_columns, stream.key_spellings, 'NEW');
  old_image := CASE WHEN keeps_old THEN 'row_to_json(OLD)' ELSE 'NULL' END;
  new_image := CASE WHEN keeps_new THEN 'row_to_json(NEW)' ELSE 'NULL' END;
  old_is_small := tidemark.is_small('OLD', stream.maximum_image_size);
  new_is_small := tidemark.is_small('NEW', stream.maximum_image_size);
  insert_into := format('INSERT INTO tidemark.%I (event_name, partition_key, new_image, old_image)',
    'inbox_' || of_stream);
  -- Each statement names the table: a session whose plans know a key column by another type makes them again when the
  -- table has changed. The planner takes the condition for what it is, and leaves it out. No statement has a row that
  -- may be large: for its first plans the planner would make copies of it.
  EXECUTE format('CREATE OR REPLACE FUNCTION tidemark.%I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS %L',
    'capture_' || of_stream, format($body$
DECLARE
  old_value json;
  new_value json;
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF %10$s AND %11$s THEN
      -- One statement for what nearly all updates are: every further expression is set up again in every transaction.
      %5$s
      SELECT 'MODIFY', %2$s, %4$s, %3$s WHERE NOT OLD *= NEW AND %1$s = %2$s AND %6$L::regclass IS NOT NULL;
      IF NOT FOUND THEN
        IF OLD *= NEW THEN
          RETURN NULL;
        END IF;
        -- Another key is another item.
        %5$s
        SELECT 'REMOVE', %1$s, NULL, %3$s WHERE %6$L::regclass IS NOT NULL;
        %5$s
        SELECT 'INSERT', %2$s, %4$s, NULL WHERE %6$L::regclass IS NOT NULL;
      END IF;
    ELSE
      BEGIN
        IF OLD *= NEW THEN
          RETURN NULL;
        END IF;
      EXCEPTION WHEN program_limit_exceeded OR out_of_memory OR internal_error THEN
        -- Too large to be compared, so it counts as a change.
        NULL;
      END;
      %12$s
      %13$s
      %5$s
      SELECT 'MODIFY', %2$s, new_value, old_value WHERE %1$s = %2$s AND %6$L::regclass IS NOT NULL;
      IF NOT FOUND THEN
        %5$s
        SELECT 'REMOVE', %1$s, NULL, old_value WHERE %6$L::regclass IS NOT NULL;
        %5$s
        SELECT 'INSERT', %2$s, new_value, NULL WHERE %6$L::regclass IS NOT NULL;
      END IF;
    END IF;
  ELSIF TG_OP = 'INSERT' THEN
    IF %15$s THEN
      %5$s
      SELECT 'INSERT', %2$s, %4$s, NULL WHERE %6$L::regclass IS NOT NULL;
    ELSE
      %13$s
      %5$s
      SELECT 'INSERT', %2$s, new_value, NULL WHERE %6$L::regclass IS NOT NULL;
    END IF;
  ELSE
    IF %14$s THEN
      INSERT INTO tidemark.%9$I (event_name, cause, partition_key, old_image)
      SELECT 'REMOVE', %8$s, %1$s, %3$s WHERE %6$L::regclass IS NOT NULL;
    ELSE
      %12$s
      INSERT INTO tidemark.%9$I (event_name, cause, partition_key, old_image)
      SELECT 'REMOVE', %8$s, %1$s, old_value WHERE %6$L::regclass IS NOT NULL;
    END IF;
  END IF;
  %7$s
  RETURN NULL;
END $body$,
    old_key, new_key, old_image, new_image, insert_into, stream.source_table::oid,
    tidemark.wake_up(of_stream),
    CASE WHEN stream.expiry_column IS NULL THEN 'NULL' ELSE format(
      'CASE WHEN EXISTS (SELECT FROM tidemark.expiry_run AS r WHERE r.stream_id = %s '
      'AND r.xid = pg_current_xact_id()) THEN ''E''::"char" END', of_stream) END,
    'inbox_' || of_stream, old_is_small, new_is_small,
    CASE WHEN keeps_old THEN tidemark.take_image(stream.maximum_image_size, 'OLD', 'old_value') END,
    CASE WHEN keeps_new THEN tidemark.take_image(stream.maximum_image_size, 'NEW', 'new_value') END,
    CASE WHEN keeps_old THEN old_is_small ELSE 'true' END, CASE WHEN keeps_new THEN new_is_small ELSE 'true' END));
  PERFORM tidemark.give_away(format('tidemark.%I()', 'capture_' || of_stream), stream.source_table);
END $$;

-- What makes the SQL of a truncated row's image, in the function that the table's TRUNCATE trigger calls.
CREATE FUNCTION tidemark.truncated_image(most integer) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('tidemark.image_expression(%s, TG_RELID, %L, %L)', most, '"tidemark item"', '"tidemark item".*')
$$;

-- Writes the function that the table's TRUNCATE trigger calls: a removal for each row.
CREATE FUNCTION tidemark.create_truncate_function(of_stream integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream tidemark.stream;
BEGIN
  SELECT * INTO STRICT stream FROM tidemark.stream s WHERE s.stream_id = of_stream;
  EXECUTE format('CREATE OR REPLACE FUNCTION tidemark.%I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS %L',
    'truncate_' || of_stream, format($body$
BEGIN
  -- An id is only taken by a transaction that has its xid: see candidate_xid in tidemark.step.
  PERFORM pg_current_xact_id();
  EXECUTE %L || %s || ' FROM ONLY ' || TG_RELID::regclass || ' AS "tidemark item"';
  %s
  RETURN NULL;
END $body$,
    format('INSERT INTO tidemark.%I (event_name, partition_key, old_image) SELECT ''REMOVE'', %s, ',
      'inbox_' || of_stream, tidemark.key_expression(stream.key_columns, stream.key_spellings, '"tidemark item"')),
    CASE WHEN stream.view_type IN ('OLD_IMAGE', 'NEW_AND_OLD_IMAGES')
      THEN tidemark.truncated_image(stream.maximum_image_size) ELSE '''NULL''' END,
    tidemark.wake_up(of_stream)));
  PERFORM tidemark.give_away(format('tidemark.%I()', 'truncate_' || of_stream), stream.source_table);
END $$;

-- A stream for a table whose changes nothing captures yet. The table stays locked against writers until the end of the
-- transaction.
CREATE FUNCTION tidemark.begin_stream(
  source regclass, stream_name text, view text, kept_for interval, shard_count integer, captured_by text
) RETURNS integer
LANGUAGE plpgsql
-- Writers that wait after this transaction's lock wait no longer than this. The caller tries again.
SET lock_timeout = '500ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  class pg_class;
  namespace text;
  problem text;
  remedy text;
  key record;
  unspelled integer;
  strange_type text;
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
  ELSIF captured_by = 'TRIGGER' AND EXISTS (SELECT FROM pg_attribute a
      WHERE a.attrelid = source AND a.attgenerated = 'v' AND NOT a.attisdropped) THEN
    problem := 'a table with virtual generated columns';
    remedy := 'A trigger does not see their values. Make them STORED.';
  END IF;
  IF problem IS NOT NULL THEN
    RAISE EXCEPTION '% is %', source, problem USING ERRCODE = 'TM003', HINT = remedy;
  END IF;
  PERFORM tidemark.require_ownership(source);
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
  key := tidemark.primary_key(source);
  IF key.names IS NULL THEN
    RAISE EXCEPTION '% has no primary key', source USING ERRCODE = 'TM003',
      HINT = format('A stream orders the changes of an item by its key: ALTER TABLE %s ADD PRIMARY KEY (...).', source);
  END IF;
  -- Two transactions could hold one key at the same time, and their changes would have no order.
  IF NOT key.is_immediate THEN
    RAISE EXCEPTION 'the primary key of % is deferrable', source USING ERRCODE = 'TM003',
      HINT = 'Make it NOT DEFERRABLE: the order of an item''s changes rests on it.';
  END IF;
  unspelled := array_position(key.spellings, NULL);
  IF unspelled IS NOT NULL THEN
    RAISE EXCEPTION 'the column % of the primary key of % is %: equal values of that may be written in several ways, '
      'and one item would pass for several', key.names[unspelled], source, key.types[unspelled]
      USING ERRCODE = 'TM003', HINT = 'Make a number, a text, a UUID, a date or a time the primary key, for instance '
        'an identity column, and this one UNIQUE.';
  END IF;

  strange_type := tidemark.strange_type(source);
  IF strange_type IS NOT NULL THEN
    RAISE EXCEPTION '% has values of the type %, which belongs to another role', source, strange_type
      USING ERRCODE = 'TM003', HINT = format('That role could have its own code run with the rights of the table''s owner, as '
        'a cast to json: ALTER TYPE %s OWNER TO %s.', strange_type, class.relowner::regrole);
  END IF;

  stream_name := coalesce(stream_name,
    CASE namespace WHEN 'public' THEN class.relname::text ELSE namespace || '.' || class.relname END);
  IF NOT tidemark.may('{administrator}', stream_name) THEN
    PERFORM tidemark.refuse('{administrator}', stream_name);
  END IF;
  new_id := tidemark.add_stream(stream_name, kept_for, shard_count, source, source::text, view, key.names);
  UPDATE tidemark.stream s SET capture = captured_by, key_spellings = key.spellings WHERE s.stream_id = new_id;
  RETURN new_id;
END $$;

-- A type in a table's columns whose owner could do more by it than he may: casts to json that he makes are run by whoever
-- writes JSON, which is the table's owner here. (No cast of a domain is ever looked up.)
CREATE FUNCTION tidemark.strange_type(source oid) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- Most tables have the server's own types alone, which are made of no others.
  IF NOT EXISTS (SELECT FROM pg_attribute a
    WHERE a.attrelid = source AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= 16384)
  THEN
    RETURN NULL;
  END IF;
  RETURN (SELECT min(format_type(t.oid, NULL))
    FROM pg_class c CROSS JOIN tidemark.type_parts(tidemark.column_types(c.oid)) AS p (type)
    JOIN pg_type t ON t.oid = p.type
    WHERE c.oid = source AND t.oid >= 16384 AND t.typtype <> 'd' AND NOT pg_has_role(t.typowner, c.relowner, 'MEMBER'));
END $$;

-- Makes the functions of an enabled stream's own, or makes them again as this version of the schema makes them. Locks
-- nothing: whoever runs one of them runs it to its end.
CREATE FUNCTION tidemark.create_functions(of_stream integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream tidemark.stream;
BEGIN
  SELECT * INTO STRICT stream FROM tidemark.stream s WHERE s.stream_id = of_stream;
  PERFORM tidemark.create_sequencing_function(of_stream);
  IF stream.capture = 'LOGICAL' THEN
    PERFORM tidemark.create_append_function(of_stream);
  END IF;
  -- The stream of a table that was dropped is enabled until somebody looks after it.
  IF EXISTS (SELECT FROM pg_class c WHERE c.oid = stream.source_table) THEN
    IF stream.capture = 'LOGICAL' THEN
      PERFORM tidemark.create_truncate_function(of_stream, c.capture_id)
        FROM tidemark.logical_capture c WHERE c.stream_id = of_stream;
    ELSE
      PERFORM tidemark.create_capture_function(of_stream);
      PERFORM tidemark.create_truncate_function(of_stream);
    END IF;
    PERFORM tidemark.create_copy_function(of_stream);
    PERFORM tidemark.grant_capture(of_stream);
    PERFORM tidemark.pin_capture_settings(of_stream);
  END IF;
  UPDATE tidemark.stream s SET generator_version = tidemark.generator_version() WHERE s.stream_id = of_stream;
END $$;

-- Rises with every migration that changes what these functions are made from, which ends with renew_functions.
CREATE FUNCTION tidemark.generator_version() RETURNS integer
LANGUAGE sql IMMUTABLE
RETURN 1;

-- Makes the functions of all enabled streams again, for a migration, up and down. Writers of the tables wait for nothing;
-- whoever enables a stream meanwhile makes its functions after this.
CREATE FUNCTION tidemark.renew_functions() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream integer;
BEGIN
  LOCK TABLE tidemark.adding IN SHARE UPDATE EXCLUSIVE MODE;
  FOR stream IN SELECT s.stream_id FROM tidemark.stream s WHERE s.status = 'ENABLED' ORDER BY s.stream_id LOOP
    PERFORM tidemark.take_turn(stream);
    -- It may have been disabled before the turn was got.
    PERFORM tidemark.create_functions(s.stream_id) FROM tidemark.stream s
      WHERE s.stream_id = stream AND s.status = 'ENABLED';
  END LOOP;
END $$;

-- Makes the triggers of an enabled stream and the functions that they call, or makes them again as they were made.
CREATE FUNCTION tidemark.create_triggers(of_stream integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  source regclass;
  is_decoded boolean;
  kind record;
  trigger record;
BEGIN
  SELECT s.source_table, s.capture = 'LOGICAL' INTO STRICT source, is_decoded
    FROM tidemark.stream s WHERE s.stream_id = of_stream;
  -- One call at a time.
  EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', source);
  PERFORM tidemark.create_functions(of_stream);
  -- Triggers fire in the order of their names. "!" makes these the first, so that a change is captured before what
  -- another trigger of the same row does because of it.
  -- A stream before this one may have left its own, which are switched off: see tidemark.clean_up_table.
  FOR kind IN SELECT * FROM (VALUES
      ('!tidemark_capture', 'capture_', 'AFTER INSERT OR UPDATE OR DELETE', 'ROW'),
      ('!tidemark_truncate', 'truncate_', 'BEFORE TRUNCATE', 'STATEMENT')) AS k (name, function, event, level)
    WHERE NOT (is_decoded AND k.level = 'ROW')
  LOOP
    EXECUTE format('CREATE OR REPLACE TRIGGER %I %s ON %s FOR EACH %s EXECUTE FUNCTION tidemark.%I()',
      -- Somebody may have renamed it.
      coalesce((SELECT min(t.tgname) FROM pg_trigger t WHERE t.tgrelid = source AND t.tgparentid = 0
        AND t.tgfoid = to_regprocedure(format('tidemark.%I()', kind.function || of_stream))), kind.name),
      kind.event, source, kind.level, kind.function || of_stream);
  END LOOP;
  -- Those of partitions can be switched off by themselves. Changes are decoded whoever makes them, also a subscription and
  -- a session in replica mode.
  FOR trigger IN SELECT t.tgrelid::regclass AS source, t.tgname AS name FROM pg_trigger t
    WHERE t.tgfoid = ANY (tidemark.capture_functions(of_stream))
      AND t.tgenabled <> 'A' AND (is_decoded OR t.tgenabled <> 'O')
  LOOP
    EXECUTE format('ALTER TABLE %s ENABLE %s TRIGGER %I', trigger.source,
      CASE WHEN is_decoded THEN 'ALWAYS' ELSE '' END, trigger.name);
  END LOOP;
END $$;

CREATE FUNCTION tidemark.enable_stream(
  source regclass, stream_name text DEFAULT NULL, view text DEFAULT 'NEW_AND_OLD_IMAGES',
  kept_for interval DEFAULT interval '24 hours', shard_count integer DEFAULT 4
) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '500ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  new_id integer := tidemark.begin_stream(source, stream_name, view, kept_for, shard_count, 'TRIGGER');
BEGIN
  PERFORM tidemark.create_triggers(new_id);
  RETURN new_id;
END $$;

-- What the inbox of a disabled stream does with a record.
CREATE FUNCTION tidemark.refuse_record() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'the stream "%" is disabled and takes no records', TG_ARGV[0] USING ERRCODE = 'TM002',
    HINT = 'Enable it again, or create another one: tidemark stream create NAME.';
END $$;

-- Switches a stream's triggers off, and locks its table against writers until the end of the transaction. Not dropped:
-- that would wait for readers, too, and everybody else would wait after it.
CREATE FUNCTION tidemark.switch_triggers_off(of_stream integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  trigger record;
BEGIN
  FOR trigger IN SELECT * FROM tidemark.capture_triggers(of_stream) LOOP
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', trigger.source);
    EXECUTE format('ALTER TABLE %s DISABLE TRIGGER %I', trigger.source, trigger.name);
  END LOOP;
END $$;

-- Drops what a disabled stream has left at its table. A call that would have to wait for others, be it for one that only
-- reads the table, changes nothing and returns false; maintenance calls it again.
CREATE FUNCTION tidemark.clean_up_table(of_stream integer) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '100ms' SET client_min_messages = warning
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  trigger record;
BEGIN
  FOR trigger IN SELECT * FROM tidemark.capture_triggers(of_stream) LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', trigger.name, trigger.source);
  END LOOP;
  EXECUTE format('DROP FUNCTION IF EXISTS tidemark.%I(), tidemark.%I()', 'capture_' || of_stream,
    'truncate_' || of_stream);
  EXECUTE format('DROP FUNCTION IF EXISTS tidemark.%I', 'copy_' || of_stream);
  RETURN true;
EXCEPTION WHEN lock_not_available THEN
  RETURN false;
END $$;

-- Stops the capture, sequences what is left, and closes all shards. The stream stays readable until retention.
CREATE FUNCTION tidemark.disable_stream(of_stream integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM tidemark.require('{administrator}', of_stream);
  PERFORM tidemark.require_ownership(s.source_table) FROM tidemark.stream s WHERE s.stream_id = of_stream;
  PERFORM tidemark.end_stream(of_stream);
END $$;

-- The same, whoever asks: a stream also ends because its table is gone, or its capture.
CREATE FUNCTION tidemark.end_stream(of_stream integer) RETURNS void
LANGUAGE plpgsql
-- Writers that wait after this transaction's locks wait no longer than this. The caller tries again.
SET lock_timeout = '500ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream tidemark.stream;
BEGIN
  PERFORM tidemark.check_isolation();
  SELECT * INTO stream FROM tidemark.stream s WHERE s.stream_id = of_stream;
  IF stream.status = 'ENABLED' THEN
    -- Before the turn, because this waits for the table's writers.
    PERFORM tidemark.switch_triggers_off(of_stream);
  END IF;
  PERFORM tidemark.take_turn(of_stream);
  SELECT * INTO stream FROM tidemark.stream s WHERE s.stream_id = of_stream;
  IF stream.status IS DISTINCT FROM 'ENABLED' THEN
    RAISE EXCEPTION 'the stream is not enabled' USING ERRCODE = 'TM002',
      HINT = 'List those that are: tidemark stream list.';
  END IF;
  -- Waits for transactions that have put records and not ended.
  EXECUTE format('LOCK TABLE tidemark.%I IN SHARE ROW EXCLUSIVE MODE', 'inbox_' || of_stream);
  WHILE tidemark.sequence_inbox(of_stream, 10000, 67108864) > 0 LOOP
  END LOOP;
  PERFORM tidemark.close_shards(of_stream,
    ARRAY(SELECT s.shard_ordinal FROM tidemark.shard s WHERE s.stream_id = of_stream));
  UPDATE tidemark.stream s SET status = 'DISABLED', disabled_at = clock_timestamp() WHERE s.stream_id = of_stream;
  UPDATE tidemark.stream_problem p SET gone_at = clock_timestamp() WHERE p.stream_id = of_stream AND p.gone_at IS NULL;
  PERFORM tidemark.clean_up_table(of_stream);
  -- Not left to whoever puts: in a transaction whose snapshot is from before, the stream is still enabled.
  EXECUTE format('CREATE TRIGGER disabled BEFORE INSERT ON tidemark.%I EXECUTE FUNCTION tidemark.refuse_record(%L)',
    'inbox_' || of_stream, stream.name);
END $$;
