#include "common/crypto/webhook_key.h"

#include <array>

#include "common/crypto/crypto.h"

namespace sluice {

namespace {

constexpr std::string_view kSharedPrefix = "whsec_";
constexpr std::string_view kPrivatePrefix = "whsk_";
constexpr std::string_view kPublicPrefix = "whpk_";
constexpr std::size_t kSharedBytesMin = 16;
constexpr std::size_t kSharedBytesMax = 64;

Result<WebhookKey> parse_private(std::string_view text) {
  auto key = base64_decode(text);
  const bool seed_alone = key && key->size() == kEd25519SeedBytes;
  const bool with_public = key && key->size() == 2 * kEd25519SeedBytes;
  if (!seed_alone && !with_public) {
    return fail(ErrorCode::kInvalid, "the webhook secret is not base64 of an Ed25519 private key");
  }
  const std::string seed = key->substr(0, kEd25519SeedBytes);
  if (with_public && key->substr(kEd25519SeedBytes) != text_of(ed25519_public_key(seed))) {
    return fail(ErrorCode::kInvalid, "the webhook secret holds a public key that is not its own");
  }
  return WebhookKey{WebhookSigning::kEd25519, Secret(seed)};
}

}  // namespace

std::string_view webhook_signing_name(WebhookSigning signing) {
  return signing == WebhookSigning::kEd25519 ? "ed25519" : "hmac";
}

std::optional<WebhookSigning> webhook_signing_from(std::string_view name) {
  for (const WebhookSigning one : {WebhookSigning::kHmac, WebhookSigning::kEd25519}) {
    if (name == webhook_signing_name(one)) return one;
  }
  return std::nullopt;
}

Result<WebhookKey> parse_webhook_secret(const Secret& secret) {
  const std::string_view text = secret.reveal();
  if (text.starts_with(kPrivatePrefix)) return parse_private(text.substr(kPrivatePrefix.size()));
  if (!text.starts_with(kSharedPrefix)) {
    return fail(ErrorCode::kInvalid, "the webhook secret begins with neither whsec_ nor whsk_");
  }
  auto key = base64_decode(text.substr(kSharedPrefix.size()));
  if (!key || key->size() < kSharedBytesMin || key->size() > kSharedBytesMax) {
    return fail(ErrorCode::kInvalid, "the webhook secret is not base64 of 16 to 64 bytes");
  }
  return WebhookKey{WebhookSigning::kHmac, Secret(std::move(*key))};
}

Secret make_webhook_secret(WebhookSigning signing, Rng& rng) {
  std::array<std::uint8_t, 32> bytes{};
  rng.fill(bytes);
  std::string key(text_of(bytes));
  if (signing == WebhookSigning::kHmac) return Secret(std::string(kSharedPrefix) + base64_encode(key));
  key += text_of(ed25519_public_key(key));
  return Secret(std::string(kPrivatePrefix) + base64_encode(key));
}

std::optional<std::string> webhook_public_key(const WebhookKey& key) {
  if (key.signing != WebhookSigning::kEd25519) return std::nullopt;
  return std::string(kPublicPrefix) + base64_encode(text_of(ed25519_public_key(key.bytes.reveal())));
}

}  // namespace sluice
