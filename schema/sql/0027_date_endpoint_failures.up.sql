-- failed_at: the last failed attempt; failing_since counts anew after days without any. The key is for the count of
-- endpoints that were disabled because they were gone or only failed.
ALTER TABLE webhook_endpoint
  ADD COLUMN failed_at DATETIME(6) NULL,
  ADD KEY webhook_endpoint_disabled (disabled_reason);
