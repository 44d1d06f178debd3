-- Why the last step failed, if none succeeded since: such an operation waits a while, so that the others get their turn.
ALTER TABLE operation
  ADD COLUMN last_error VARCHAR(1000) NULL;
