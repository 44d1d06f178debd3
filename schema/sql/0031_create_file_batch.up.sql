-- Batches that were asked for with a file of requests: what is known of each beside its counters, which stand in `batch`
-- under the same id. Both rows change in the transaction that ends a line; this one is locked first.
CREATE TABLE file_batch (
  id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  shard TINYINT UNSIGNED NOT NULL,
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  endpoint VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  input_file_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- As it was asked for ("24h"), and in seconds.
  completion_window VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  window_s INT UNSIGNED NOT NULL,
  priority TINYINT UNSIGNED NOT NULL,
  callback_url VARCHAR(2048) CHARACTER SET ascii COLLATE ascii_bin NULL,
  metadata TEXT NULL,
  -- How long the files that are made of it are kept; NULL: until they are removed.
  output_expires_s INT UNSIGNED NULL,
  status ENUM('validating', 'failed', 'in_progress', 'finalizing', 'completed', 'expired', 'cancelling', 'cancelled') NOT NULL,
  -- What was wrong with the file: {"count": …, "data": [{"code", "message", "param", "line"}]}.
  errors MEDIUMTEXT NULL,
  -- Requests in the file, once all were found good; how many are jobs by now; and how far the file was read for them:
  -- the next line's number and place.
  lines_total INT UNSIGNED NOT NULL DEFAULT 0,
  lines_in INT UNSIGNED NOT NULL DEFAULT 0,
  next_line INT UNSIGNED NOT NULL DEFAULT 1,
  next_byte BIGINT UNSIGNED NOT NULL DEFAULT 0,
  -- Lines that have not ended (those that are no jobs yet included), and the number that the next end gets.
  open_lines INT UNSIGNED NOT NULL DEFAULT 0,
  next_seq INT UNSIGNED NOT NULL DEFAULT 1,
  prompt_tokens BIGINT UNSIGNED NOT NULL DEFAULT 0,
  cached_tokens BIGINT UNSIGNED NOT NULL DEFAULT 0,
  completion_tokens BIGINT UNSIGNED NOT NULL DEFAULT 0,
  reasoning_tokens BIGINT UNSIGNED NOT NULL DEFAULT 0,
  -- Grows when lines of an ended batch are run again; each revision has files of its own.
  revision INT UNSIGNED NOT NULL DEFAULT 1,
  output_file_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  error_file_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  created_at DATETIME(6) NOT NULL,
  in_progress_at DATETIME(6) NULL,
  expires_at DATETIME(6) NOT NULL,
  finalizing_at DATETIME(6) NULL,
  completed_at DATETIME(6) NULL,
  failed_at DATETIME(6) NULL,
  expired_at DATETIME(6) NULL,
  cancelling_at DATETIME(6) NULL,
  cancelled_at DATETIME(6) NULL,
  -- Set: none of its lines is started.
  paused_at DATETIME(6) NULL,
  -- A retry is under way: ended lines up to this job were looked at.
  retried_to VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  -- When a producer should look at it (again): to read its file, to cancel or to retry lines. NULL: there is nothing to do.
  work_due DATETIME(6) NULL,
  -- When a callback service should make its files; while one does, when another may try instead.
  close_due DATETIME(6) NULL,
  -- The files that are being written: whoever claims it anew chooses others.
  closing_output_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  closing_error_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  PRIMARY KEY (id),
  KEY file_batch_tenant (tenant_id, id),
  KEY file_batch_paused (paused_at),
  KEY file_batch_work (work_due),
  KEY file_batch_close (close_due),
  CONSTRAINT file_batch_lines CHECK (lines_in <= lines_total AND open_lines <= lines_total),
  CONSTRAINT file_batch_final_is_closed CHECK (status NOT IN ('completed', 'expired', 'cancelled', 'failed')
    OR (open_lines = 0 AND work_due IS NULL AND close_due IS NULL AND closing_output_id IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
