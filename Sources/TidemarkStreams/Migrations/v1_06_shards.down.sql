DROP FUNCTION tidemark.merge_shards(integer, text, text);
DROP FUNCTION tidemark.merge_open_shards(integer, text, text);
DROP FUNCTION tidemark.split_shard(integer, text, bigint);
DROP FUNCTION tidemark.split_open_shard(integer, text, bigint);
DROP FUNCTION tidemark.open_shard(integer, text);
DROP FUNCTION tidemark.close_shards(integer, integer[]);
