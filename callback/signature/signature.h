// Signs webhooks as Standard Webhooks 1.0 asks, over `id.timestamp.body`: HMAC-SHA256 by a shared secret (v1)
// or Ed25519 by a private key (v1a).
//
// Pure; safe for concurrent use.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/base/secret.h"
#include "common/crypto/webhook_key.h"

namespace sluice::callback {

// A secret that is ready to sign with.
class SigningKey {
 public:
  // kInvalid as of parse_webhook_secret(). The message never repeats the secret.
  static Result<SigningKey> parse(const Secret& secret);
  // "v1,…" or "v1a,…" for one message. `id` must hold no dot.
  std::string sign(std::string_view id, std::int64_t timestamp_s, std::string_view body) const;

 private:
  explicit SigningKey(WebhookKey key) : key_(std::move(key)) {}
  WebhookKey key_;
};

// The header's value: one signature for each key, parted by spaces, so that a receiver can change secrets
// while both are in use.
std::string signature_header(std::span<const SigningKey> keys, std::string_view id, std::int64_t timestamp_s,
                             std::string_view body);

}  // namespace sluice::callback
