DROP FUNCTION tidemark.begin_logical_snapshot(integer, text, uuid, pg_snapshot);
DROP FUNCTION tidemark.end_cut(uuid);
DROP FUNCTION tidemark.place_cut(uuid, pg_lsn);
DROP FUNCTION tidemark.keep_cut(uuid);
DROP FUNCTION tidemark.request_cut(integer, text);
