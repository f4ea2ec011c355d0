-- Rights. A consumer keeps the leases of its applications on its streams and sees no others. A monitor sees leases,
-- workers and how many dead letters there are, of what it was given, but no contents. All else belongs to the schema's
-- owner.

-- What a name is LIKE that a pattern stands for, in which * is any characters.
CREATE FUNCTION tidemark_leases.like_pattern(pattern text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN replace(regexp_replace(pattern, '([\\%_])', '\\\1', 'g'), '*', '%');

-- The number of the role that has a name now. IMMUTABLE because that is computed when a right is given and stays, and when
-- a dump is restored, which does not have it.
CREATE FUNCTION tidemark_leases.role_number(role_name text) RETURNS oid
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT to_regrole(quote_ident(role_name))::oid
$$;

-- The rights that were given. A role that is made later has none of those that one of the same name had.
CREATE TABLE tidemark_leases.access (
  kind text NOT NULL CHECK (kind IN ('consumer', 'monitor')),
  role_name text NOT NULL,
  role oid GENERATED ALWAYS AS (tidemark_leases.role_number(role_name)) STORED,
  application text NOT NULL,
  stream text NOT NULL,
  -- What the application is LIKE.
  applications text NOT NULL GENERATED ALWAYS AS (tidemark_leases.like_pattern(application)) STORED,
  -- What an application and stream are LIKE, parted by a character that no name has: the stream by its name alone, or
  -- with the label of one that is enabled under it.
  scopes text[] NOT NULL GENERATED ALWAYS AS (ARRAY[
    tidemark_leases.like_pattern(application) || E'\x1f' || tidemark_leases.like_pattern(stream),
    tidemark_leases.like_pattern(application) || E'\x1f' || tidemark_leases.like_pattern(stream) || '/%']) STORED,
  PRIMARY KEY (kind, role_name, application, stream)
);

-- What the applications and streams are LIKE, and the applications alone, that the caller has rights of these kinds to.
-- Not SECURITY DEFINER: it is the caller that asks.
CREATE FUNCTION tidemark_leases.granted_scopes(kinds text[]) RETURNS text[]
LANGUAGE sql STABLE
RETURN ARRAY(SELECT unnest(a.scopes) FROM tidemark_leases.access AS a
  WHERE a.kind = ANY (kinds) AND pg_has_role(a.role, 'USAGE'));

CREATE FUNCTION tidemark_leases.granted_applications(kinds text[]) RETURNS text[]
LANGUAGE sql STABLE
RETURN ARRAY(SELECT a.applications FROM tidemark_leases.access AS a
  WHERE a.kind = ANY (kinds) AND pg_has_role(a.role, 'USAGE'));

-- Leases are a consumer's by application and stream. What the workers of an application agree on is for all of its
-- consumers. A policy asks for the caller's rights once a statement, and not for each row. It does so by a query and not
-- by those functions, which the server would plan again each time.
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['lease_scope', 'worker', 'worker_stream', 'plan_turn'] LOOP
    EXECUTE format('ALTER TABLE tidemark_leases.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY consumer ON tidemark_leases.%I USING (application LIKE ANY (ARRAY('
      'SELECT a.applications FROM tidemark_leases.access AS a WHERE a.kind = %L AND pg_has_role(a.role, %L))))', name,
      'consumer', 'USAGE');
  END LOOP;
  FOREACH name IN ARRAY ARRAY['lease', 'lease_load', 'dead_letter'] LOOP
    EXECUTE format('ALTER TABLE tidemark_leases.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY consumer ON tidemark_leases.%I USING ((application || %L || stream) LIKE ANY (ARRAY('
      'SELECT unnest(a.scopes) FROM tidemark_leases.access AS a WHERE a.kind = %L AND pg_has_role(a.role, %L))))', name,
      E'\x1f', 'consumer', 'USAGE');
  END LOOP;
END $$;

-- A role that may delete from a table may lock all of it. So consumers delete by functions that run with the rights of the
-- schema's owner, and by nothing else.

-- Refuses a caller that is no consumer of a stream for an application; without a stream, of any for it.
CREATE FUNCTION tidemark_leases.require_consumer(of_application text, of_stream text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  -- Whom the session has become by SET ROLE, or whoever has opened it: current_user is this function's owner.
  caller CONSTANT name := coalesce(nullif(current_setting('role'), 'none'), session_user);
BEGIN
  IF NOT (SELECT pg_has_role(caller, n.nspowner, 'USAGE') FROM pg_namespace AS n WHERE n.nspname = 'tidemark_leases')
    AND NOT EXISTS (SELECT FROM tidemark_leases.access AS a
      WHERE a.kind = 'consumer' AND pg_has_role(caller, a.role, 'USAGE')
        AND CASE WHEN of_stream IS NULL THEN of_application LIKE a.applications
          ELSE (of_application || E'\x1f' || of_stream) LIKE ANY (a.scopes) END)
  THEN
    RAISE EXCEPTION 'the role "%" is no consumer of the stream "%" for the application "%"', caller,
      coalesce(of_stream, '*'), of_application
      USING ERRCODE = 'insufficient_privilege', HINT = format('Whoever owns the schema tidemark_leases '
        'gives the right: tidemark grant consumer %s --application %s --stream %s.', quote_ident(caller), of_application,
        coalesce(of_stream, '*'));
  END IF;
END $$;

-- Forgets a worker that has left.
CREATE FUNCTION tidemark_leases.forget_worker(of_application text, number bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM tidemark_leases.require_consumer(of_application);
  DELETE FROM tidemark_leases.worker AS w WHERE w.incarnation = number AND w.application = of_application;
END $$;

-- Notes which streams a worker serves from now on, and calls for a plan. Nothing changes for a worker that is dead, and
-- by an announcement that another has overtaken.
CREATE FUNCTION tidemark_leases.serve_streams(of_application text, number bigint, streams text[], version bigint)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM tidemark_leases.require_consumer(of_application);
  PERFORM tidemark_leases.require_consumer(of_application, named.stream) FROM unnest(streams) AS named (stream);
  UPDATE tidemark_leases.worker AS w SET streams_version = version
    WHERE w.incarnation = number AND w.application = of_application AND w.state <> 'dead'
      AND w.streams_version < version;
  IF FOUND THEN
    UPDATE tidemark_leases.lease_scope AS s SET change_version = s.change_version + 1
      WHERE s.application = of_application;
    DELETE FROM tidemark_leases.worker_stream AS v
      WHERE v.application = of_application AND v.incarnation = number AND v.stream <> ALL (streams);
    INSERT INTO tidemark_leases.worker_stream (application, incarnation, stream)
      SELECT of_application, number, named.stream FROM unnest(streams) AS named (stream) ON CONFLICT DO NOTHING;
  END IF;
END $$;

-- Forgets the workers that have been dead for an hour.
CREATE FUNCTION tidemark_leases.forget_dead_workers(of_application text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM tidemark_leases.require_consumer(of_application);
  DELETE FROM tidemark_leases.worker AS w
    WHERE w.application = of_application AND w.state = 'dead'
      AND w.heartbeat_at < clock_timestamp() - interval '1 hour';
END $$;

-- Deletes of the leases named those that nobody needs any more: the shard is read to its end, every child is being read from
-- a position of its own, and no lease of a parent is left that could start them again. Streams and shards go by pairs.
-- What NOT IN looks through is hashed only if it is expected to fit into work_mem, and a plan for these very arrays is one
-- that reads all leases.
CREATE FUNCTION tidemark_leases.delete_ended_leases(of_application text, streams text[], shard_ids text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET work_mem = '256MB'
  SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  PERFORM tidemark_leases.require_consumer(of_application, named.stream)
    FROM (SELECT DISTINCT unnest(streams)) AS named (stream);
  WITH gone AS (
    DELETE FROM tidemark_leases.lease AS d
    USING unnest(streams, shard_ids) AS n (stream, shard_id)
    WHERE d.application = of_application AND d.stream = n.stream AND d.shard_id = n.shard_id
      AND d.ended_at IS NOT NULL
      AND NOT EXISTS (
        SELECT FROM tidemark_leases.lease AS parent
        WHERE parent.application = of_application AND parent.stream = d.stream
          AND parent.shard_id = ANY (d.parent_shard_ids))
      AND (d.stream, d.shard_id) NOT IN (
        SELECT child.stream, unnest(child.parent_shard_ids) FROM tidemark_leases.lease AS child
        WHERE child.application = of_application AND child.stream IN (SELECT unnest(streams))
          AND tidemark_leases.checkpoint_rank(child.checkpoint) < 0)
      AND NOT EXISTS (
        SELECT FROM unnest(d.child_shard_ids) AS named (shard_id)
        LEFT JOIN tidemark_leases.lease AS child ON child.application = of_application AND child.stream = d.stream
          AND child.shard_id = named.shard_id
        WHERE child.shard_id IS NULL OR tidemark_leases.checkpoint_rank(child.checkpoint) < 0)
    RETURNING d.stream, d.shard_id
  ), unmeasured AS (
    DELETE FROM tidemark_leases.lease_load AS m USING gone
    WHERE m.application = of_application AND m.stream = gone.stream AND m.shard_id = gone.shard_id
  )
  UPDATE tidemark_leases.lease_scope AS s SET change_version = s.change_version + 1
    WHERE s.application = of_application AND EXISTS (SELECT FROM gone);
END $$;

-- Deletes the leases of an application on a stream, with its dead letters or without. Whoever calls this has seen to it that
-- none of its workers lives that serves the stream.
CREATE FUNCTION tidemark_leases.delete_leases(of_application text, of_stream text, with_letters boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM tidemark_leases.require_consumer(of_application, of_stream);
  DELETE FROM tidemark_leases.lease AS l WHERE l.application = of_application AND l.stream = of_stream;
  DELETE FROM tidemark_leases.lease_load AS m WHERE m.application = of_application AND m.stream = of_stream;
  IF with_letters THEN
    DELETE FROM tidemark_leases.dead_letter AS d WHERE d.application = of_application AND d.stream = of_stream;
  END IF;
END $$;

-- Deletes what is left of an application once it has no leases and no dead letters: its workers, and what they agreed on.
-- Whoever calls this has seen to it that none of them lives.
CREATE FUNCTION tidemark_leases.forget_application(of_application text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM tidemark_leases.require_consumer(of_application);
  IF EXISTS (SELECT FROM tidemark_leases.lease AS l WHERE l.application = of_application)
    OR EXISTS (SELECT FROM tidemark_leases.dead_letter AS d WHERE d.application = of_application)
  THEN
    RETURN false;
  END IF;
  DELETE FROM tidemark_leases.worker AS w WHERE w.application = of_application;
  DELETE FROM tidemark_leases.plan_turn AS p WHERE p.application = of_application;
  DELETE FROM tidemark_leases.lease_scope AS s WHERE s.application = of_application;
  RETURN true;
END $$;

-- Whether the caller may do all, as the schema's owner may.
CREATE FUNCTION tidemark_leases.is_owner() RETURNS boolean
LANGUAGE sql STABLE
RETURN (SELECT pg_has_role(n.nspowner, 'USAGE') FROM pg_namespace AS n WHERE n.nspname = 'tidemark_leases');

-- Whether the caller may see all leases of an application that its workers serve. A plan of whoever may not leaves some
-- to others.
CREATE FUNCTION tidemark_leases.sees_all_served(of_application text) RETURNS boolean
LANGUAGE sql STABLE
RETURN (SELECT tidemark_leases.is_owner()) OR NOT EXISTS (
  SELECT FROM tidemark_leases.worker_stream AS v
  WHERE v.application = of_application AND NOT (v.application || E'\x1f' || v.stream)
    LIKE ANY ((SELECT tidemark_leases.granted_scopes('{consumer}'))::text[]));

-- What a monitor sees; consumers and the owner see the same. A view, because a policy could not tell a monitor who is
-- a consumer elsewhere from a consumer.
CREATE VIEW tidemark_leases.visible_scope WITH (security_barrier) AS
  SELECT s.* FROM tidemark_leases.lease_scope AS s
  WHERE (SELECT tidemark_leases.is_owner()) OR s.application
    LIKE ANY ((SELECT tidemark_leases.granted_applications('{consumer,monitor}'))::text[]);

CREATE VIEW tidemark_leases.visible_worker WITH (security_barrier) AS
  SELECT w.incarnation, w.application, w.worker_id, w.host, w.process_id, w.state, w.maximum_leases,
    w.failover_interval, w.has_session, w.registered_at, w.heartbeat_at, w.heartbeating_since, w.refused_leases,
    w.died_at, w.has_left
  FROM tidemark_leases.worker AS w JOIN tidemark_leases.visible_scope AS s USING (application);

CREATE VIEW tidemark_leases.visible_worker_stream WITH (security_barrier) AS
  SELECT v.* FROM tidemark_leases.worker_stream AS v JOIN tidemark_leases.visible_scope AS s USING (application);

-- A note that a processor has left is its own.
CREATE VIEW tidemark_leases.visible_lease WITH (security_barrier) AS
  SELECT l.application, l.stream, l.shard_id, l.parent_shard_ids, l.child_shard_ids, l.hash_range_start,
    l.hash_range_end, l.owner, l.last_owner, l.last_epoch, l.left_epoch, l.epoch, l.checkpoint, l.sub_sequence_number,
    l.pending_checkpoint, l.pending_sub_sequence_number, NULL::bytea AS pending_state, l.handoff_to,
    l.handoff_deadline, l.stopped_reason, l.ended_at, l.created_at, l.updated_at
  FROM tidemark_leases.lease AS l
  WHERE (SELECT tidemark_leases.is_owner()) OR (l.application || E'\x1f' || l.stream)
    LIKE ANY ((SELECT tidemark_leases.granted_scopes('{consumer,monitor}'))::text[]);

CREATE VIEW tidemark_leases.visible_load WITH (security_barrier) AS
  SELECT m.* FROM tidemark_leases.lease_load AS m
  WHERE (SELECT tidemark_leases.is_owner()) OR (m.application || E'\x1f' || m.stream)
    LIKE ANY ((SELECT tidemark_leases.granted_scopes('{consumer,monitor}'))::text[]);

CREATE VIEW tidemark_leases.dead_letter_count WITH (security_barrier) AS
  SELECT d.application, d.stream, d.shard_id, count(*) AS dead_letters, min(d.created_at) AS oldest_at,
    max(d.created_at) AS newest_at
  FROM tidemark_leases.dead_letter AS d
  WHERE (SELECT tidemark_leases.is_owner()) OR (d.application || E'\x1f' || d.stream)
    LIKE ANY ((SELECT tidemark_leases.granted_scopes('{consumer,monitor}'))::text[])
  GROUP BY 1, 2, 3;

CREATE FUNCTION tidemark_leases.find_role(role_name text) RETURNS regrole
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF to_regrole(quote_ident(role_name)) IS NULL THEN
    RAISE EXCEPTION 'there is no role "%"', role_name USING ERRCODE = 'TM005',
      HINT = 'Create it first: CREATE ROLE ... LOGIN.';
  END IF;
  RETURN to_regrole(quote_ident(role_name));
END $$;

-- Gives a role the rights of a consumer (keeps leases) or a monitor (sees them) to the applications and streams of these
-- patterns. For the owner of the schema only.
CREATE FUNCTION tidemark_leases.grant_role(
  kind text, role_name text, application text DEFAULT '*', stream text DEFAULT '*'
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  receiver CONSTANT regrole := tidemark_leases.find_role(role_name);
BEGIN
  IF kind NOT IN ('consumer', 'monitor') THEN
    RAISE EXCEPTION 'there are no rights of "%" to leases', kind USING ERRCODE = 'TM005',
      HINT = 'Choose consumer or monitor.';
  ELSIF application = '' OR stream = '' OR strpos(application || stream, E'\x1f') > 0 THEN
    RAISE EXCEPTION 'no application or stream has an empty name' USING ERRCODE = 'TM005',
      HINT = 'Give names or patterns, in which * stands for any characters.';
  END IF;
  -- A role that was renamed keeps its rights, and what an earlier role of the name had is gone with that.
  UPDATE tidemark_leases.access AS a SET role_name = r.rolname FROM pg_roles AS r
    WHERE r.oid = a.role AND r.rolname <> a.role_name;
  DELETE FROM tidemark_leases.access AS a WHERE a.role_name = grant_role.role_name AND a.role IS DISTINCT FROM receiver;
  INSERT INTO tidemark_leases.access (kind, role_name, application, stream)
    VALUES (kind, role_name, application, stream) ON CONFLICT DO NOTHING;
  EXECUTE format('GRANT USAGE ON SCHEMA tidemark_leases TO %s', receiver);
  EXECUTE format('GRANT SELECT ON tidemark_leases.migration, tidemark_leases.access, '
    'tidemark_leases.visible_scope, tidemark_leases.visible_worker, tidemark_leases.visible_worker_stream, '
    'tidemark_leases.visible_lease, tidemark_leases.visible_load, tidemark_leases.dead_letter_count TO %s', receiver);
  EXECUTE format('GRANT EXECUTE ON FUNCTION tidemark_leases.granted_scopes, '
    'tidemark_leases.granted_applications, tidemark_leases.is_owner, '
    'tidemark_leases.checkpoint_rank TO %s', receiver);
  IF kind = 'consumer' THEN
    -- Rights to change columns, and not the table: that would be one to lock it.
    EXECUTE format('GRANT SELECT, INSERT ON tidemark_leases.lease_scope, tidemark_leases.lease, '
      'tidemark_leases.lease_load, tidemark_leases.dead_letter, tidemark_leases.plan_turn TO %s', receiver);
    EXECUTE format('GRANT UPDATE (assignment_version, change_version, planned_version) ON tidemark_leases.lease_scope '
      'TO %s', receiver);
    EXECUTE format('GRANT UPDATE (child_shard_ids, owner, last_owner, last_epoch, left_epoch, epoch, checkpoint, '
      'sub_sequence_number, pending_checkpoint, pending_sub_sequence_number, pending_state, handoff_to, '
      'handoff_deadline, stopped_reason, ended_at, updated_at) ON tidemark_leases.lease TO %s', receiver);
    EXECUTE format('GRANT UPDATE (processing, bytes_per_second, millis_behind_latest, measured_at) '
      'ON tidemark_leases.lease_load TO %s', receiver);
    -- To lock its row.
    EXECUTE format('GRANT UPDATE (turns) ON tidemark_leases.plan_turn TO %s', receiver);
    -- Not what would stand for another worker: its number, its lock, and the role whose sessions end with it.
    EXECUTE format('GRANT SELECT, INSERT (application, worker_id, host, process_id, maximum_leases, '
      'failover_interval, has_session, server_started_at, registered_at, heartbeat_at, heartbeating_since, session_name), '
      'UPDATE (state, has_session, session_process, server_started_at, heartbeat_at, heartbeating_since, '
      'refused_leases, planned_version, died_at, has_left) ON tidemark_leases.worker TO %s', receiver);
    EXECUTE format('GRANT SELECT ON tidemark_leases.worker_stream TO %s', receiver);
    EXECUTE format('GRANT SELECT ON tidemark_leases.history TO %s', receiver);
    EXECUTE format('GRANT EXECUTE ON FUNCTION tidemark_leases.known_history, tidemark_leases.next_history, '
      'tidemark_leases.enter_history, tidemark_leases.epoch_floor, tidemark_leases.lease_channel, '
      'tidemark_leases.checkpoint, '
      'tidemark_leases.forget_worker, tidemark_leases.forget_dead_workers, tidemark_leases.serve_streams, '
      'tidemark_leases.delete_ended_leases, tidemark_leases.delete_leases, tidemark_leases.forget_application, '
      'tidemark_leases.sees_all_served TO %s', receiver);
  END IF;
END $$;

-- Takes all rights from a role that it has in this schema. What it owns, and what roles it belongs to may do, stays.
CREATE FUNCTION tidemark_leases.revoke_role(role_name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  grantee CONSTANT regrole := tidemark_leases.find_role(role_name);
BEGIN
  DELETE FROM tidemark_leases.access AS a WHERE a.role_name = revoke_role.role_name OR a.role = grantee::oid;
  EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA tidemark_leases FROM %s', grantee);
  EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tidemark_leases FROM %s', grantee);
  EXECUTE format('REVOKE ALL ON SCHEMA tidemark_leases FROM %s', grantee);
END $$;
