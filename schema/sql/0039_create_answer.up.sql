-- Which job computes, or computed, what equal requests of a tenant ask for: see docs/adr/0015. Written when the job is
-- accepted, and settled in the transaction that ends it.
CREATE TABLE answer (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- Of model, revision and request: SHA-256 in hex.
  key_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  job_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- Requests for it, since its first. That it grows also tells apart, in one statement, keys that are new from those that are there.
  asked INT UNSIGNED NOT NULL DEFAULT 1,
  -- How long its result is given to others, from its end.
  keep_s INT UNSIGNED NOT NULL,
  -- Until when. NULL: the job is still at it.
  expires_at DATETIME(6) NULL,
  PRIMARY KEY (tenant_id, key_hash),
  KEY answer_expires (expires_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
