#include "common/crypto/webhook_key.h"

#include <gtest/gtest.h>

#include "common/crypto/crypto.h"

namespace sluice {
namespace {

// A seed and its public key: the example that other senders of Standard Webhooks are tested with.
const std::string kPrivate =
    "6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
constexpr const char* kPublic = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

TEST(WebhookKey, APrivateKeyIsItsSeedWithOrWithoutThePublicKey) {
  const auto whole = parse_webhook_secret(Secret("whsk_" + kPrivate));
  ASSERT_TRUE(whole) << whole.error().message;
  EXPECT_EQ(whole->signing, WebhookSigning::kEd25519);
  EXPECT_EQ(webhook_public_key(*whole), kPublic);
  const auto seed =
      parse_webhook_secret(Secret("whsk_" + base64_encode(base64_decode(kPrivate)->substr(0, 32))));
  ASSERT_TRUE(seed) << seed.error().message;
  EXPECT_EQ(webhook_public_key(*seed), kPublic);
}

TEST(WebhookKey, ASharedSecretHasNoPublicKey) {
  const auto key = parse_webhook_secret(Secret("whsec_" + base64_encode(std::string(32, 'k'))));
  ASSERT_TRUE(key) << key.error().message;
  EXPECT_EQ(key->signing, WebhookSigning::kHmac);
  EXPECT_EQ(webhook_public_key(*key), std::nullopt);
}

TEST(WebhookKey, OthersAreRefusedAndNeverRepeated) {
  std::string foreign = *base64_decode(kPrivate);
  foreign.back() = static_cast<char>(foreign.back() ^ 1);  // Another's public key.
  for (const std::string& bad : {std::string("whsk_"), "whsk_" + base64_encode(std::string(31, 's')),
                                 "whsk_" + base64_encode(std::string(33, 's')),
                                 "whsk_" + base64_encode(foreign), std::string("whsk_SENTINEL!"),
                                 std::string(kPublic), "whsec_" + base64_encode(std::string(15, 's'))}) {
    const auto key = parse_webhook_secret(Secret(bad));
    ASSERT_FALSE(key) << bad;
    EXPECT_EQ(key.error().code, ErrorCode::kInvalid);
    if (bad.size() > 12) {
      EXPECT_EQ(key.error().message.find(bad.substr(5)), std::string::npos);
    }
  }
}

TEST(WebhookKey, NewOnesAreReadAndDiffer) {
  SeededRng rng(7);
  for (const WebhookSigning signing : {WebhookSigning::kHmac, WebhookSigning::kEd25519}) {
    const Secret one = make_webhook_secret(signing, rng);
    const Secret other = make_webhook_secret(signing, rng);
    EXPECT_NE(one.reveal(), other.reveal());
    const auto key = parse_webhook_secret(one);
    ASSERT_TRUE(key) << key.error().message;
    EXPECT_EQ(key->signing, signing);
    EXPECT_EQ(webhook_signing_from(webhook_signing_name(signing)), signing);
  }
  EXPECT_EQ(webhook_signing_from("rsa"), std::nullopt);
}

}  // namespace
}  // namespace sluice
