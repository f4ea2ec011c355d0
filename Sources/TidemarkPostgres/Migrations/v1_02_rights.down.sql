DROP FUNCTION tidemark_leases.revoke_role(text);
DROP FUNCTION tidemark_leases.grant_role(text, text, text, text);
DROP FUNCTION tidemark_leases.find_role(text);
DROP VIEW tidemark_leases.dead_letter_count, tidemark_leases.visible_load, tidemark_leases.visible_lease,
  tidemark_leases.visible_worker_stream, tidemark_leases.visible_worker, tidemark_leases.visible_scope;
DROP FUNCTION tidemark_leases.sees_all_served(text);
DROP FUNCTION tidemark_leases.is_owner();
DROP FUNCTION tidemark_leases.forget_application(text);
DROP FUNCTION tidemark_leases.delete_leases(text, text, boolean);
DROP FUNCTION tidemark_leases.delete_ended_leases(text, text[], text[]);
DROP FUNCTION tidemark_leases.forget_dead_workers(text);
DROP FUNCTION tidemark_leases.serve_streams(text, bigint, text[], bigint);
DROP FUNCTION tidemark_leases.forget_worker(text, bigint);
DROP FUNCTION tidemark_leases.require_consumer(text, text);
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['lease_scope', 'worker', 'worker_stream', 'lease', 'lease_load', 'dead_letter',
    'plan_turn'] LOOP
    EXECUTE format('DROP POLICY consumer ON tidemark_leases.%I', name);
  END LOOP;
END $$;
DROP FUNCTION tidemark_leases.granted_scopes(text[]);
DROP FUNCTION tidemark_leases.granted_applications(text[]);
DROP TABLE tidemark_leases.access;
DROP FUNCTION tidemark_leases.role_number(text);
DROP FUNCTION tidemark_leases.like_pattern(text);
