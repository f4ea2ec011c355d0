-- Counts what the steps since the last count have written to each open shard, and notes how long each has been hot or
-- cold. The caller has the stream's turn.
CREATE FUNCTION tidemark.measure_shards(stream tidemark.stream) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  counted_until CONSTANT timestamptz := clock_timestamp();
BEGIN
  UPDATE tidemark.shard AS s SET write_rate = r.rate,
      hot_since = CASE WHEN r.rate >= stream.split_above THEN coalesce(s.hot_since, r.since) END,
      cold_since = CASE WHEN r.rate <= stream.merge_below THEN coalesce(s.cold_since, r.since) END
    FROM (
      SELECT o.shard_ordinal, o.since,
        coalesce(c.records, 0) / greatest(date_part('epoch', counted_until - o.since), 0.001) AS rate
      FROM (SELECT k.shard_ordinal, greatest(k.created_at, stream.measured_at) AS since FROM tidemark.shard k
        WHERE k.stream_id = stream.stream_id AND k.ending_sequence IS NULL) AS o
      LEFT JOIN (
        SELECT u.shard_ordinal, sum(u.records)::double precision AS records
        FROM tidemark.step p CROSS JOIN unnest(p.shard_ordinals, p.shard_counts) AS u (shard_ordinal, records)
        WHERE p.stream_id = stream.stream_id AND p.head > stream.counted_head GROUP BY 1) AS c USING (shard_ordinal)
    ) AS r
    WHERE s.stream_id = stream.stream_id AND s.shard_ordinal = r.shard_ordinal
      -- An idle shard's row stays as it is.
      AND (s.write_rate, s.hot_since IS NOT NULL, s.cold_since IS NOT NULL) IS DISTINCT FROM
        (r.rate, coalesce(r.rate >= stream.split_above, false), coalesce(r.rate <= stream.merge_below, false));
  UPDATE tidemark.stream AS s SET measured_at = counted_until, counted_head = p.head,
      written_at = coalesce(p.written_at, s.written_at)
    FROM (SELECT max(c.head) AS head, max(c.moved_at) FILTER (WHERE 0 < ANY (c.shard_counts)
        AND c.head > stream.counted_head) AS written_at
      FROM tidemark.step c WHERE c.stream_id = stream.stream_id AND c.head >= stream.counted_head) AS p
    WHERE s.stream_id = stream.stream_id;
END $$;

-- Where to split a shard so that both halves get about as much as each other of what it got last; null if one item
-- gets so much of it that no split helps.
CREATE FUNCTION tidemark.balanced_hash(of_shard tidemark.shard) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  hashes bigint[];
  middle bigint;
  lower_share double precision;
  upper_share double precision;
BEGIN
  -- The newest records are those of the newest partitions; two are enough.
  EXECUTE format($sql$
    SELECT array_agg(tidemark.partition_hash(l.partition_key)) FROM (
      SELECT r.partition_key FROM tidemark.%I AS r
      WHERE r.shard_ordinal = $1 AND r.sequence_number >= (SELECT max(p.partition_ordinal) - 1
        FROM tidemark.log_partition p WHERE p.stream_id = $2) << 32
      ORDER BY r.sequence_number DESC LIMIT 1000) AS l$sql$, 'log_' || of_shard.stream_id)
    INTO hashes USING of_shard.shard_ordinal, of_shard.stream_id;
  IF coalesce(cardinality(hashes), 0) < 10 THEN
    RETURN of_shard.hash_start + (of_shard.hash_end - of_shard.hash_start + 1) / 2;
  END IF;
  SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY h) INTO middle FROM unnest(hashes) AS h;
  -- The item in the middle goes to the side that has less without it.
  SELECT avg((h < middle)::integer), avg((h > middle)::integer) INTO lower_share, upper_share FROM unnest(hashes) AS h;
  IF upper_share > lower_share THEN
    middle := middle + 1;
    lower_share := upper_share;
  END IF;
  RETURN CASE WHEN lower_share >= 0.1 AND middle > of_shard.hash_start AND middle <= of_shard.hash_end THEN middle END;
END $$;

-- Splits shards that have been hot for the sustained time.
CREATE FUNCTION tidemark.split_hot_shards(stream tidemark.stream) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  open_shards integer;
  hot tidemark.shard;
  at_hash bigint;
