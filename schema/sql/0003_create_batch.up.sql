-- Jobs that were submitted together, and how many of them ended how. Counters change only in the transaction that
-- ends a job.
CREATE TABLE batch (
  id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  shard TINYINT UNSIGNED NOT NULL,
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  total INT UNSIGNED NOT NULL,
  succeeded INT UNSIGNED NOT NULL DEFAULT 0,
  failed INT UNSIGNED NOT NULL DEFAULT 0,
  dead INT UNSIGNED NOT NULL DEFAULT 0,
  cancelled INT UNSIGNED NOT NULL DEFAULT 0,
  expired INT UNSIGNED NOT NULL DEFAULT 0,
  created_at DATETIME(6) NOT NULL,
  PRIMARY KEY (id),
  KEY batch_tenant (tenant_id, id),
  CONSTRAINT batch_counts CHECK (succeeded + failed + dead + cancelled + expired <= total)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
