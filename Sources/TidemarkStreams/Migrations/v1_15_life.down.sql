DROP FUNCTION tidemark.after_restore();
DROP FUNCTION tidemark.drop_stream(integer);
