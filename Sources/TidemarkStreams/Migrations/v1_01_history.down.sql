DROP FUNCTION tidemark.enter_history();
DROP FUNCTION tidemark.next_history();
DROP FUNCTION tidemark.known_history();
DROP TABLE tidemark.history;
