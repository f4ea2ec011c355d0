DROP FUNCTION tidemark.advance(integer, bigint, integer, bigint);
DROP FUNCTION tidemark.sequence_inbox(integer, integer, bigint);
DROP FUNCTION tidemark.check_isolation();
DROP FUNCTION tidemark.current_log_partition(integer, bigint);
