ALTER TABLE webhook_endpoint
  DROP KEY webhook_endpoint_disabled,
  DROP COLUMN failed_at;
