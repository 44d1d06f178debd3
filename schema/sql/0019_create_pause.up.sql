-- Models and tenants whose jobs are held back: nothing of them is published or started while their row stands here.
CREATE TABLE pause (
  kind ENUM('model', 'tenant') NOT NULL,
  name VARCHAR(128) NOT NULL,
  reason VARCHAR(300) NULL,
  since DATETIME(6) NOT NULL,
  actor_tenant VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  actor_key VARCHAR(232) NOT NULL,
  PRIMARY KEY (kind, name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
