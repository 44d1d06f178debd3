-- Workers as they last spoke of themselves. A row is news, not truth: leases say who runs what.
CREATE TABLE worker (
  id VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  model VARCHAR(128) NOT NULL,
  engine VARCHAR(64) NOT NULL,
  version VARCHAR(32) NOT NULL,
  jobs_max INT UNSIGNED NOT NULL,
  held_jobs INT UNSIGNED NOT NULL,
  started_at DATETIME(6) NOT NULL,
  seen_at DATETIME(6) NOT NULL,
  -- An operator wants it to finish what it has and take nothing more.
  draining BOOLEAN NOT NULL DEFAULT FALSE,
  PRIMARY KEY (id),
  KEY worker_seen (seen_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
