-- answer_key: others may share this job's result (answer.key_hash). leader_id: whose result this one waits for, or was given.
ALTER TABLE job
  ADD COLUMN answer_key CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  ADD COLUMN leader_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL;
