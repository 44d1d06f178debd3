#include <openssl/evp.h>

#include <memory>

#include "common/base/check.h"
#include "common/crypto/crypto.h"

namespace sluice {

namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kTagBytes = 16;

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using ContextPtr = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes_of(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}

}  // namespace

Result<Sealer> Sealer::make(const Secret& key_base64) {
  auto key = base64_decode(key_base64.reveal());
  if (!key || key->size() != kKeyBytes) {
    return fail(ErrorCode::kInvalid, "the master key must be base64 of 32 bytes");
  }
  return Sealer(Secret(std::move(*key)));
}

std::string Sealer::seal(const Secret& secret, std::string_view context, Rng& rng) const {
  const std::string& plain = secret.reveal();
  std::string sealed(kNonceBytes + plain.size() + kTagBytes, '\0');
  rng.fill(std::span(bytes_of(sealed), kNonceBytes));

  const ContextPtr cipher(EVP_CIPHER_CTX_new());
  SLUICE_CHECK(cipher != nullptr);
  int written = 0;
  SLUICE_CHECK(EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, bytes_of(key_.reveal()),
                                  bytes_of(sealed)) == 1);
  SLUICE_CHECK(EVP_EncryptUpdate(cipher.get(), nullptr, &written, bytes_of(context),
                                 static_cast<int>(context.size())) == 1);
  unsigned char* const body = bytes_of(sealed) + kNonceBytes;
  SLUICE_CHECK(
      EVP_EncryptUpdate(cipher.get(), body, &written, bytes_of(plain), static_cast<int>(plain.size())) == 1);
  SLUICE_CHECK(static_cast<std::size_t>(written) == plain.size());
  SLUICE_CHECK(EVP_EncryptFinal_ex(cipher.get(), body + plain.size(), &written) == 1);
  SLUICE_CHECK(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, static_cast<int>(kTagBytes),
                                   body + plain.size()) == 1);
  return sealed;
}

Result<Secret> Sealer::open(std::string_view sealed, std::string_view context) const {
  if (sealed.size() < kNonceBytes + kTagBytes) return fail(ErrorCode::kCorrupt, "sealed value: too short");
  const std::string_view nonce = sealed.substr(0, kNonceBytes);
  const std::string_view body = sealed.substr(kNonceBytes, sealed.size() - kNonceBytes - kTagBytes);
  std::string tag(sealed.substr(sealed.size() - kTagBytes));

  const ContextPtr cipher(EVP_CIPHER_CTX_new());
  SLUICE_CHECK(cipher != nullptr);
  std::string plain(body.size(), '\0');
  int written = 0;
  SLUICE_CHECK(EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, bytes_of(key_.reveal()),
                                  bytes_of(nonce)) == 1);
  SLUICE_CHECK(EVP_DecryptUpdate(cipher.get(), nullptr, &written, bytes_of(context),
                                 static_cast<int>(context.size())) == 1);
  SLUICE_CHECK(EVP_DecryptUpdate(cipher.get(), bytes_of(plain), &written, bytes_of(body),
                                 static_cast<int>(body.size())) == 1);
  SLUICE_CHECK(
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, static_cast<int>(kTagBytes), tag.data()) == 1);
  // Only here is the text known to be what was sealed, under this key and for this context.
  if (EVP_DecryptFinal_ex(cipher.get(), bytes_of(plain) + plain.size(), &written) != 1) {
    return fail(ErrorCode::kCorrupt, "sealed value: wrong key or context, or changed bytes");
  }
  return Secret(std::move(plain));
}

}  // namespace sluice
