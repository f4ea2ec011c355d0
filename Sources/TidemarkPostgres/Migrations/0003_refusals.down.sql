ALTER TABLE tidemark.worker DROP COLUMN refused_shard_ids;
