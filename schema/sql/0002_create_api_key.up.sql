-- Keys are kept as SHA-256 of a 256-bit random value: nothing to guess, so no slow hash.
CREATE TABLE api_key (
  key_hash BINARY(32) NOT NULL,
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  name VARCHAR(200) NOT NULL,
  -- What an operator may see of it.
  hint VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  scopes SET('submit', 'read', 'admin') NOT NULL,
  created_at DATETIME(6) NOT NULL,
  revoked_at DATETIME(6) NULL,
  PRIMARY KEY (key_hash),
  KEY api_key_tenant (tenant_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
