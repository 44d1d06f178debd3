-- Files of tenants. Only a file that is `ready` can be seen by anybody but its writer; its contents lie in file_chunk.
CREATE TABLE file (
  id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  shard TINYINT UNSIGNED NOT NULL,
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  purpose VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  filename VARCHAR(255) NOT NULL,
  -- deleted: what is left waits to be swept. It includes what was abandoned and what expired.
  state ENUM('writing', 'ready', 'deleted') NOT NULL,
  -- Known once it is ready.
  bytes BIGINT UNSIGNED NOT NULL,
  created_at DATETIME(6) NOT NULL,
  expires_at DATETIME(6) NULL,
  -- When the sweep should look: long after the last chunk came, at its expiry, or at once. NULL: never.
  sweep_due DATETIME(6) NULL,
  PRIMARY KEY (id),
  KEY file_list (tenant_id, state, id),
  KEY file_sweep (sweep_due),
  CONSTRAINT file_is_swept CHECK ((sweep_due IS NULL) = (state = 'ready' AND expires_at IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
