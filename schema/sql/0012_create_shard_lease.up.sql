-- Which producer runs which background loop for which shard. `fence` grows with each change of owner.
CREATE TABLE shard_lease (
  role VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  shard TINYINT UNSIGNED NOT NULL,
  owner VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  fence BIGINT UNSIGNED NOT NULL,
  lease_due DATETIME(6) NOT NULL,
  PRIMARY KEY (role, shard)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
