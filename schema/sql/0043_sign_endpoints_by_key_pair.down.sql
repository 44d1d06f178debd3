-- Endpoints with a key pair are left with a secret that signs nothing: rotating it makes one that does.
ALTER TABLE webhook_endpoint
  DROP CONSTRAINT webhook_endpoint_key_pair_is_readable,
  DROP COLUMN public_key,
  DROP COLUMN signing;
