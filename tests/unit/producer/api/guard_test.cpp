#include "producer/guard/guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "producer/guard/local_buckets.h"

namespace sluice::producer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

class Quiet final : public LogSink {
 public:
  void write(std::string_view) override {}
};

class SaidLimits final : public LimitStore {
 public:
  Result<std::vector<RateLimit>> list_limits(Deadline) override {
    if (down) return fail(ErrorCode::kUnavailable, "down");
    return limits;
  }
  Result<RateLimit> set_limit(const RateLimit& limit, const Actor&, Deadline) override { return limit; }
  Status unset_limit(const std::string&, const Actor&, Deadline) override { return {}; }
  std::vector<RateLimit> limits;
  bool down = false;
};

// Buckets that can be away.
class SharedBuckets final : public Buckets {
 public:
  explicit SharedBuckets(Clock& clock) : inner(clock) {}
  Result<Charged> charge(std::span<const Charge> charges, Deadline deadline) override {
    if (down) return fail(ErrorCode::kUnavailable, "down");
    return inner.charge(charges, deadline);
  }
  LocalBuckets inner;
  bool down = false;
};

class GuardTest : public ::testing::Test {
 protected:
  void limit(RateLimit limit) {
    store_.limits.push_back(std::move(limit));
    ASSERT_TRUE(book_.read());
  }
  http::Headers headers(std::optional<http::Response>& refused, const std::string& tenant = "t",
                        const std::string& key = "k", Scope scope = kScopeRead,
                        const std::string& pattern = "/v1/jobs/{id}") {
    http::RequestHead head;
    head.pattern = pattern;
    refused = guard_.check(head, Principal{TenantId{tenant}, scope, "...1234", key}, scope);
    return refused ? refused->headers : head.answer_headers;
  }
  bool passes(const std::string& tenant = "t", const std::string& key = "k", Scope scope = kScopeRead,
              const std::string& pattern = "/v1/jobs/{id}") {
    std::optional<http::Response> refused;
    headers(refused, tenant, key, scope, pattern);
    return !refused;
  }

  ManualClock clock_;
  SaidLimits store_;
  LimitBook book_{
      store_, "north", {}, clock_, Log("test", LogLevel::kError, clock_, std::make_shared<Quiet>())};
  SharedBuckets shared_{clock_};
  LocalBuckets own_{clock_};
  std::optional<double> wait_;
  Guard guard_{book_, shared_, own_, {.tighten_wait = seconds(10)}, [this] { return wait_; }, clock_, {}};
};

TEST_F(GuardTest, WithoutLimitsNothingIsSaid) {
  std::optional<http::Response> refused;
  EXPECT_TRUE(headers(refused).empty());
  EXPECT_FALSE(refused);
}

TEST_F(GuardTest, SaysWhatIsLeftAndWhenToComeBack) {
  limit({.name = "each-key", .quota = 3, .window_s = 30});
  std::optional<http::Response> refused;
  EXPECT_EQ(headers(refused).get("RateLimit-Policy"), "\"each-key\";q=3;w=30");
  EXPECT_EQ(headers(refused).get("RateLimit"), "\"each-key\";r=1;t=20");
  EXPECT_FALSE(headers(refused).contains("Retry-After"));
  const http::Headers last = headers(refused);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 429);
  EXPECT_EQ(last.get("Retry-After"), "10");
  EXPECT_EQ(last.get("RateLimit"), "\"each-key\";r=0;t=30");
  const auto body = nlohmann::json::parse(refused->body);
  EXPECT_EQ(body["error"]["code"], "rate_limit_exceeded");
  EXPECT_EQ(body["error"]["type"], "rate_limit_error");
  EXPECT_TRUE(body["error"].contains("param"));
  EXPECT_EQ(body["violated-policies"], nlohmann::json::array({"each-key"}));
  EXPECT_THAT(body["type"].get<std::string>(), HasSubstr("quota-exceeded"));
  EXPECT_EQ(body["status"], 429);
  clock_.advance(seconds(10));
  EXPECT_TRUE(passes());
  EXPECT_FALSE(passes());
}

