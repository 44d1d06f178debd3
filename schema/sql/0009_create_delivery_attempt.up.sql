-- Every try, with what came back.
CREATE TABLE delivery_attempt (
  delivery_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  attempt INT UNSIGNED NOT NULL,
  started_at DATETIME(6) NOT NULL,
  duration_ms INT UNSIGNED NOT NULL,
  -- NULL when no answer came.
  status INT NULL,
  error VARCHAR(500) NULL,
  -- The first bytes of the answer's body.
  response VARBINARY(4096) NULL,
  PRIMARY KEY (delivery_id, attempt)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
