-- What the broker's queue tasks.dead shows of the letter: what it shows has to be taken away once it is handled.
ALTER TABLE dead_letter
  ADD COLUMN mirrored ENUM('no', 'perhaps', 'yes') NOT NULL DEFAULT 'no',
  ADD KEY dead_letter_mirrored (mirrored, state, job_id);
