-- Shards that the worker cannot read now, because an earlier call to its processor for them hangs. No plan gives it
-- these.
ALTER TABLE tidemark.worker ADD COLUMN refused_shard_ids text[] COLLATE "C" NOT NULL DEFAULT '{}';
