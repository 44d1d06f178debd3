-- Which job answers which line of a batch's file.
CREATE TABLE batch_line (
  job_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  batch_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- From 1, as an editor counts; empty lines of the file count and have no row.
  line_no INT UNSIGNED NOT NULL,
  custom_id VARCHAR(512) NOT NULL,
  -- In which order lines ended: given by the transaction that ends one, taken away when it is run again.
  seq INT UNSIGNED NULL,
  PRIMARY KEY (job_id),
  UNIQUE KEY batch_line_no (batch_id, line_no),
  UNIQUE KEY batch_line_seq (batch_id, seq)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
