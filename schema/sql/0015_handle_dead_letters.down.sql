-- `reason` keeps its third value: letters of failed jobs may stand there, and nothing before reads them.
ALTER TABLE dead_letter
  DROP KEY dead_letter_copy,
  DROP KEY dead_letter_replayed,
  DROP KEY dead_letter_operation,
  DROP KEY dead_letter_died,
  DROP KEY dead_letter_state,
  DROP COLUMN copy_due,
  DROP COLUMN replayed_as,
  DROP COLUMN expires_in_s,
  DROP COLUMN operation_id,
  DROP COLUMN handled_at,
  DROP COLUMN attempts,
  DROP COLUMN state;
