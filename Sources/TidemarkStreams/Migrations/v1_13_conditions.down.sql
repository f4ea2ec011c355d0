DROP FUNCTION tidemark.mend_stream(integer);
DROP FUNCTION tidemark.watch_conditions(interval);
DROP TABLE tidemark.conditions_look, tidemark.stream_problem;
DROP FUNCTION tidemark.stream_conditions(integer);
DROP FUNCTION tidemark.all_conditions(integer);
