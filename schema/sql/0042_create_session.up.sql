-- Conversations that go on without being sent again: where each stands. Written in the transaction that accepts its turn.
CREATE TABLE session (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  session_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- Of the last turn.
  job_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- The turn that it went on from, to go on from there again should the last one bring no answer. NULL: it began the
  -- conversation.
  base_job_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  turn INT UNSIGNED NOT NULL,
  expires_at DATETIME(6) NOT NULL,
  PRIMARY KEY (tenant_id, session_id),
  KEY session_expires (expires_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
