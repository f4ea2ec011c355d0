DROP FUNCTION tidemark.alter_stream(
  integer, interval, interval, double precision, double precision, interval, integer, integer, integer, text);
DROP FUNCTION tidemark.settings_problems(
  interval, interval, double precision, double precision, interval, integer, integer, integer);
DROP FUNCTION tidemark.manage_shards(integer);
DROP FUNCTION tidemark.rotate_old_shards(tidemark.stream);
DROP FUNCTION tidemark.merge_cold_shards(tidemark.stream);
DROP FUNCTION tidemark.split_hot_shards(tidemark.stream);
DROP FUNCTION tidemark.balanced_hash(tidemark.shard);
DROP FUNCTION tidemark.measure_shards(tidemark.stream);
