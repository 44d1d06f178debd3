-- Who did what to what, when, and how much of it; written by the transaction that did it. Never a secret.
CREATE TABLE audit (
  id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  at DATETIME(6) NOT NULL,
  actor_tenant VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- Name and hint of the key that asked.
  actor_key VARCHAR(232) NOT NULL,
  action VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- The one thing it was about, if it was one.
  target VARCHAR(300) NULL,
  -- What was chosen and how, as JSON.
  filter MEDIUMTEXT NULL,
  count INT UNSIGNED NOT NULL,
  PRIMARY KEY (id),
  KEY audit_action (action, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
