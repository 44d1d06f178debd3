#include "producer/api/authenticator.h"

#include <gtest/gtest.h>

#include <map>

namespace sluice::producer {
namespace {

using std::chrono::milliseconds;

class FakeAccounts final : public AccountStore {
 public:
  Result<Principal> find_key(const Secret& key, Deadline) override {
    ++asked;
    if (down) return fail(ErrorCode::kUnavailable, "down");
    const auto found = keys.find(key.reveal());
    if (found == keys.end()) return fail(ErrorCode::kNotFound, "no such key");
    return found->second;
  }
  Result<Secret> webhook_secret(const TenantId&, Deadline) override { return fail(ErrorCode::kNotFound, ""); }
  Status put_tenant(const TenantId&, std::string_view, const Secret&, Deadline) override { return {}; }
  Status put_key(const TenantId&, std::string_view, const Secret&, unsigned, Deadline) override { return {}; }

  std::map<std::string, Principal> keys;
  bool down = false;
  int asked = 0;
};

class AuthenticatorTest : public ::testing::Test {
 protected:
  AuthenticatorTest() {
    accounts_.keys["both"] = Principal{TenantId{"t1"}, kScopeSubmit | kScopeRead, "bo"};
    accounts_.keys["reader"] = Principal{TenantId{"t2"}, kScopeRead, "re"};
  }
  // The status of the refusal, or 0.
  int check(const std::string& name, const std::string& value, Scope scope = kScopeRead) {
    head_ = {};
    if (!name.empty()) head_.headers.add(name, value);
    const auto refused = authenticator_.require(scope)(head_);
    refusal_ = refused ? *refused : http::Response{};
    return refused ? refused->status : 0;
  }

  FakeAccounts accounts_;
  ManualClock clock_;
  Authenticator authenticator_{accounts_, {}, clock_, {}};
  http::RequestHead head_;
  http::Response refusal_;
};

TEST_F(AuthenticatorTest, TakesBothHeaders) {
  EXPECT_EQ(check("Authorization", "Bearer both"), 0);
  ASSERT_NE(head_.principal_as<Principal>(), nullptr);
  EXPECT_EQ(head_.principal_as<Principal>()->tenant.value, "t1");
  EXPECT_EQ(check("authorization", "bEARER   both"), 0);
  EXPECT_EQ(check("X-API-Key", "reader"), 0);
  EXPECT_EQ(head_.principal_as<Principal>()->tenant.value, "t2");
}

TEST_F(AuthenticatorTest, RefusesWithAChallenge) {
  EXPECT_EQ(check("", ""), 401);
  EXPECT_EQ(refusal_.headers.get("WWW-Authenticate"), "Bearer realm=\"sluice\"");
  EXPECT_NE(refusal_.body.find("missing_api_key"), std::string::npos);
  for (const char* value : {"Basic both", "Bearer", "Bearer ", "both", "Bearerboth"}) {
    EXPECT_EQ(check("Authorization", value), 401) << value;
  }
  EXPECT_EQ(accounts_.asked, 0);
  EXPECT_EQ(check("Authorization", "Bearer wrong"), 401);
  EXPECT_NE(refusal_.body.find("invalid_api_key"), std::string::npos);
  EXPECT_EQ(check("X-API-Key", std::string(100'000, 'x')), 401);
  EXPECT_EQ(accounts_.asked, 1);
}

TEST_F(AuthenticatorTest, ScopesAreKept) {
  EXPECT_EQ(check("X-API-Key", "reader", kScopeSubmit), 403);
  EXPECT_NE(refusal_.body.find("insufficient_scope"), std::string::npos);
  EXPECT_EQ(head_.principal_as<Principal>(), nullptr);
  EXPECT_EQ(check("X-API-Key", "both", kScopeAdmin), 403);
  EXPECT_EQ(check("X-API-Key", "both", kScopeSubmit), 0);
}

TEST_F(AuthenticatorTest, RemembersForAWhile) {
  for (int i = 0; i < 10; ++i) EXPECT_EQ(check("X-API-Key", "both"), 0);
  EXPECT_EQ(accounts_.asked, 1);
  accounts_.keys.erase("both");  // Revoked.
  clock_.advance(milliseconds(4'999));
  EXPECT_EQ(check("X-API-Key", "both"), 0);
  clock_.advance(milliseconds(1));
  EXPECT_EQ(check("X-API-Key", "both"), 401);
}

TEST_F(AuthenticatorTest, RemembersUnknownKeysShorter) {
  for (int i = 0; i < 10; ++i) EXPECT_EQ(check("X-API-Key", "new"), 401);
  EXPECT_EQ(accounts_.asked, 1);
  accounts_.keys["new"] = accounts_.keys["both"];
  clock_.advance(milliseconds(1'000));
  EXPECT_EQ(check("X-API-Key", "new"), 0);
}

TEST_F(AuthenticatorTest, AnOutageRefusesNobodyWhoWasKnown) {
  EXPECT_EQ(check("X-API-Key", "both"), 0);
  accounts_.down = true;
  clock_.advance(milliseconds(30'000));
  EXPECT_EQ(check("X-API-Key", "both"), 0);
  EXPECT_EQ(check("X-API-Key", "reader"), 503);
  EXPECT_TRUE(refusal_.headers.contains("Retry-After"));
  clock_.advance(milliseconds(30'001));
  EXPECT_EQ(check("X-API-Key", "both"), 503);
}

TEST_F(AuthenticatorTest, MadeUpKeysDontFillTheMemory) {
  Authenticator small(accounts_, {.keys_max = 10}, clock_, {});
  const auto ask = [&](const std::string& key) {
    http::RequestHead head;
    head.headers.add("X-API-Key", key);
    return small.require(kScopeRead)(head).has_value();
  };
  EXPECT_FALSE(ask("both"));
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(ask("made-up-" + std::to_string(i)));
  accounts_.down = true;
  EXPECT_FALSE(ask("both"));  // Still remembered.
}

}  // namespace
}  // namespace sluice::producer
