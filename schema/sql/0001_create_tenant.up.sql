-- Who jobs belong to. Global: not sharded.
CREATE TABLE tenant (
  id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  name VARCHAR(200) NOT NULL,
  -- Signs the webhooks of per-job callback URLs; sealed with the master key (AES-256-GCM).
  webhook_secret_sealed VARBINARY(256) NULL,
  created_at DATETIME(6) NOT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
