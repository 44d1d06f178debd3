-- Jobs that used up their attempts or killed their workers: the truth that the broker's queue tasks.dead mirrors.
CREATE TABLE dead_letter (
  job_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  generation INT UNSIGNED NOT NULL,
  shard TINYINT UNSIGNED NOT NULL,
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  model VARCHAR(128) NOT NULL,
  reason ENUM('attempts', 'poison') NOT NULL,
  -- The same for errors of the same kind, whatever ids and numbers their messages hold.
  fingerprint CHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  error_code VARCHAR(64) NOT NULL,
  error_message VARCHAR(2000) NOT NULL,
  died_at DATETIME(6) NOT NULL,
  PRIMARY KEY (job_id, generation),
  KEY dead_letter_fingerprint (fingerprint, died_at),
  KEY dead_letter_tenant (tenant_id, died_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
