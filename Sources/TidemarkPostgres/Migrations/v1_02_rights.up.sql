-- Who may do what. A consumer keeps the leases of its applications on its streams and sees no others. A monitor sees leases,
-- workers and how many dead letters there are, of what it was given, but no contents. All else belongs to the schema's
-- owner.

-- What a name is LIKE that a pattern stands for, in which * is any characters.
CREATE FUNCTION tidemark_leases.like_pattern(pattern text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN replace(regexp_replace(pattern, '([\\%_])', '\\\1', 'g'), '*', '%');

-- The rights that were given. Each counts as long as its role may read this table by itself, which goes when the role is
-- dropped: another one of the same name has none of them.
CREATE TABLE tidemark_leases.access (
  kind text NOT NULL CHECK (kind IN ('consumer', 'monitor')),
  role_name text NOT NULL,
  application text NOT NULL,
  stream text NOT NULL,
  -- What a scope's application and stream are LIKE, parted by a character that no name has: the stream by its name alone,
  -- or with the label of one that is enabled under it.
  scopes text[] NOT NULL GENERATED ALWAYS AS (ARRAY[
    tidemark_leases.like_pattern(application) || E'\x1f' || tidemark_leases.like_pattern(stream),
    tidemark_leases.like_pattern(application) || E'\x1f' || tidemark_leases.like_pattern(stream) || '/%']) STORED,
  PRIMARY KEY (kind, role_name, application, stream)
);

-- The rights that count.
CREATE VIEW tidemark_leases.given AS
  SELECT a.kind, a.scopes, r.role FROM tidemark_leases.access AS a
  JOIN (SELECT e.grantee AS role, pg_get_userbyid(e.grantee) AS role_name
    FROM pg_class AS c CROSS JOIN aclexplode(c.relacl) AS e
    WHERE c.oid = 'tidemark_leases.access'::regclass AND e.privilege_type = 'SELECT') AS r
    ON r.role_name = a.role_name;

-- What the scopes are LIKE that the caller has rights of these kinds to. Not SECURITY DEFINER: the caller is who asks.
CREATE FUNCTION tidemark_leases.granted_scopes(kinds text[]) RETURNS text[]
LANGUAGE sql STABLE
RETURN ARRAY(SELECT unnest(a.scopes) FROM tidemark_leases.given AS a
  WHERE a.kind = ANY (kinds) AND pg_has_role(a.role, 'USAGE'));

-- A policy asks for the caller's rights once a statement, and not for each row. It does so by a query and not by that
-- function, which the server would plan anew each time.
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['lease_scope', 'worker', 'lease', 'lease_load', 'dead_letter', 'plan_turn'] LOOP
    EXECUTE format('ALTER TABLE tidemark_leases.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY consumer ON tidemark_leases.%I USING ((application || %L || stream) LIKE ANY (ARRAY('
      'SELECT unnest(a.scopes) FROM tidemark_leases.given AS a WHERE a.kind = %L AND pg_has_role(a.role, %L))))', name,
      E'\x1f', 'consumer', 'USAGE');
  END LOOP;
END $$;

-- Whether the caller may do all, as the schema's owner may.
CREATE FUNCTION tidemark_leases.is_owner() RETURNS boolean
LANGUAGE sql STABLE
RETURN (SELECT pg_has_role(n.nspowner, 'USAGE') FROM pg_namespace AS n WHERE n.nspname = 'tidemark_leases');

-- What a monitor sees; consumers and the owner see the same. A view, because a policy could not tell a monitor who is
-- a consumer elsewhere from a consumer.
CREATE VIEW tidemark_leases.visible_scope WITH (security_barrier) AS
  SELECT s.* FROM tidemark_leases.lease_scope AS s
  WHERE (SELECT tidemark_leases.is_owner()) OR (s.application || E'\x1f' || s.stream)
    LIKE ANY ((SELECT tidemark_leases.granted_scopes('{consumer,monitor}'))::text[]);

CREATE VIEW tidemark_leases.visible_worker WITH (security_barrier) AS
  SELECT w.incarnation, w.application, w.stream, w.worker_id, w.host, w.process_id, w.state, w.maximum_leases,
    w.failover_interval, w.has_session, w.registered_at, w.heartbeat_at, w.heartbeating_since, w.refused_shard_ids,
    w.died_at, w.has_left
  FROM tidemark_leases.worker AS w JOIN tidemark_leases.visible_scope AS s USING (application, stream);

-- A note that a processor has left is its own.
CREATE VIEW tidemark_leases.visible_lease WITH (security_barrier) AS
  SELECT l.application, l.stream, l.shard_id, l.parent_shard_ids, l.child_shard_ids, l.hash_range_start,
    l.hash_range_end, l.owner, l.last_owner, l.last_epoch, l.left_epoch, l.epoch, l.checkpoint, l.sub_sequence_number,
    l.pending_checkpoint, l.pending_sub_sequence_number, NULL::bytea AS pending_state, l.handoff_to,
    l.handoff_deadline, l.stopped_reason, l.ended_at, l.created_at, l.updated_at
  FROM tidemark_leases.lease AS l JOIN tidemark_leases.visible_scope AS s USING (application, stream);

CREATE VIEW tidemark_leases.visible_load WITH (security_barrier) AS
  SELECT m.* FROM tidemark_leases.lease_load AS m JOIN tidemark_leases.visible_scope AS s USING (application, stream);

CREATE VIEW tidemark_leases.dead_letter_count WITH (security_barrier) AS
  SELECT d.application, d.stream, d.shard_id, count(*) AS dead_letters, min(d.created_at) AS oldest_at,
    max(d.created_at) AS newest_at
  FROM tidemark_leases.dead_letter AS d JOIN tidemark_leases.visible_scope AS s USING (application, stream)
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
  -- What an earlier role of the name had is gone with that.
  DELETE FROM tidemark_leases.access AS a WHERE a.role_name = grant_role.role_name
    AND NOT EXISTS (SELECT FROM tidemark_leases.given AS g WHERE g.role = receiver);
  INSERT INTO tidemark_leases.access (kind, role_name, application, stream)
    VALUES (kind, role_name, application, stream) ON CONFLICT DO NOTHING;
  EXECUTE format('GRANT USAGE ON SCHEMA tidemark_leases TO %s', receiver);
  EXECUTE format('GRANT SELECT ON tidemark_leases.migration, tidemark_leases.access, tidemark_leases.given, '
    'tidemark_leases.visible_scope, tidemark_leases.visible_worker, tidemark_leases.visible_lease, tidemark_leases.visible_load, '
    'tidemark_leases.dead_letter_count TO %s', receiver);
  EXECUTE format('GRANT EXECUTE ON FUNCTION tidemark_leases.granted_scopes, tidemark_leases.is_owner, '
    'tidemark_leases.checkpoint_rank TO %s', receiver);
  IF kind = 'consumer' THEN
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON tidemark_leases.lease_scope, tidemark_leases.lease, '
      'tidemark_leases.lease_load, tidemark_leases.dead_letter, tidemark_leases.plan_turn TO %s', receiver);
    -- Not what would stand for another worker: its number, its lock, and the role whose sessions end with it.
    EXECUTE format('GRANT SELECT, DELETE, INSERT (application, stream, worker_id, host, process_id, maximum_leases, '
      'failover_interval, has_session, server_started_at, registered_at, heartbeat_at, heartbeating_since, session_name), '
      'UPDATE (state, has_session, session_process, server_started_at, heartbeat_at, heartbeating_since, '
      'refused_shard_ids, died_at, has_left) ON tidemark_leases.worker TO %s', receiver);
    EXECUTE format('GRANT SELECT ON tidemark_leases.history TO %s', receiver);
    EXECUTE format('GRANT EXECUTE ON FUNCTION tidemark_leases.known_history, tidemark_leases.next_history, '
      'tidemark_leases.enter_history, tidemark_leases.epoch_floor, tidemark_leases.lease_channel TO %s', receiver);
  END IF;
END $$;

-- Takes all rights from a role that it has in this schema. What it owns, and what roles it belongs to may do, stays.
CREATE FUNCTION tidemark_leases.revoke_role(role_name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  grantee CONSTANT regrole := tidemark_leases.find_role(role_name);
BEGIN
  DELETE FROM tidemark_leases.access AS a WHERE a.role_name = revoke_role.role_name;
  EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA tidemark_leases FROM %s', grantee);
  EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tidemark_leases FROM %s', grantee);
  EXECUTE format('REVOKE ALL ON SCHEMA tidemark_leases FROM %s', grantee);
END $$;