BEGIN
  SELECT count(*) INTO open_shards FROM tidemark.shard s
    WHERE s.stream_id = stream.stream_id AND s.ending_sequence IS NULL;
  FOR hot IN SELECT * FROM tidemark.shard s WHERE s.stream_id = stream.stream_id AND s.ending_sequence IS NULL
    AND s.hot_since <= clock_timestamp() - stream.sustained_time AND s.hash_start < s.hash_end
    ORDER BY s.write_rate DESC
  LOOP
    EXIT WHEN open_shards >= stream.maximum_shards;
    at_hash := tidemark.balanced_hash(hot);
    IF at_hash IS NOT NULL THEN
      PERFORM tidemark.split_open_shard(stream.stream_id, hot.shard_id, at_hash);
      open_shards := open_shards + 1;
    END IF;
  END LOOP;
END $$;

-- Merges neighbours that have both been cold for ten times the sustained time, so that a pause is no reason to; not if
-- what they get together is more than half of what makes a shard hot.
CREATE FUNCTION tidemark.merge_cold_shards(stream tidemark.stream) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  open_shards integer;
  pair record;
  merged text;
BEGIN
  SELECT count(*) INTO open_shards FROM tidemark.shard s
    WHERE s.stream_id = stream.stream_id AND s.ending_sequence IS NULL;
  FOR pair IN SELECT n.* FROM (
      SELECT s.shard_id AS lower_id, lead(s.shard_id) OVER w AS upper_id, s.hash_start,
        s.write_rate + lead(s.write_rate) OVER w AS rate,
        greatest(s.cold_since, lead(s.cold_since) OVER w) AS since,
        s.cold_since IS NOT NULL AND lead(s.cold_since) OVER w IS NOT NULL AS are_cold
      FROM tidemark.shard s WHERE s.stream_id = stream.stream_id AND s.ending_sequence IS NULL
      WINDOW w AS (ORDER BY s.hash_start)) AS n
    WHERE n.are_cold AND n.since <= clock_timestamp() - stream.sustained_time * 10
      AND n.rate <= coalesce(stream.split_above / 2, n.rate)
    ORDER BY n.hash_start
  LOOP
    EXIT WHEN open_shards <= stream.minimum_shards;
    IF pair.lower_id IS DISTINCT FROM merged THEN
      PERFORM tidemark.merge_open_shards(stream.stream_id, pair.lower_id, pair.upper_id);
      merged := pair.upper_id;
      open_shards := open_shards - 1;
    END IF;
  END LOOP;
END $$;

-- Gives each shard that is old enough one child of the same range. Shards that were born together do not all come due
-- together: by its id, each loses up to an eighth of its time.
CREATE FUNCTION tidemark.rotate_old_shards(stream tidemark.stream) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  old_shards integer[];
  starting bigint;
BEGIN
  SELECT array_agg(s.shard_ordinal) INTO old_shards FROM tidemark.shard s
    WHERE s.stream_id = stream.stream_id AND s.ending_sequence IS NULL
      AND s.created_at + stream.rotate_after * (1 - (hashtext(s.shard_id) & 1023) / 8192.0) <= clock_timestamp();
  IF old_shards IS NULL THEN
    RETURN;
  END IF;
  starting := tidemark.close_shards(stream.stream_id, old_shards);
  PERFORM tidemark.add_shard(stream.stream_id, starting, o.hash_start, o.hash_end, ARRAY[o.shard_id])
    FROM (SELECT * FROM tidemark.shard s WHERE s.stream_id = stream.stream_id AND s.shard_ordinal = ANY (old_shards)
      ORDER BY s.shard_ordinal) AS o;
  -- To the writers it is the same shard still. Each parent is looked up by its id: nobody may have counted yet how many
  -- shards there are.
  UPDATE tidemark.shard c SET write_rate = p.write_rate, hot_since = p.hot_since, cold_since = p.cold_since
    FROM tidemark.shard p WHERE c.stream_id = stream.stream_id AND c.starting_sequence = starting
      AND p.stream_id = stream.stream_id AND p.shard_id = c.parent_ids[1];
END $$;

