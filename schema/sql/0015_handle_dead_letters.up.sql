-- What became of each letter, so that an operator can move it and look back. Also jobs that ended as `failed` have
-- one: their request can be corrected and sent again.
ALTER TABLE dead_letter
  MODIFY COLUMN reason ENUM('attempts', 'poison', 'failed') NOT NULL,
  ADD COLUMN state ENUM('dead', 'redriven', 'replayed', 'discarded') NOT NULL DEFAULT 'dead',
  -- Starts that counted.
  ADD COLUMN attempts INT UNSIGNED NOT NULL DEFAULT 0,
  ADD COLUMN handled_at DATETIME(6) NULL,
  -- The operation that moved it.
  ADD COLUMN operation_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  -- redriven: the time that the next generation was given.
  ADD COLUMN expires_in_s INT UNSIGNED NULL,
  -- replayed: the job that was made of it.
  ADD COLUMN replayed_as VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  -- redriven: when the copy of its end in Redis should be outdated (again).
  ADD COLUMN copy_due DATETIME(6) NULL,
  ADD KEY dead_letter_state (state, job_id),
  ADD KEY dead_letter_died (state, died_at, job_id),
  ADD KEY dead_letter_operation (operation_id, state),
  ADD KEY dead_letter_replayed (replayed_as),
  ADD KEY dead_letter_copy (copy_due);
