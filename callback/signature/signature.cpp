#include "callback/signature/signature.h"

#include "common/base/check.h"
#include "common/crypto/crypto.h"

namespace sluice::callback {

Result<SigningKey> SigningKey::parse(const Secret& secret) {
  SLUICE_ASSIGN(WebhookKey key, parse_webhook_secret(secret));
  return SigningKey(std::move(key));
}

std::string SigningKey::sign(std::string_view id, std::int64_t timestamp_s, std::string_view body) const {
  // A dot in the id would let two messages share one signed text.
  SLUICE_CHECK(!id.empty() && id.find('.') == std::string_view::npos);
  std::string text;
  text.reserve(id.size() + body.size() + 24);
  text.append(id).append(".").append(std::to_string(timestamp_s)).append(".").append(body);
  const std::string& key = key_.bytes.reveal();
  if (key_.signing == WebhookSigning::kEd25519)
    return "v1a," + base64_encode(text_of(ed25519_sign(key, text)));
  return "v1," + base64_encode(text_of(hmac_sha256(key, text)));
}

std::string signature_header(std::span<const SigningKey> keys, std::string_view id, std::int64_t timestamp_s,
                             std::string_view body) {
  std::string header;
  for (const SigningKey& key : keys) {
    if (!header.empty()) header.push_back(' ');
    header += key.sign(id, timestamp_s, body);
  }
  return header;
}

}  // namespace sluice::callback
