-- answer_key: others may share this job's result (answer.key_hash). leader_id: the job that this one was accepted behind, or whose result it
-- was given. It waits for that one, not for a worker, so it has no rank in the queue.
ALTER TABLE job
  ADD COLUMN answer_key CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  ADD COLUMN leader_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  MODIFY COLUMN queue_rank TINYINT UNSIGNED GENERATED ALWAYS AS (CASE
    WHEN publish_due IS NULL OR leader_id IS NOT NULL THEN NULL
    WHEN published_at IS NOT NULL THEN 0
    WHEN attempt > 0 THEN 1
    ELSE 2 END) STORED;
