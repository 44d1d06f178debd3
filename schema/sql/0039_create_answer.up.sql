-- What is known of the answer to equal requests of a tenant: who is at it, and who knew it last. See docs/adr/0015. Written as
-- a job is accepted, and in the transaction that ends it.
CREATE TABLE answer (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- Of model, revision and request: SHA-256 in hex.
  key_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- Requests for it, since its first. That it grows also tells apart, in one statement, keys that are new from those that are there.
  asked INT UNSIGNED NOT NULL DEFAULT 1,
  -- The job that is at it, or that ended and whose followers are still to be settled.
  leader_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  -- The job that has a result, and until when that is given to others. Later it is stale, and kept for a while.
  known_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  expires_at DATETIME(6) NULL,
  -- How long a result is given to others, from its job's end.
  keep_s INT UNSIGNED NOT NULL,
  -- When to look after those who follow. NULL: nobody does.
  settle_due DATETIME(6) NULL,
  PRIMARY KEY (tenant_id, key_hash),
  KEY answer_expires (expires_at),
  KEY answer_settle (settle_due)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
