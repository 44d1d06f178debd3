-- ordered: events of one job are sent to it one after the other; a later one waits for an earlier one.
ALTER TABLE webhook_endpoint
  ADD COLUMN ordered TINYINT(1) NOT NULL DEFAULT 0;
