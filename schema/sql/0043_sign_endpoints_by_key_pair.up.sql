-- signing: by a shared secret (hmac) or by a key pair (ed25519), whose public half (whpk_…) tenants may read at any time.
ALTER TABLE webhook_endpoint
  ADD COLUMN signing ENUM('hmac', 'ed25519') NOT NULL DEFAULT 'hmac',
  ADD COLUMN public_key VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  ADD CONSTRAINT webhook_endpoint_key_pair_is_readable CHECK ((signing = 'ed25519') = (public_key IS NOT NULL));
