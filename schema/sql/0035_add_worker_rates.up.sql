-- How fast a worker gets through jobs, in tokens that they may cost: of all together, and of one. 0 = not measured yet.
ALTER TABLE worker ADD COLUMN tokens_per_s INT UNSIGNED NOT NULL DEFAULT 0 AFTER held_jobs,
  ADD COLUMN job_tokens_per_s INT UNSIGNED NOT NULL DEFAULT 0 AFTER tokens_per_s;
