ALTER TABLE operation
  DROP COLUMN last_error;
