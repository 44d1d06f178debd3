DROP TABLE shard_lease;