TEST_F(GuardTest, NobodyIsToldToStayAwayForAMinute) {
  limit({.name = "day", .quota = 1, .window_s = 86'400});
  EXPECT_TRUE(passes());
  std::optional<http::Response> refused;
  EXPECT_EQ(headers(refused).get("Retry-After"), "59");
}

TEST_F(GuardTest, KeysAndTenantsHaveBucketsOfTheirOwnUnlessTheyShare) {
  limit({.name = "key", .quota = 1, .window_s = 60});
  EXPECT_TRUE(passes("t", "one"));
  EXPECT_TRUE(passes("t", "two"));
  EXPECT_TRUE(passes("u", "one"));
  EXPECT_FALSE(passes("t", "one"));
  limit({.name = "together", .key = "", .quota = 2, .window_s = 60});
  EXPECT_TRUE(passes("t", "three"));
  EXPECT_TRUE(passes("t", "four"));
  EXPECT_FALSE(passes("t", "five"));
  EXPECT_TRUE(passes("u", "five"));
}

TEST_F(GuardTest, WhatNamesMostCounts) {
  limit({.name = "all", .quota = 1, .window_s = 60});
  limit({.name = "big", .tenant = "big", .quota = 3, .window_s = 60});
  limit({.name = "south", .tenant = "big", .region = "south", .quota = 1, .window_s = 60});
  limit({.name = "small-key", .tenant = "big", .key = "small", .quota = 2, .window_s = 60});
  const auto passed = [this](const std::string& tenant, const std::string& key) {
    int count = 0;
    while (count < 10 && passes(tenant, key)) ++count;
    return count;
  };
  EXPECT_EQ(passed("t", "k"), 1);
  EXPECT_EQ(passed("big", "k"), 3);
  EXPECT_EQ(passed("big", "small"), 2);
}

TEST_F(GuardTest, OperatorsGetOutOfALimitThatIsTooSmall) {
  limit({.name = "all", .quota = 1, .window_s = 86'400});
  EXPECT_TRUE(passes("t", "k", kScopeAdmin, "/v1/admin/workers"));
  EXPECT_FALSE(passes("t", "k", kScopeAdmin, "/v1/admin/workers"));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(passes("t", "k", kScopeAdmin, "/v1/admin/limits"));
    EXPECT_TRUE(passes("t", "k", kScopeAdmin, "/v1/admin/limits/unset"));
  }
}

TEST_F(GuardTest, RoutesAreLimitedByFamilyAndByPath) {
  limit({.name = "submit", .route = "submit", .quota = 1, .window_s = 60});
  limit({.name = "models", .route = "/v1/models", .quota = 1, .window_s = 60});
  EXPECT_TRUE(passes("t", "k", kScopeSubmit, "/v1/jobs"));
  EXPECT_FALSE(passes("t", "k", kScopeSubmit, "/v1/files"));
  EXPECT_TRUE(passes("t", "k", kScopeRead, "/v1/models"));
  EXPECT_FALSE(passes("t", "k", kScopeRead, "/v1/models"));
  EXPECT_TRUE(passes("t", "k", kScopeRead, "/v1/jobs"));
}

TEST_F(GuardTest, ARefusalTakesFromNoBucket) {
  limit({.name = "all", .quota = 5, .window_s = 60});
  limit({.name = "models", .route = "/v1/models", .quota = 1, .window_s = 60});
  EXPECT_TRUE(passes("t", "k", kScopeRead, "/v1/models"));
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(passes("t", "k", kScopeRead, "/v1/models"));
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(passes());
  EXPECT_FALSE(passes());
}

TEST_F(GuardTest, TheProcessCountsWhileRedisIsAway) {
  limit({.name = "all", .quota = 2, .window_s = 60});
  shared_.down = true;
  EXPECT_TRUE(passes());
  EXPECT_TRUE(passes());
  EXPECT_FALSE(passes());
  shared_.down = false;
  EXPECT_TRUE(passes());
}

TEST_F(GuardTest, LimitsStayWhileTheDatabaseIsAway) {
  limit({.name = "all", .quota = 1, .window_s = 60});
  store_.down = true;
  EXPECT_FALSE(book_.read());
  EXPECT_TRUE(passes());
  EXPECT_FALSE(passes());
}

TEST_F(GuardTest, TokensHaveLimitsOfTheirOwnAndALargeJobIsPaidAfterwards) {
  limit({.name = "tokens", .unit = LimitUnit::kTokens, .quota = 1000, .window_s = 100});
  http::RequestHead head;
  const Principal who{TenantId{"t"}, kScopeSubmit, "...1234", "k"};
  EXPECT_TRUE(passes());
  EXPECT_FALSE(guard_.check_tokens(head, who, kScopeSubmit, 3000));
  const auto refused = guard_.check_tokens(head, who, kScopeSubmit, 10);
  ASSERT_TRUE(refused);
  EXPECT_THAT(std::string(*refused->headers.get("RateLimit-Policy")),
              HasSubstr("q=1000;qu=\"tokens\";w=100"));
  clock_.advance(seconds(202));
  EXPECT_FALSE(guard_.check_tokens(head, who, kScopeSubmit, 10));
}

TEST_F(GuardTest, LimitsTightenWithThePredictedWait) {
  limit({.name = "all", .quota = 10, .window_s = 60});
  const auto passed = [this](const std::string& tenant, Scope scope) {
    int count = 0;
    while (count < 20 && passes(tenant, "k", scope)) ++count;
    return count;
  };
  wait_ = 10;
  EXPECT_EQ(passed("a", kScopeSubmit), 10);
  wait_ = 20;
  EXPECT_EQ(passed("b", kScopeSubmit), 5);
  wait_ = 1e9;
  EXPECT_EQ(passed("c", kScopeSubmit), 1);
  EXPECT_EQ(passed("c2", kScopeAdmin), 10);
  wait_.reset();
  EXPECT_EQ(passed("d", kScopeSubmit), 10);
}

TEST(LocalBuckets, ForgetsWhatIsFull) {
  ManualClock clock;
  LocalBuckets buckets(clock, 3);
  for (int i = 0; i < 100; ++i) {
    const Charge charge{"b" + std::to_string(i), 10, 1000, 5};
    ASSERT_TRUE(buckets.charge(std::span(&charge, 1), Deadline::in(clock, seconds(1)))->allowed);
    clock.advance(milliseconds(300));
  }
  EXPECT_LE(buckets.size(), 3U);
}

}  // namespace
}  // namespace sluice::producer
