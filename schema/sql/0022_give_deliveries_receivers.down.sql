-- Works only while no event has several receivers: what was sent to registered endpoints can't be told without the column.
ALTER TABLE delivery
  DROP KEY delivery_receiver,
  DROP KEY delivery_event,
  ADD UNIQUE KEY delivery_event (event_id),
  DROP COLUMN attempts_base,
  DROP COLUMN endpoint_id;
