-- How much of the prompt was computed for another job already, how much of the completion was reasoning, and how likely
-- each token was (JSON; only where the job asked).
ALTER TABLE job_result
  ADD COLUMN cached_tokens INT UNSIGNED NOT NULL DEFAULT 0,
  ADD COLUMN reasoning_tokens INT UNSIGNED NOT NULL DEFAULT 0,
  ADD COLUMN logprobs LONGTEXT NULL;
