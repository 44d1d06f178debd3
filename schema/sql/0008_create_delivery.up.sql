-- One event on its way to one receiver.
CREATE TABLE delivery (
  id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  shard TINYINT UNSIGNED NOT NULL,
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  event_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  job_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  url VARCHAR(2048) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- Scheme, host and port of the URL: what is slow or dead together, and waits together.
  endpoint VARCHAR(300) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  state ENUM('pending', 'delivered', 'failed') NOT NULL,
  attempts INT UNSIGNED NOT NULL DEFAULT 0,
  -- pending: when to try next. While a sender holds the row it lies in the future, so a lost sender's row comes back.
  attempt_due DATETIME(6) NULL,
  created_at DATETIME(6) NOT NULL,
  finished_at DATETIME(6) NULL,
  last_status INT NULL,
  last_error VARCHAR(500) NULL,
  PRIMARY KEY (id),
  UNIQUE KEY delivery_event (event_id),
  KEY delivery_due (attempt_due),
  KEY delivery_endpoint (endpoint, attempt_due),
  KEY delivery_job (job_id),
  KEY delivery_tenant (tenant_id, id),
  CONSTRAINT delivery_pending_is_due CHECK ((state = 'pending') = (attempt_due IS NOT NULL)),
  CONSTRAINT delivery_final_is_dated CHECK ((state = 'pending') = (finished_at IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
