#include <openssl/evp.h>

#include <memory>

#include "common/base/check.h"
#include "common/crypto/crypto.h"

namespace sluice {

namespace {

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, FreeKey>;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

KeyPtr key_of(std::string_view seed) {
  SLUICE_CHECK(seed.size() == kEd25519SeedBytes);
  // Any 32 bytes are a seed: this fails only without memory or provider.
  KeyPtr key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, bytes_of(seed), seed.size()));
  SLUICE_CHECK(key != nullptr);
  return key;
}

}  // namespace

Ed25519PublicKey ed25519_public_key(std::string_view seed) {
  const KeyPtr key = key_of(seed);
  Ed25519PublicKey public_key;
  std::size_t size = public_key.size();
  SLUICE_CHECK(EVP_PKEY_get_raw_public_key(key.get(), public_key.data(), &size) == 1);
  SLUICE_CHECK(size == public_key.size());
  return public_key;
}

Ed25519Signature ed25519_sign(std::string_view seed, std::string_view message) {
  const KeyPtr key = key_of(seed);
  const std::unique_ptr<EVP_MD_CTX, FreeContext> context(EVP_MD_CTX_new());
  SLUICE_CHECK(context != nullptr);
  Ed25519Signature signature;
  std::size_t size = signature.size();
  // The algorithm hashes by itself, so no digest is named.
  SLUICE_CHECK(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1);
  SLUICE_CHECK(EVP_DigestSign(context.get(), signature.data(), &size, bytes_of(message), message.size()) ==
               1);
  SLUICE_CHECK(size == signature.size());
  return signature;
}

}  // namespace sluice
