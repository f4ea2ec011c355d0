DROP TABLE tidemark.dead_letter;
DROP TABLE tidemark.lease_load;
DROP TABLE tidemark.lease;
DROP TABLE tidemark.worker;
DROP TABLE tidemark.lease_scope;
DROP FUNCTION tidemark.lease_channel(text, text);
DROP FUNCTION tidemark.planning_key(text, text);
DROP FUNCTION tidemark.session_key(bigint);
DROP FUNCTION tidemark.checkpoint_rank(text);
