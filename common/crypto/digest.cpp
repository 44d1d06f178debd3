#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/base/check.h"
#include "common/crypto/crypto.h"

namespace sluice {

namespace {

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

Sha256 sha256(std::string_view data) {
  Sha256 digest;
  std::size_t size = 0;
  // Fails only when OpenSSL has no default provider or no memory: nothing that a caller could answer.
  SLUICE_CHECK(EVP_Q_digest(nullptr, "SHA256", nullptr, data.data(), data.size(), digest.data(), &size) == 1);
  SLUICE_CHECK(size == digest.size());
  return digest;
}

void Sha256Stream::Free::operator()(void* context) const {
  EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context));
}

Sha256Stream::Sha256Stream() : context_(EVP_MD_CTX_new()) {
  SLUICE_CHECK(context_ != nullptr);
  SLUICE_CHECK(EVP_DigestInit_ex(static_cast<EVP_MD_CTX*>(context_.get()), EVP_sha256(), nullptr) == 1);
}

void Sha256Stream::add(std::string_view piece) {
  auto* context = static_cast<EVP_MD_CTX*>(context_.get());
  SLUICE_CHECK(EVP_DigestUpdate(context, piece.data(), piece.size()) == 1);
}

Sha256 Sha256Stream::finish() {
  Sha256 digest;
  unsigned size = 0;
  auto* context = static_cast<EVP_MD_CTX*>(context_.get());
  SLUICE_CHECK(EVP_DigestFinal_ex(context, digest.data(), &size) == 1);
  SLUICE_CHECK(size == digest.size());
  return digest;
}

Sha256 hmac_sha256(std::string_view key, std::string_view data) {
  Sha256 mac;
  std::size_t size = 0;
  // A null key would mean "the key of the last call" to OpenSSL, so an empty one is given an address.
  static constexpr char kEmpty[1] = {};
  const char* key_bytes = key.empty() ? kEmpty : key.data();
  SLUICE_CHECK(EVP_Q_mac(nullptr, "HMAC", nullptr, "SHA256", nullptr, key_bytes, key.size(), bytes_of(data),
                         data.size(), mac.data(), mac.size(), &size) != nullptr);
  SLUICE_CHECK(size == mac.size());
  return mac;
}

std::string to_hex(std::span<const std::uint8_t> bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 15]);
  }
  return hex;
}

bool equal_constant_time(std::string_view a, std::string_view b) {
  // The lengths are no secret: they are those of digests and signatures.
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace sluice
