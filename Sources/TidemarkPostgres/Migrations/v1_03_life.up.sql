-- What a copy of a database needs before it is used: one that was restored from a dump, made from a template, or
-- brought back from a backup. Begins a history, and forgets the workers that are another database's, by their
-- incarnations: those of this history are no less than it asks for. Their leases go to whoever comes. Returns what it
-- cannot put right. For the owner of the schema only.
CREATE FUNCTION tidemark_leases.after_restore(OUT subject text, OUT problem text, OUT remedy text) RETURNS SETOF record
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  first_incarnation bigint;
  floor bigint;
BEGIN
  -- Workers may have registered in the other database before it noted a history.
  INSERT INTO tidemark_leases.history (history_number, server_started_at, database_oid, table_oid, timeline)
    SELECT 0, 'epoch', 0, 0, 'unknown' WHERE NOT EXISTS (SELECT FROM tidemark_leases.history);
  first_incarnation := tidemark_leases.enter_history() << 12;
  floor := tidemark_leases.epoch_floor();
  -- Locks the scopes, and notes the history in them: a worker that has seen a later version has seen what is lost.
  UPDATE tidemark_leases.lease_scope AS s SET assignment_version = s.assignment_version + 1,
    change_version = s.change_version + 1;
  DELETE FROM tidemark_leases.worker AS w WHERE w.incarnation < first_incarnation;
  DELETE FROM tidemark_leases.lease_load;
  UPDATE tidemark_leases.lease AS l SET owner = NULL, last_owner = l.owner, last_epoch = l.epoch,
      epoch = greatest(l.epoch + 1, floor), left_epoch = greatest(l.epoch + 1, floor), updated_at = clock_timestamp()
    WHERE l.owner < first_incarnation;
  UPDATE tidemark_leases.lease AS l SET handoff_to = NULL, handoff_deadline = NULL
    WHERE l.handoff_to < first_incarnation OR l.handoff_to IS NOT NULL AND l.owner IS NULL;
  -- Roles that were made after the rows were restored.
  UPDATE tidemark_leases.access AS a SET role_name = a.role_name WHERE a.role IS NULL;
  -- Rights are noted here, and are in the catalog: a dump may leave those out.
  RETURN QUERY SELECT format('role %s', a.role_name),
    CASE WHEN r.oid IS NULL THEN 'there is no such role here' ELSE 'the role has no rights to the leases here' END,
    CASE WHEN r.oid IS NULL THEN format('CREATE ROLE %I, and then: ', a.role_name) ELSE '' END
      || format('tidemark grant %s %s --stream ''%s'' --application ''%s''', a.kind, quote_ident(a.role_name),
        a.stream, a.application)
    FROM tidemark_leases.access a LEFT JOIN pg_roles r ON r.rolname = a.role_name
    WHERE NOT coalesce(has_table_privilege(a.role, 'tidemark_leases.access'::regclass, 'SELECT'), false)
    ORDER BY a.role_name, a.kind, a.stream;
END $$;

-- Nothing here is for everybody, or for whom the owner's default privileges give it to. This is the end of the version: what
-- it has made is made by now.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tidemark_leases FROM PUBLIC;

DO $$
DECLARE
  receiver text;
BEGIN
  FOR receiver IN SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
    FROM (SELECT c.relowner, c.relacl, c.relnamespace FROM pg_class AS c
      UNION ALL
      SELECT p.proowner, p.proacl, p.pronamespace FROM pg_proc AS p) AS o (owner, acl, namespace)
    CROSS JOIN aclexplode(o.acl) AS a
    WHERE o.namespace = 'tidemark_leases'::regnamespace AND a.grantee <> o.owner
    GROUP BY a.grantee
  LOOP
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA tidemark_leases FROM %s', receiver);
    EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA tidemark_leases FROM %s', receiver);
    EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tidemark_leases FROM %s', receiver);
  END LOOP;
END $$;
