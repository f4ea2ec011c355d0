DROP FUNCTION tidemark.stream_conditions(integer);
