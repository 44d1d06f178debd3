-- Receivers that a tenant registered: each gets the events that it chose, signed with a secret of its own.
CREATE TABLE webhook_endpoint (
  id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  shard TINYINT UNSIGNED NOT NULL,
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  url VARCHAR(2048) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  description VARCHAR(512) NOT NULL,
  -- Types parted by commas, or * for all.
  events VARCHAR(500) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  state ENUM('enabled', 'disabled') NOT NULL,
  disabled_reason ENUM('request', 'gone', 'failing') NULL,
  disabled_at DATETIME(6) NULL,
  -- Since when every attempt failed; NULL: the last one did not.
  failing_since DATETIME(6) NULL,
  -- Sealed with the master key. The secret before it signs too until secret_old_until, so that receivers can change over.
  secret_sealed VARBINARY(256) NOT NULL,
  secret_old_sealed VARBINARY(256) NULL,
  secret_old_until DATETIME(6) NULL,
  created_at DATETIME(6) NOT NULL,
  PRIMARY KEY (id),
  KEY webhook_endpoint_tenant (tenant_id, id),
  CONSTRAINT webhook_endpoint_disabled_says_why CHECK ((state = 'disabled') = (disabled_at IS NOT NULL AND disabled_reason IS NOT NULL)),
  CONSTRAINT webhook_endpoint_old_secret_ends CHECK ((secret_old_sealed IS NULL) = (secret_old_until IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
