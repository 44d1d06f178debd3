-- What an event's receivers are sent, frozen when the event is decided: a redrive changes the job, and every attempt
-- must carry the same bytes. Only events that have a receiver have a row.
CREATE TABLE event_payload (
  event_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  body LONGTEXT NOT NULL,
  PRIMARY KEY (event_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
