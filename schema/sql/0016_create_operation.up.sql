-- An operator's work on many dead letters, done in steps by whichever producer gets to it. Each step is one transaction
-- that moves letters and this row's counters together, so that it goes on where it stood after any interruption.
CREATE TABLE operation (
  id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  kind ENUM('redrive', 'discard') NOT NULL,
  -- canary: the first few are moved, and it waits to be told to go on.
  state ENUM('running', 'canary', 'done', 'cancelled') NOT NULL,
  filter MEDIUMTEXT NOT NULL,
  forced BOOLEAN NOT NULL,
  -- Letters a second; NULL: as fast as it goes.
  rate_max DOUBLE NULL,
  canary INT UNSIGNED NULL,
  expires_in_s INT UNSIGNED NULL,
  -- Letters that matched when it began; of these were moved, were left to the loop guard, had moved by themselves.
  total INT UNSIGNED NOT NULL,
  handled INT UNSIGNED NOT NULL DEFAULT 0,
  guarded INT UNSIGNED NOT NULL DEFAULT 0,
  skipped INT UNSIGNED NOT NULL DEFAULT 0,
  -- Letters up to this job are done with.
  last_job_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
  -- running: when the next step may be made.
  step_due DATETIME(6) NULL,
  created_at DATETIME(6) NOT NULL,
  finished_at DATETIME(6) NULL,
  actor_tenant VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  actor_key VARCHAR(232) NOT NULL,
  PRIMARY KEY (id),
  KEY operation_step (step_due),
  CONSTRAINT operation_running_is_due CHECK ((state = 'running') = (step_due IS NOT NULL)),
  CONSTRAINT operation_final_is_dated CHECK ((state IN ('done', 'cancelled')) = (finished_at IS NOT NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
