-- What each role may do with which streams. Functions that run with the rights of the schema's owner ask here.

-- What a name is LIKE that a pattern stands for, in which * is any characters.
CREATE FUNCTION tidemark.like_pattern(pattern text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN replace(regexp_replace(pattern, '([\\%_])', '\\\1', 'g'), '*', '%');

-- Takes all rights to a table, sequence or function from everybody but its owner: what the default privileges of that give
-- to others is not meant for what is in here.
CREATE FUNCTION tidemark.make_private(of_kind text, name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  receiver text;
BEGIN
  FOR receiver IN SELECT 'PUBLIC' UNION SELECT a.grantee::regrole::text
    FROM (SELECT c.relowner, c.relacl FROM pg_class AS c WHERE of_kind = 'TABLE' AND c.oid = to_regclass(name)
      UNION ALL
      SELECT p.proowner, p.proacl FROM pg_proc AS p WHERE of_kind = 'ROUTINE' AND p.oid = to_regprocedure(name)
    ) AS o (owner, acl) CROSS JOIN aclexplode(o.acl) AS a
    WHERE a.grantee NOT IN (0, o.owner)
  LOOP
    EXECUTE format('REVOKE ALL ON %s %s FROM %s', of_kind, name, receiver);
  END LOOP;
END $$;

-- The number of the role that has a name now. IMMUTABLE because that is computed when a right is given and stays, and when
-- a dump is restored, which does not have it.
CREATE FUNCTION tidemark.role_number(role_name text) RETURNS oid
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT to_regrole(quote_ident(role_name))::oid
$$;

-- The rights that were given. A role that is made later has none of those that one of the same name had.
CREATE TABLE tidemark.access (
  kind text NOT NULL CHECK (kind IN ('consumer', 'administrator', 'capturer', 'producer', 'expirer', 'monitor')),
  role_name text NOT NULL,
  role oid GENERATED ALWAYS AS (tidemark.role_number(role_name)) STORED,
  -- A consumer's and a monitor's; others have *.
  application text NOT NULL,
  stream text NOT NULL,
  PRIMARY KEY (kind, role_name, application, stream)
);

-- The role whose rights count: whom a session has become by SET ROLE, or whoever has opened it. (In a function that runs
-- with its owner's rights current_user is that owner.)
CREATE FUNCTION tidemark.caller() RETURNS name
LANGUAGE sql STABLE
RETURN coalesce(nullif(current_setting('role'), 'none'), session_user);

-- The roles that are consumers of the streams of a name, for an application if one is named.
CREATE FUNCTION tidemark.readers(stream_name text, of_application text DEFAULT NULL) RETURNS SETOF regrole
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT DISTINCT a.role::regrole FROM tidemark.access AS a
    WHERE a.kind = 'consumer' AND has_table_privilege(a.role, 'tidemark.access'::regclass, 'SELECT')
      AND stream_name LIKE tidemark.like_pattern(a.stream)
      AND (of_application IS NULL OR of_application LIKE tidemark.like_pattern(a.application))
$$;

-- Whether the caller has one of these rights to a stream of that name, for an application if one is named. Every step asks:
-- a query within this function is planned once a session, one within a function in SQL each time.
CREATE FUNCTION tidemark.may(kinds text[], stream_name text, of_application text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  asking CONSTANT name := tidemark.caller();
BEGIN
  RETURN (SELECT pg_has_role(asking, n.nspowner, 'USAGE') FROM pg_namespace n WHERE n.nspname = 'tidemark')
    OR EXISTS (SELECT FROM tidemark.access AS a
      WHERE a.kind = ANY (kinds) AND pg_has_role(asking, a.role, 'USAGE')
        AND stream_name LIKE tidemark.like_pattern(a.stream)
        AND (of_application IS NULL OR of_application LIKE tidemark.like_pattern(a.application)));
END $$;

-- Refuses a caller who has none of these rights to a stream. One that does not exist (any more) is the caller's business.
CREATE FUNCTION tidemark.require(kinds text[], of_stream integer, of_application text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream_name text;
BEGIN
  SELECT s.name INTO stream_name FROM tidemark.stream s WHERE s.stream_id = of_stream;
  IF FOUND AND NOT tidemark.may(kinds, stream_name, of_application) THEN
    PERFORM tidemark.refuse(kinds, stream_name, of_application);
  END IF;
END $$;

CREATE FUNCTION tidemark.refuse(kinds text[], stream_name text, of_application text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'the role "%" is no % of the stream "%"%', tidemark.caller(), array_to_string(kinds, ' or '), stream_name,
    CASE WHEN of_application IS NULL THEN '' ELSE format(' for the application "%s"', of_application) END
    USING ERRCODE = 'insufficient_privilege', HINT = format('Whoever owns the schema tidemark gives the right: '
      'tidemark grant %s %s --stream %s%s.', kinds[1], quote_ident(tidemark.caller()), stream_name,
      ' --application ' || of_application);
END $$;

-- Refuses a caller who does not own a table. What its triggers do is its owner's business.
CREATE FUNCTION tidemark.require_ownership(source regclass) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  owner oid;
BEGIN
  SELECT c.relowner INTO owner FROM pg_class c WHERE c.oid = source;
  IF FOUND AND NOT pg_has_role(tidemark.caller(), owner, 'USAGE') THEN
    RAISE EXCEPTION 'the role "%" does not own the table %', tidemark.caller(), source
      USING ERRCODE = 'insufficient_privilege', HINT = format('Do it as %s, or as a role that belongs to it: '
        'GRANT %1$s TO %s.', owner::regrole, quote_ident(tidemark.caller()));
  END IF;
END $$;

-- Whoever is at a work that takes more than one transaction. The advisory lock says for as long as the session lives that
-- it is still there. Any role can take such a lock once it knows the key: so the key is random, and only the process that
-- is noted here counts as its holder.
CREATE TABLE tidemark.presence (
  work text PRIMARY KEY,
  process integer NOT NULL,
  lock_key bigint NOT NULL
);

CREATE FUNCTION tidemark.is_present(at_work text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM tidemark.presence p
    JOIN pg_locks k ON k.locktype = 'advisory' AND k.objsubid = 1 AND k.granted AND k.pid = p.process
      AND (k.classid::bigint << 32) | k.objid::bigint = p.lock_key
      AND k.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    WHERE p.work = at_work)
$$;

-- Notes that this session is at a work until it ends; false if another one is.
CREATE FUNCTION tidemark.appear(at_work text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  key CONSTANT bigint := ('x' || left(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint;
BEGIN
  -- Whoever else does the same now waits here.
  INSERT INTO tidemark.presence AS p VALUES (at_work, pg_backend_pid(), key)
    ON CONFLICT (work) DO UPDATE SET process = p.process;
  IF (SELECT p.lock_key FROM tidemark.presence p WHERE p.work = at_work) <> key THEN
    IF tidemark.is_present(at_work) THEN
      RETURN false;
    END IF;
    UPDATE tidemark.presence p SET process = pg_backend_pid(), lock_key = key WHERE p.work = at_work;
  END IF;
  PERFORM pg_advisory_lock(key);
  RETURN true;
END $$;

-- Forgets works that nobody is at.
CREATE FUNCTION tidemark.forget_absent() RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  DELETE FROM tidemark.presence p WHERE NOT tidemark.is_present(p.work)
$$;
