// Signs webhooks as Standard Webhooks 1.0 asks: HMAC-SHA256 over `id.timestamp.body`.
//
// Pure; safe for concurrent use.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/base/secret.h"

namespace sluice::callback {

// A secret that is ready to sign with.
class SigningKey {
 public:
  // kInvalid unless `secret` is `whsec_` and base64 of 16 to 64 bytes. The message never repeats it.
  static Result<SigningKey> parse(const Secret& secret);
  // "v1,…" for one message. `id` must hold no dot.
  std::string sign(std::string_view id, std::int64_t timestamp_s, std::string_view body) const;

 private:
  explicit SigningKey(Secret key) : key_(std::move(key)) {}
  Secret key_;  // Decoded.
};

// The header's value: one signature for each key, parted by spaces, so that a receiver can change secrets
// while both are in use.
std::string signature_header(std::span<const SigningKey> keys, std::string_view id, std::int64_t timestamp_s,
                             std::string_view body);

}  // namespace sluice::callback
