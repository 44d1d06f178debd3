#include "callback/signature/signature.h"

#include "common/base/check.h"
#include "common/crypto/crypto.h"

namespace sluice::callback {

namespace {
constexpr std::string_view kPrefix = "whsec_";
constexpr std::size_t kKeyBytesMin = 16;
constexpr std::size_t kKeyBytesMax = 64;
}  // namespace

Result<SigningKey> SigningKey::parse(const Secret& secret) {
  const std::string_view text = secret.reveal();
  if (!text.starts_with(kPrefix))
    return fail(ErrorCode::kInvalid, "the webhook secret does not begin with whsec_");
  auto key = base64_decode(text.substr(kPrefix.size()));
  if (!key || key->size() < kKeyBytesMin || key->size() > kKeyBytesMax) {
    return fail(ErrorCode::kInvalid, "the webhook secret is not base64 of 16 to 64 bytes");
  }
  return SigningKey(Secret(std::move(*key)));
}

std::string SigningKey::sign(std::string_view id, std::int64_t timestamp_s, std::string_view body) const {
  // A dot in the id would let two messages share one signed text.
  SLUICE_CHECK(!id.empty() && id.find('.') == std::string_view::npos);
  std::string text;
  text.reserve(id.size() + body.size() + 24);
  text.append(id).append(".").append(std::to_string(timestamp_s)).append(".").append(body);
  const Sha256 mac = hmac_sha256(key_.reveal(), text);
  return "v1," + base64_encode(std::string_view(reinterpret_cast<const char*>(mac.data()), mac.size()));
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
