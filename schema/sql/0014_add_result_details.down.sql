ALTER TABLE job_result
  DROP COLUMN cached_tokens,
  DROP COLUMN reasoning_tokens,
  DROP COLUMN logprobs;
