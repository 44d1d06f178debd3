#include "producer/api/webhook_requests.h"

#include <gtest/gtest.h>

#include "producer/api/webhook_delivery_requests.h"

namespace sluice::producer {
namespace {

constexpr const char* kEndpoint = "we_0192c0de-0000-7000-8000-000000000001";
constexpr const char* kDelivery = "dlv_0192c0de-0000-7000-8000-000000000001";
const std::string kSecret = "whsec_" + std::string(32, 'A');  // Base64 of 24 bytes.

http::RequestHead head(std::vector<std::pair<std::string, std::string>> query) {
  http::RequestHead head;
  head.query = std::move(query);
  return head;
}

TEST(EndpointRequest, WhatIsGivenIsRead) {
  const auto all = parse_endpoint(
      R"({"url": "https://a.example/x", "events": ["job.dead", "job.failed", "job.dead"], "description": "d", "secret": ")" +
          kSecret + "\"}",
      true);
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(all->changes.url, "https://a.example/x");
  EXPECT_EQ(all->changes.events, "job.dead,job.failed");
  EXPECT_EQ(all->changes.description, "d");
  EXPECT_EQ(all->secret, kSecret);
  EXPECT_FALSE(all->changes.enabled.has_value());
  const auto none = parse_endpoint(R"({"url": null, "enabled": false, "events": ["*"]})", false);
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_FALSE(none->changes.url.has_value());
  EXPECT_EQ(none->changes.enabled, false);
  EXPECT_EQ(none->changes.events, "*");
  EXPECT_FALSE(none->changes.ordered.has_value());
  // A type that is named besides "all" is more than "all": lines that are told together, too.
  EXPECT_EQ(parse_endpoint(R"({"events": ["*", "job.succeeded", "*"]})", false)->changes.events,
            "*,job.succeeded");
  EXPECT_EQ(parse_endpoint(R"({"ordered": true})", false)->changes.ordered, true);
  EXPECT_TRUE(parse_endpoint("", false));
}

TEST(EndpointRequest, WhatIsWrongNamesItsFieldAndNeverRepeatsASecret) {
  struct Case {
    std::string body;
    bool creating;
    std::string param;
    std::string code;
  };
  const std::string url = R"("url": "https://a.example/")";
  for (const Case& one : std::vector<Case>{
           {"", true, "url", "missing_field"},
           {R"({"url": null})", true, "url", "missing_field"},
           {R"({"url": "ftp://x/"})", true, "url", "invalid_value"},
           {R"({"url": "http://u:p@x/"})", true, "url", "invalid_value"},
           {R"({"url": 1})", true, "url", "invalid_type"},
           {"{" + url + R"(, "events": []})", true, "events", "invalid_type"},
           {"{" + url + R"(, "events": "*"})", true, "events", "invalid_type"},
           {"{" + url + R"(, "events": ["job.dead", "job.exploded"]})", true, "events[1]", "invalid_value"},
           {"{" + url + R"(, "events": [null]})", true, "events[0]", "invalid_type"},
           {"{" + url + R"(, "events": ["job.dead,job.failed"]})", true, "events[0]", "invalid_value"},
           {"{" + url + R"(, "secret": "whsec_c2hvcnQ="})", true, "secret", "invalid_value"},
           {"{" + url + R"(, "secret": "whsec_SENTINEL!"})", true, "secret", "invalid_value"},
           {"{" + url + R"(, "secret": "SENTINELSENTINELSENTINELSENTINEL"})", true, "secret",
            "invalid_value"},
           {"{" + url + R"(, "description": ")" + std::string(501, 'x') + "\"}", true, "description",
            "invalid_value"},
           {"{" + url + R"(, "enabled": true})", true, "enabled", "unknown_field"},
           {R"({"secret": ")" + kSecret + "\"}", false, "secret", "unknown_field"},
           {R"({"enabled": "yes"})", false, "enabled", "invalid_type"},
           {"{" + url + R"(, "ordered": 1})", true, "ordered", "invalid_type"},
           {"[]", true, "", "invalid_type"},
           {"{", true, "", "invalid_json"}}) {
    const auto parsed = parse_endpoint(one.body, one.creating);
    ASSERT_FALSE(parsed.has_value()) << one.body;
    EXPECT_EQ(parsed.error().param, one.param) << one.body;
    EXPECT_EQ(parsed.error().code, one.code) << one.body;
    EXPECT_EQ(parsed.error().message.find("SENTINEL"), std::string::npos);
  }
}

TEST(EndpointRequest, ASecretIsOneToSignWithAsAsked) {
  const std::string url = R"({"url": "https://a.example/")";
  const std::string seed = "whsk_" + std::string(42, 'A') + "A=";  // Base64 of 32 bytes.
  EXPECT_FALSE(parse_endpoint(url + "}", true)->signing.has_value());
  EXPECT_EQ(parse_endpoint(url + R"(, "signing": "hmac"})", true)->signing, WebhookSigning::kHmac);
  const auto pair = parse_endpoint(url + R"(, "signing": "ed25519", "secret": ")" + seed + "\"}", true);
  ASSERT_TRUE(pair) << pair.error().message;
  EXPECT_EQ(pair->signing, WebhookSigning::kEd25519);
  EXPECT_EQ(pair->secret, seed);
  for (const std::string& rest :
       {R"(, "secret": ")" + seed + "\"}", R"(, "signing": "ed25519", "secret": ")" + kSecret + "\"}",
        std::string(R"(, "signing": "ed25519", "secret": "whsk_AAAA"})")}) {
    const auto refused = parse_endpoint(url + rest, true);
    ASSERT_FALSE(refused) << rest;
    EXPECT_EQ(refused.error().param, "secret") << rest;
    EXPECT_EQ(refused.error().errors.count(), 1U) << rest;
  }
  EXPECT_EQ(parse_endpoint(url + R"(, "signing": "rsa"})", true).error().param, "signing");
  EXPECT_EQ(parse_endpoint(R"({"signing": "ed25519"})", false).error().code, "unknown_field");
  const auto rotation = parse_rotation(R"({"secret": ")" + seed + "\"}");
  ASSERT_TRUE(rotation) << rotation.error().message;
  EXPECT_TRUE(check_rotation(*rotation, WebhookSigning::kEd25519));
  EXPECT_EQ(check_rotation(*rotation, WebhookSigning::kHmac).error().param, "secret");
  EXPECT_TRUE(check_rotation(RotationFields{}, WebhookSigning::kHmac));
}

