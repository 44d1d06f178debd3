-- What the dispatcher does with a queued job: 0 was published (it looks whether the message is lost), 1 waits for
-- another start, 2 was never published. NULL: not queued. Behind it the tenant, so that each tenant's first due job is
-- one seek away however much waits; last what it costs, so that sums read the index alone.
ALTER TABLE job
  ADD COLUMN queue_rank TINYINT UNSIGNED GENERATED ALWAYS AS (CASE
    WHEN publish_due IS NULL THEN NULL
    WHEN published_at IS NOT NULL THEN 0
    WHEN attempt > 0 THEN 1
    ELSE 2 END) STORED,
  ADD KEY job_queue (model, priority, queue_rank, tenant_id, publish_due, tokens_max),
  DROP KEY job_publish;
