DROP FUNCTION tidemark.end_expiry(integer);
DROP FUNCTION tidemark.begin_expiry(integer, integer);
DROP FUNCTION tidemark.expiry_statement(oid, text, timestamptz, integer);
DROP FUNCTION tidemark.expiry_condition(oid, text);
DROP TABLE tidemark.expiry_run;
