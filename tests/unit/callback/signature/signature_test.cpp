#include "callback/signature/signature.h"

#include <gtest/gtest.h>

#include "callback/signature/key_cache.h"
#include "common/crypto/crypto.h"

namespace sluice::callback {
namespace {

SigningKey key(const std::string& secret) {
  auto parsed = SigningKey::parse(Secret(secret));
  EXPECT_TRUE(parsed) << parsed.error().message;
  return *parsed;
}

// The example that the libraries of Standard Webhooks are tested with.
TEST(Signature, PublishedExample) {
  EXPECT_EQ(key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
                .sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, R"({"test": 2432232314})"),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

// By the same libraries' example of a key pair; Node's crypto makes the same signature of the same text.
TEST(Signature, PublishedExampleOfAKeyPair) {
  EXPECT_EQ(
      key("whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==")
          .sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, R"({"test": 2432232314})"),
      "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==");
}

// Computed with Python's hmac and hashlib.
TEST(Signature, BodyIsSignedAsBytes) {
  EXPECT_EQ(key("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
                .sign("evt_1", 1700000000, "{\"id\":\"evt_1\",\"text\":\"gr\xc3\xbc\xc3\x9f\x65\"}"),
            "v1,zawAss2BxsP5OyPN1+cbQDYy5alhIN1MHVJyvVmBNmw=");
}

TEST(Signature, EveryPartCounts) {
  const SigningKey one = key("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
  const std::string base = one.sign("evt_1", 1, "body");
  EXPECT_EQ(one.sign("evt_1", 1, "body"), base);
  EXPECT_NE(one.sign("evt_2", 1, "body"), base);
  EXPECT_NE(one.sign("evt_1", 2, "body"), base);
  EXPECT_NE(one.sign("evt_1", 1, "body "), base);
  EXPECT_NE(key("whsec_AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").sign("evt_1", 1, "body"), base);
}

TEST(Signature, TwoKeysTwoSignatures) {
  const SigningKey keys[] = {key("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
                             key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")};
  EXPECT_EQ(signature_header(keys, "evt_1", 1, "b"),
            keys[0].sign("evt_1", 1, "b") + " " + keys[1].sign("evt_1", 1, "b"));
}

TEST(Signature, RefusesOtherSecrets) {
  const auto with_bytes = [](std::size_t bytes) { return "whsec_" + base64_encode(std::string(bytes, 'k')); };
  EXPECT_TRUE(SigningKey::parse(Secret(with_bytes(24))));
  EXPECT_TRUE(SigningKey::parse(Secret(with_bytes(64))));
  for (const std::string& secret :
       {std::string(), std::string("whsec_"), std::string("whsec_***"), with_bytes(15), with_bytes(65),
        base64_encode(std::string(32, 'k')), std::string("WHSEC_AAAA")}) {
    const auto parsed = SigningKey::parse(Secret(secret));
    ASSERT_FALSE(parsed);
    EXPECT_EQ(parsed.error().code, ErrorCode::kInvalid);
    if (secret.size() > 10) {
      EXPECT_EQ(parsed.error().message.find(secret.substr(6)), std::string::npos);
    }
  }
}

class Accounts final : public AccountStore {
 public:
  Result<Principal> find_key(const Secret&, Deadline) override { return fail(ErrorCode::kNotFound, ""); }
  Result<Secret> webhook_secret(const TenantId& tenant, Deadline) override {
    ++asked;
    if (error) return fail(*error);
    return Secret("whsec_" + base64_encode(std::string(32, tenant.value.front())));
  }
  Status put_tenant(const TenantId&, std::string_view, const Secret&, Deadline) override { return {}; }
  Status put_key(const TenantId&, std::string_view, const Secret&, unsigned, Deadline) override { return {}; }

  int asked = 0;
  std::optional<Error> error;
};

class Endpoints final : public EndpointSecrets {
 public:
  Result<std::vector<Secret>> secrets(const WebhookEndpointId&, Deadline) override {
    ++asked;
    std::vector<Secret> all;
    all.emplace_back("whsec_" + base64_encode(std::string(32, 'n')));
    if (changing) all.emplace_back("whsec_" + base64_encode(std::string(32, 'o')));
    return all;
  }
  bool changing = true;
  int asked = 0;
};

class Cache : public testing::Test {
 protected:
  Deadline soon() { return Deadline::in(clock_, std::chrono::seconds(1)); }
  ManualClock clock_;
  Accounts accounts_;
  Endpoints endpoints_;
};

TEST_F(Cache, KeepsKeysForAWhile) {
  KeyCache cache(accounts_, endpoints_, clock_, std::chrono::seconds(10));
  ASSERT_TRUE(cache.keys(TenantId{"a"}, soon()));
  ASSERT_TRUE(cache.keys(TenantId{"a"}, soon()));
  EXPECT_EQ(accounts_.asked, 1);
  const auto of_b = cache.keys(TenantId{"b"}, soon());
  EXPECT_EQ(accounts_.asked, 2);
  EXPECT_NE(of_b->front().sign("e", 1, ""), cache.keys(TenantId{"a"}, soon())->front().sign("e", 1, ""));
  clock_.advance(std::chrono::seconds(10));
  ASSERT_TRUE(cache.keys(TenantId{"a"}, soon()));
  EXPECT_EQ(accounts_.asked, 3);
}

TEST_F(Cache, AnEndpointHasItsOwnKeysAndTwoWhileTheyChange) {
  KeyCache cache(accounts_, endpoints_, clock_, std::chrono::seconds(10));
  const auto both = cache.keys(WebhookEndpointId{"we_1"}, soon());
  ASSERT_TRUE(both);
  ASSERT_EQ(both->size(), 2U);
  const SigningKey fresh = *SigningKey::parse(Secret("whsec_" + base64_encode(std::string(32, 'n'))));
  EXPECT_EQ(both->front().sign("e", 1, "x"), fresh.sign("e", 1, "x"));
  endpoints_.changing = false;
  EXPECT_EQ(cache.keys(WebhookEndpointId{"we_1"}, soon())->size(), 2U);
  clock_.advance(std::chrono::seconds(10));
  EXPECT_EQ(cache.keys(WebhookEndpointId{"we_1"}, soon())->size(), 1U);
  EXPECT_EQ(endpoints_.asked, 2);
  EXPECT_EQ(accounts_.asked, 0);
}

TEST_F(Cache, KeepsNoFailures) {
  KeyCache cache(accounts_, endpoints_, clock_, std::chrono::seconds(10));
  accounts_.error = Error{ErrorCode::kNotFound, "none"};
  EXPECT_EQ(cache.keys(TenantId{"a"}, soon()).error().code, ErrorCode::kNotFound);
  accounts_.error.reset();
  EXPECT_TRUE(cache.keys(TenantId{"a"}, soon()));
}

TEST_F(Cache, IsBounded) {
  KeyCache cache(accounts_, endpoints_, clock_, std::chrono::hours(1), 2);
  for (const char* tenant : {"a", "b", "c", "c", "b"}) ASSERT_TRUE(cache.keys(TenantId{tenant}, soon()));
  EXPECT_EQ(accounts_.asked, 4);  // "c" pushed the others out and stayed itself.
}

}  // namespace
}  // namespace sluice::callback
