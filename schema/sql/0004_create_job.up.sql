-- The truth about a job. Every change is conditional on (state, generation, attempt). The four *_due columns are NULL
-- unless the row has that duty, so that their indexes hold little but live work.
CREATE TABLE job (
  id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  shard TINYINT UNSIGNED NOT NULL,
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  batch_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  model VARCHAR(128) NOT NULL,
  priority TINYINT UNSIGNED NOT NULL,
  state ENUM('queued', 'running', 'succeeded', 'failed', 'dead', 'cancelled', 'expired') NOT NULL,
  generation INT UNSIGNED NOT NULL DEFAULT 1,
  attempt INT UNSIGNED NOT NULL DEFAULT 0,
  attempts_max INT UNSIGNED NOT NULL,
  -- Starts that were given back unharmed (drain, lack of room): they do not count as attempts.
  attempts_forgiven INT UNSIGNED NOT NULL DEFAULT 0,
  -- Starts of this generation whose lease lapsed; at the limit the job is poison.
  lapsed_starts INT UNSIGNED NOT NULL DEFAULT 0,
  prompt_tokens INT UNSIGNED NOT NULL,
  tokens_max INT UNSIGNED NOT NULL,
  callback_url VARCHAR(2048) CHARACTER SET ascii COLLATE ascii_bin NULL,
  created_at DATETIME(6) NOT NULL,
  started_at DATETIME(6) NULL,
  finished_at DATETIME(6) NULL,
  expires_at DATETIME(6) NOT NULL,
  -- queued: when the dispatcher should publish it (again).
  publish_due DATETIME(6) NULL,
  published_at DATETIME(6) NULL,
  publishes INT UNSIGNED NOT NULL DEFAULT 0,
  -- running: who has it, and until when unless it says that it lives.
  worker_id VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NULL,
  lease_due DATETIME(6) NULL,
  -- queued or running: when it expires.
  expire_due DATETIME(6) NULL,
  error_code VARCHAR(64) NULL,
  error_type VARCHAR(64) NULL,
  error_param VARCHAR(200) NULL,
  error_message VARCHAR(2000) NULL,
  PRIMARY KEY (id),
  KEY job_tenant (tenant_id, id),
  KEY job_batch (batch_id, id),
  KEY job_publish (model, priority, publish_due),
  KEY job_lease (lease_due),
  KEY job_worker (worker_id, id),
  KEY job_expire (expire_due),
  CONSTRAINT job_final_has_no_duty CHECK (state IN ('queued', 'running')
    OR (publish_due IS NULL AND lease_due IS NULL AND expire_due IS NULL AND worker_id IS NULL)),
  CONSTRAINT job_final_is_dated CHECK (state IN ('queued', 'running') = (finished_at IS NULL)),
  CONSTRAINT job_running_is_leased CHECK ((state = 'running') = (lease_due IS NOT NULL AND worker_id IS NOT NULL)),
  CONSTRAINT job_queued_is_due CHECK ((state = 'queued') = (publish_due IS NOT NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
