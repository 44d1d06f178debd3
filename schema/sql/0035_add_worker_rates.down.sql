ALTER TABLE worker DROP COLUMN tokens_per_s, DROP COLUMN job_tokens_per_s;
