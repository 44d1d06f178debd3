ALTER TABLE file_batch
  DROP CONSTRAINT file_batch_callbacks_come_by_both,
  DROP COLUMN callback_seconds,
  DROP COLUMN callback_lines;
