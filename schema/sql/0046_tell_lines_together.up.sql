-- Asked for with callback_every: so many ends of lines are told together, or those of so long. NULL: each by itself.
ALTER TABLE file_batch
  ADD COLUMN callback_lines INT UNSIGNED NULL,
  ADD COLUMN callback_seconds INT UNSIGNED NULL,
  ADD CONSTRAINT file_batch_callbacks_come_by_both CHECK ((callback_lines IS NULL) = (callback_seconds IS NULL));