-- Splits, merges and rotates shards as the stream's settings want it. Anybody may call it as often as they like: rates
-- are counted over a quarter of the sustained time at least. A call that would have to wait for others changes nothing
-- and returns false. Writers take no part in any of this.
CREATE FUNCTION tidemark.manage_shards(of_stream integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '100ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream tidemark.stream;
BEGIN
  PERFORM tidemark.check_isolation();
  PERFORM tidemark.require('{consumer,administrator}', of_stream);
  -- First without the lock, so that a big fleet's calls do not queue for it, then again.
  FOR round IN 1..2 LOOP
    SELECT * INTO stream FROM tidemark.stream s WHERE s.stream_id = of_stream AND s.status = 'ENABLED'
      AND s.measured_at <= clock_timestamp() - least(s.sustained_time / 4, interval '15 seconds');
    IF NOT FOUND THEN
      RETURN true;
    END IF;
    PERFORM tidemark.take_turn(of_stream);
  END LOOP;
  PERFORM tidemark.measure_shards(stream);
  PERFORM tidemark.split_hot_shards(stream);
  PERFORM tidemark.merge_cold_shards(stream);
  PERFORM tidemark.rotate_old_shards(stream);
  RETURN true;
EXCEPTION WHEN lock_not_available THEN
  RETURN false;
END $$;

-- What is wrong with settings, each by the name that the command line has for it.
CREATE FUNCTION tidemark.settings_problems(
  kept_for interval, rotate_after interval, split_above double precision, merge_below double precision,
  sustained_time interval, minimum_shards integer, maximum_shards integer, maximum_image_size integer
) RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT array_agg(p.problem) FROM (VALUES
    (kept_for BETWEEN interval '1 second' AND interval '365 days',
      'the retention is not between a second and 365 days'),
    (coalesce(rotate_after >= interval '1 second', true), 'rotate-after is shorter than a second'),
    (coalesce(split_above > 0 AND split_above < 'Infinity', true), 'split-above is not a positive rate'),
    (coalesce(merge_below >= 0 AND merge_below < 'Infinity', true), 'merge-below is not a rate'),
    (coalesce(split_above >= 4 * merge_below, true),
      'split-above is less than four times merge-below, so that what is merged would be split again'),
    (sustained_time BETWEEN interval '1 second' AND interval '1 hour',
      'the sustained time is not between a second and an hour'),
    (minimum_shards >= 1, 'minimum-shards is less than 1'),
    (maximum_shards <= 4096, 'maximum-shards is more than 4096'),
    (minimum_shards <= maximum_shards, 'minimum-shards is more than maximum-shards'),
    (maximum_image_size BETWEEN 1048576 AND 268435456, 'max-image is not between 1 and 256 MiB')
  ) AS p (is_right, problem) WHERE p.is_right IS NOT TRUE
$$;

-- Changes the settings of a stream, all at once. Null for what shall never happen; expiry is a column.
CREATE FUNCTION tidemark.alter_stream(
  of_stream integer, kept_for interval, new_rotate_after interval, new_split_above double precision,
  new_merge_below double precision, new_sustained_time interval, new_minimum_shards integer,
  new_maximum_shards integer, new_maximum_image_size integer, expiry text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream tidemark.stream;
  problems text[];
BEGIN
  PERFORM tidemark.require('{administrator}', of_stream);
  SELECT * INTO stream FROM tidemark.stream s WHERE s.stream_id = of_stream FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'stream % does not exist (any more)', of_stream USING ERRCODE = 'TM001',
      HINT = 'List those that do: tidemark stream list.';
  END IF;
  IF (expiry, new_maximum_image_size) IS DISTINCT FROM (stream.expiry_column, stream.maximum_image_size) THEN
    PERFORM tidemark.require_ownership(stream.source_table);
  END IF;
  problems := tidemark.settings_problems(kept_for, new_rotate_after, new_split_above, new_merge_below,
    new_sustained_time, new_minimum_shards, new_maximum_shards, new_maximum_image_size);
  IF expiry IS DISTINCT FROM stream.expiry_column AND expiry IS NOT NULL THEN
    IF stream.source_table IS NULL OR stream.status <> 'ENABLED' THEN
      problems := problems || 'only rows of a table whose stream is enabled expire'::text;
    ELSIF tidemark.expiry_condition(stream.source_table, expiry) IS NULL THEN
      problems := problems || format('%s has no column "%s" that is a timestamptz, timestamp, date, integer, bigint or '
        'numeric', stream.source_name, expiry);
    END IF;
  END IF;
  IF problems <> '{}' THEN
    RAISE EXCEPTION 'the settings of the stream "%" are not possible: %', stream.name,
      array_to_string(problems, '; ') USING ERRCODE = 'TM005', HINT = 'See: tidemark help stream alter.';
  END IF;
  UPDATE tidemark.stream s SET retention = kept_for, partition_interval = tidemark.partition_interval(kept_for),
      rotate_after = new_rotate_after, split_above = new_split_above, merge_below = new_merge_below,
      sustained_time = new_sustained_time, minimum_shards = new_minimum_shards,
      maximum_shards = new_maximum_shards, maximum_image_size = new_maximum_image_size, expiry_column = expiry,
      expired_at = CASE WHEN expiry IS NOT DISTINCT FROM s.expiry_column THEN s.expired_at ELSE clock_timestamp() END
    WHERE s.stream_id = of_stream;
  IF stream.status <> 'ENABLED' OR expiry IS NOT DISTINCT FROM stream.expiry_column
    AND new_maximum_image_size = stream.maximum_image_size THEN
    RETURN;
  END IF;
  PERFORM tidemark.create_functions(of_stream);
END $$;
