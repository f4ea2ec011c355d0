DROP FUNCTION tidemark.maintain_stream(integer);
DROP FUNCTION tidemark.take_maintenance_turn(bigint, interval);
DROP TABLE tidemark.maintenance_turn;
