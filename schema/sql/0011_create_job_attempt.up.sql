-- Starts that did not end their job: who had it, when, and what went wrong.
CREATE TABLE job_attempt (
  job_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  generation INT UNSIGNED NOT NULL,
  attempt INT UNSIGNED NOT NULL,
  worker_id VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  started_at DATETIME(6) NOT NULL,
  ended_at DATETIME(6) NOT NULL,
  error_code VARCHAR(64) NOT NULL,
  error_message VARCHAR(2000) NOT NULL,
  PRIMARY KEY (job_id, generation, attempt)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
