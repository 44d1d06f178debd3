ALTER TABLE job
  ADD KEY job_publish (model, priority, publish_due),
  DROP KEY job_queue,
  DROP COLUMN queue_rank;
