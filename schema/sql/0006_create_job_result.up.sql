-- What came of it: one row for a succeeded job, written by the transaction that ends it.
CREATE TABLE job_result (
  job_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  generation INT UNSIGNED NOT NULL,
  text LONGTEXT NOT NULL,
  reasoning_content LONGTEXT NULL,
  finish_reason VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  prompt_tokens INT UNSIGNED NOT NULL,
  completion_tokens INT UNSIGNED NOT NULL,
  PRIMARY KEY (job_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
