"""moto's server, with Kinesis streams that can be split and merged while they are written to and read.

In moto 5.2 a split gives the parent's records to the children, a merge copies them, both parents go on taking records,
sequence numbers begin again in each shard, and a shard never ends. Written from Kinesis' API reference: SplitShard,
MergeShards, GetRecords (an ended shard has ChildShards and no NextShardIterator), ListShards.
"""

import hashlib
import itertools
import sys

from moto.core.responses import ActionResult
from moto.kinesis import models, responses
from moto.kinesis.utils import decompose_shard_iterator
from moto.server import main

# Of 56 digits, as the service's, and the same for all shards, so that a child's are higher than its parents'.
numbers = itertools.count(495903382714902566085596925383615710959215759891365888, 16)


class Shard(models.Shard):
    # moto files its models by it.
    __module__ = models.__name__

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.first_number = next(numbers)
        self.last_number = None

    def put_record(self, partition_key, data, explicit_hash_key):
        number = next(numbers)
        self.records[number] = models.Record(partition_key, data, number, explicit_hash_key)
        return str(number)

    def close(self):
        self.is_open = False
        self.last_number = next(numbers)

    def to_json(self):
        answer = super().to_json()
        answer["SequenceNumberRange"] = {"StartingSequenceNumber": str(self.first_number)}
        if not self.is_open:
            answer["SequenceNumberRange"]["EndingSequenceNumber"] = str(self.last_number)
        return answer

    def to_child(self):
        return {
            "ShardId": self.shard_id,
            "ParentShards": [parent for parent in (self.parent, self.adjacent_parent) if parent],
            "HashKeyRange": {"StartingHashKey": str(self.starting_hash), "EndingHashKey": str(self.ending_hash)},
        }


def add_shard(stream, first_hash, last_hash, *parents):
    number = 1 + max(shard._shard_id for shard in stream.shards.values())
    shard = Shard(number, first_hash, last_hash, *parents)
    stream.shards[shard.shard_id] = shard


def split_shard(stream, shard_id, new_starting_hash_key):
    parent = stream.shards[shard_id]
    parent.close()
    add_shard(stream, parent.starting_hash, int(new_starting_hash_key) - 1, shard_id)
    add_shard(stream, int(new_starting_hash_key), parent.ending_hash, shard_id)


def merge_shards(stream, shard_id, adjacent_shard_id):
    parents = [stream.shards[shard_id], stream.shards[adjacent_shard_id]]
    for parent in parents:
        parent.close()
    first = min(parent.starting_hash for parent in parents)
    last = max(parent.ending_hash for parent in parents)
    add_shard(stream, first, last, shard_id, adjacent_shard_id)


def get_shard_for_key(stream, partition_key, explicit_hash_key):
    digest = hashlib.md5(partition_key.encode()).hexdigest()
    key = int(explicit_hash_key) if explicit_hash_key else int(digest, 16)
    shards = stream.shards.values()
    return next(s for s in shards if s.is_open and s.starting_hash <= key <= s.ending_hash)


def get_records(response):
    backend = response.kinesis_backend
    iterator = response._get_param("ShardIterator")
    name, shard_id, _ = decompose_shard_iterator(iterator)
    stream = backend.describe_stream(None, name)
    # Asked first: what comes before the end must not be missed.
    is_open = stream.get_shard(shard_id).is_open
    following, records, behind = backend.get_records(None, iterator, response._get_param("Limit"))
    answer = {"Records": [record.to_json() for record in records], "MillisBehindLatest": behind}
    if is_open or records:
        answer["NextShardIterator"] = following
    else:
        children = (s for s in stream.shards.values() if shard_id in (s.parent, s.adjacent_parent))
        answer["ChildShards"] = [child.to_child() for child in children]
    return ActionResult(answer)


models.Shard = Shard
models.Stream.split_shard = split_shard
models.Stream.merge_shards = merge_shards
models.Stream.get_shard_for_key = get_shard_for_key
responses.KinesisResponse.get_records = get_records

if __name__ == "__main__":
    main(sys.argv[1:])
