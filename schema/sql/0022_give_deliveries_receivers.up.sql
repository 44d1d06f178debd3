-- An event may have several receivers: the job's callback_url (endpoint_id is empty) and endpoints that the tenant
-- registered. attempts_base: attempts made before the delivery was last replayed; the schedule counts from there.
ALTER TABLE delivery
  ADD COLUMN endpoint_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
  ADD COLUMN attempts_base INT UNSIGNED NOT NULL DEFAULT 0,
  DROP KEY delivery_event,
  ADD UNIQUE KEY delivery_event (event_id, endpoint_id),
  ADD KEY delivery_receiver (endpoint_id, id);