TEST(EndpointRequest, EveryFaultIsListed) {
  const auto parsed = parse_endpoint(R"({"events": [], "colour": 1})", true);
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().errors.count(), 3U);
}

TEST(RotationRequest, OverlapIsUpToAWeek) {
  EXPECT_FALSE(parse_rotation("")->old_expires_s.has_value());
  EXPECT_EQ(parse_rotation(R"({"old_expires_in": 0})")->old_expires_s, 0);
  EXPECT_EQ(parse_rotation(R"({"old_expires_in": 604800})")->old_expires_s, 604'800);
  for (const char* bad :
       {R"({"old_expires_in": 604801})", R"({"old_expires_in": -1})", R"({"old_expires_in": "1"})"}) {
    EXPECT_EQ(parse_rotation(bad).error().param, "old_expires_in") << bad;
  }
  EXPECT_EQ(parse_rotation(R"({"secret": "x"})").error().param, "secret");
  EXPECT_EQ(parse_rotation(R"({"url": "https://x/"})").error().code, "unknown_field");
}

TEST(ReplayRequest, NeedsATime) {
  const auto plain = parse_replay(R"({"since": 1700000000})");
  ASSERT_TRUE(plain) << plain.error().message;
  EXPECT_EQ(plain->since_s, 1'700'000'000);
  EXPECT_TRUE(plain->failed_only);
  EXPECT_FALSE(plain->endpoint_id.has_value());
  const auto all = parse_replay(std::string(R"({"since": 0, "status": "any", "endpoint_id": ")") + kEndpoint +
                                R"(", "after": ")" + kDelivery + "\"}");
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_FALSE(all->failed_only);
  EXPECT_EQ(all->endpoint_id->value, kEndpoint);
  EXPECT_EQ(all->after.value, kDelivery);
  EXPECT_EQ(parse_replay(R"({"since": 0, "endpoint_id": ""})")->endpoint_id->value, "");
  EXPECT_EQ(parse_replay("").error().code, "missing_field");
  EXPECT_EQ(parse_replay(R"({"since": null})").error().code, "missing_field");
  EXPECT_EQ(parse_replay(R"({"since": "yesterday"})").error().errors.count(), 1U);
  EXPECT_EQ(parse_replay(R"({"since": 253402300800})").error().param, "since");
  EXPECT_EQ(parse_replay(R"({"since": 1, "status": "delivered"})").error().param, "status");
  EXPECT_EQ(parse_replay(R"({"since": 1, "endpoint_id": "x"})").error().param, "endpoint_id");
  EXPECT_EQ(parse_replay(R"({"since": 1, "after": "x' OR 1"})").error().param, "after");
}

TEST(DeliveryQuery, FiltersAreChecked) {
  const auto all = read_delivery_query(
      head({{"endpoint_id", kEndpoint}, {"status", "failed"}, {"limit", "100"}, {"after", kDelivery}}));
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(all->endpoint_id->value, kEndpoint);
  EXPECT_EQ(all->state, "failed");
  EXPECT_EQ(all->limit, 100);
  EXPECT_EQ(all->after.value, kDelivery);
  EXPECT_EQ(read_delivery_query(head({}))->limit, kListLimitDefault);
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{{"endpoint_id", "x"},
                                                                                    {"job_id", "x"},
                                                                                    {"event_id", "x"},
                                                                                    {"status", "lost"},
                                                                                    {"after", "x"},
                                                                                    {"limit", "0"},
                                                                                    {"limit", "101"},
                                                                                    {"limit", "1 "},
                                                                                    {"limit", ""},
                                                                                    {"tenant_id", "t"}}) {
    EXPECT_EQ(read_delivery_query(head({{name, value}})).error().param, name) << value;
  }
  EXPECT_EQ(read_delivery_query(head({{"limit", "1"}, {"limit", "2"}})).error().param, "limit");
}

TEST(EndpointQuery, PagesAreChecked) {
  EXPECT_EQ(read_endpoint_query(head({{"after", kEndpoint}, {"limit", "7"}}))->limit, 7);
  for (const char* name : {"after", "limit", "status"}) {
    EXPECT_EQ(read_endpoint_query(head({{name, "x"}})).error().param, name);
  }
}

}  // namespace
}  // namespace sluice::producer
