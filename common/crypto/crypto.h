// Hashes, signatures and sealing, over OpenSSL. Stateless, but for Sha256Stream; safe for concurrent use.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/base/rng.h"
#include "common/base/secret.h"

namespace sluice {

using Sha256 = std::array<std::uint8_t, 32>;

Sha256 sha256(std::string_view data);
// The same of data that comes in pieces. For one owner, one thread at a time.
class Sha256Stream {
 public:
  Sha256Stream();
  void add(std::string_view piece);
  // Of all that was added. Nothing may be added afterwards.
  Sha256 finish();

 private:
  struct Free {
    void operator()(void* context) const;
  };
  std::unique_ptr<void, Free> context_;  // EVP_MD_CTX
};
Sha256 hmac_sha256(std::string_view key, std::string_view data);

// Ed25519 (RFC 8032): a private key is named by the 32 bytes of its seed.
inline constexpr std::size_t kEd25519SeedBytes = 32;
using Ed25519PublicKey = std::array<std::uint8_t, 32>;
using Ed25519Signature = std::array<std::uint8_t, 64>;
Ed25519PublicKey ed25519_public_key(std::string_view seed);
Ed25519Signature ed25519_sign(std::string_view seed, std::string_view message);

std::string to_hex(std::span<const std::uint8_t> bytes);
// The bytes of a hash, key or signature; a view into them.
template <std::size_t N>
std::string_view text_of(const std::array<std::uint8_t, N>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
std::string base64_encode(std::string_view bytes);
// Standard alphabet with padding. kInvalid for anything else.
Result<std::string> base64_decode(std::string_view text);
// Takes the same time wherever the two differ.
bool equal_constant_time(std::string_view a, std::string_view b);

// Encrypts small secrets at rest: AES-256-GCM, a random 96-bit nonce before the text, the tag after it.
// `context` is authenticated with it, so that a sealed value can't be moved to another row.
class Sealer {
 public:
  // kInvalid unless `key` is base64 of 32 bytes.
  static Result<Sealer> make(const Secret& key_base64);
  std::string seal(const Secret& secret, std::string_view context, Rng& rng) const;
  // kCorrupt: another key, another context, or changed bytes.
  Result<Secret> open(std::string_view sealed, std::string_view context) const;

 private:
  explicit Sealer(Secret key) : key_(std::move(key)) {}
  Secret key_;
};

// Reads a secret from a file, without its final newline. kInvalid: unreadable or empty.
Result<Secret> read_secret_file(const std::string& path);

}  // namespace sluice
