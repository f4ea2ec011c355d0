-- Closes shards at the stream's head and returns the number at which their children start. The closing takes a
-- number of its own, so that a shard's range is never empty, and it is news of the shards that it closes. The
-- caller has the stream's turn.
CREATE FUNCTION tidemark.close_shards(of_stream integer, ordinals integer[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  ending bigint;
BEGIN
  PERFORM tidemark.follow_history(of_stream);
  SELECT s.head + 1 INTO STRICT ending FROM tidemark.step s
    WHERE s.stream_id = of_stream ORDER BY s.head DESC LIMIT 1;
  INSERT INTO tidemark.step
    (stream_id, head, shard_ordinals, shard_heads, shard_counts, inbox_floor, candidate_id, candidate_xid)
  SELECT of_stream, ending, ordinals, array_fill(ending, ARRAY[cardinality(ordinals)]),
      array_fill(0, ARRAY[cardinality(ordinals)]), s.inbox_floor, s.candidate_id, s.candidate_xid
    FROM tidemark.step s WHERE s.stream_id = of_stream ORDER BY s.head DESC LIMIT 1;
  UPDATE tidemark.shard s SET ending_sequence = ending, closed_at = clock_timestamp()
    WHERE s.stream_id = of_stream AND s.shard_ordinal = ANY (ordinals) AND s.ending_sequence IS NULL;
  UPDATE tidemark.stream s SET topology_version = s.topology_version + 1 WHERE s.stream_id = of_stream;
  PERFORM tidemark.ring(of_stream);
  RETURN ending + 1;
END $$;

CREATE FUNCTION tidemark.open_shard(of_stream integer, of_shard text) RETURNS tidemark.shard
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  shard tidemark.shard;
BEGIN
  SELECT * INTO shard FROM tidemark.shard s WHERE s.stream_id = of_stream AND s.shard_id = of_shard;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the stream has no shard "%"', of_shard USING ERRCODE = 'TM004',
      HINT = 'List its shards: tidemark stream describe.';
  ELSIF shard.ending_sequence IS NOT NULL THEN
    RAISE EXCEPTION 'the shard "%" is closed', of_shard USING ERRCODE = 'TM005',
      HINT = 'Only open shards can be split or merged.';
  END IF;
  RETURN shard;
END $$;

-- Splits a shard in the middle, or so that the second child starts at at_hash. Returns the children's ids.
CREATE FUNCTION tidemark.split_shard(of_stream integer, of_shard text, at_hash bigint DEFAULT NULL) RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM tidemark.check_isolation();
  PERFORM tidemark.require('{administrator}', of_stream);
  PERFORM tidemark.take_turn(of_stream);
  RETURN tidemark.split_open_shard(of_stream, of_shard, at_hash);
END $$;

-- The same for whoever has the stream's turn.
CREATE FUNCTION tidemark.split_open_shard(of_stream integer, of_shard text, at_hash bigint) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  parent tidemark.shard;
  starting bigint;
BEGIN
  parent := tidemark.open_shard(of_stream, of_shard);
  at_hash := coalesce(at_hash, parent.hash_start + (parent.hash_end - parent.hash_start + 1) / 2);
  IF at_hash <= parent.hash_start OR at_hash > parent.hash_end THEN
    RAISE EXCEPTION 'the shard "%" cannot be split at hash %', of_shard, at_hash USING ERRCODE = 'TM005',
      HINT = format('It takes the hashes %s to %s; both children need at least one.',
        parent.hash_start, parent.hash_end);
  END IF;
  starting := tidemark.close_shards(of_stream, ARRAY[parent.shard_ordinal]);
  RETURN ARRAY[
    tidemark.add_shard(of_stream, starting, parent.hash_start, at_hash - 1, ARRAY[parent.shard_id]),
    tidemark.add_shard(of_stream, starting, at_hash, parent.hash_end, ARRAY[parent.shard_id])];
END $$;

-- Merges two open shards whose hash ranges touch. Returns the child's id.
CREATE FUNCTION tidemark.merge_shards(of_stream integer, one_shard text, other_shard text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM tidemark.check_isolation();
  PERFORM tidemark.require('{administrator}', of_stream);
  PERFORM tidemark.take_turn(of_stream);
  RETURN tidemark.merge_open_shards(of_stream, one_shard, other_shard);
END $$;

CREATE FUNCTION tidemark.merge_open_shards(of_stream integer, one_shard text, other_shard text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  one tidemark.shard;
  other tidemark.shard;
  starting bigint;
BEGIN
  one := tidemark.open_shard(of_stream, one_shard);
  other := tidemark.open_shard(of_stream, other_shard);
  IF one.hash_end + 1 <> other.hash_start AND other.hash_end + 1 <> one.hash_start THEN
    RAISE EXCEPTION 'the hash ranges of "%" and "%" do not touch', one_shard, other_shard USING ERRCODE = 'TM005',
      HINT = 'Merge a shard with the one whose range starts where its own ends.';
  END IF;
  starting := tidemark.close_shards(of_stream, ARRAY[one.shard_ordinal, other.shard_ordinal]);
  RETURN tidemark.add_shard(of_stream, starting, least(one.hash_start, other.hash_start),
    greatest(one.hash_end, other.hash_end), ARRAY[one.shard_id, other.shard_id]);
END $$;
