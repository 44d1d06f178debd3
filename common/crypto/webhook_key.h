// The secrets that webhooks are signed with, as Standard Webhooks 1.0 writes them: `whsec_` and base64 of a
// shared key, or `whsk_` and base64 of an Ed25519 private key, whose public key is written `whpk_` and
// base64.
//
// Stateless; safe for concurrent use. No message ever repeats a secret.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/base/rng.h"
#include "common/base/secret.h"

namespace sluice {

enum class WebhookSigning {
  kHmac,     // v1: HMAC-SHA256. Sender and receiver hold the same secret.
  kEd25519,  // v1a: receivers hold the public key only.
};
std::string_view webhook_signing_name(WebhookSigning signing);
std::optional<WebhookSigning> webhook_signing_from(std::string_view name);

// What Standard Webhooks asks of a shared key: who is given a new secret asks for so many. Older ones may be
// shorter.
inline constexpr std::size_t kSecretBytesMin = 24;

struct WebhookKey {
  WebhookSigning signing = WebhookSigning::kHmac;
  Secret bytes;  // The shared key, or the private key's seed.
};

// kInvalid unless it is `whsec_` and base64 of 16 to 64 bytes, or `whsk_` and base64 of a seed's 32 bytes or
// of those and the 32 of its public key.
Result<WebhookKey> parse_webhook_secret(const Secret& secret);
// A new one: 32 random bytes, or a random seed and its public key.
Secret make_webhook_secret(WebhookSigning signing, Rng& rng);
// "whpk_…" of a private key; nothing for a shared secret.
std::optional<std::string> webhook_public_key(const WebhookKey& key);

}  // namespace sluice
