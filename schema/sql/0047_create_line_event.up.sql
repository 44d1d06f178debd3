-- Ends of a batch's lines that wait to be told together: written by the decision about each one's event, and taken away
-- by the transaction that makes one delivery of several.
CREATE TABLE line_event (
  event_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  batch_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  url VARCHAR(2048) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- SHA-256 of the URL: one that is short enough for a key.
  url_key CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- As delivery.endpoint.
  endpoint VARCHAR(300) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  lines_max INT UNSIGNED NOT NULL,
  bytes INT UNSIGNED NOT NULL,
  -- By when it is told, with however few others. Of a group that is full the first is due at once.
  due DATETIME(6) NOT NULL,
  body LONGTEXT NOT NULL,
  PRIMARY KEY (event_id),
  KEY line_event_group (batch_id, url_key, event_id, due, lines_max, bytes),
  KEY line_event_due (due, batch_id, url_key, lines_max)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
