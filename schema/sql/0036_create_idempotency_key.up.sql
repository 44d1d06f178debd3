-- Which resource a request made, for when it is sent again. Written in the transaction that makes the resource.
CREATE TABLE idempotency_key (
  -- The job, or the batch of jobs.
  resource_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- Of the key that the client gave; NULL: it gave none, and only the request's own automatic repetition is looked for.
  key_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  -- Of the route and the body.
  fingerprint CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  created_at DATETIME(6) NOT NULL,
  expires_at DATETIME(6) NOT NULL,
  PRIMARY KEY (resource_id),
  UNIQUE KEY idempotency_once (tenant_id, key_hash),
  KEY idempotency_again (tenant_id, fingerprint, created_at),
  KEY idempotency_expires (expires_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
