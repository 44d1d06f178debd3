#include "callback/guard/webhook_url.h"

#include <gtest/gtest.h>

namespace sluice::callback {
namespace {

TEST(WebhookUrl, EndpointIsSchemeHostAndPort) {
  const std::pair<const char*, const char*> cases[] = {
      {"https://example.com/hook?x=1", "https://example.com:443"},
      {"http://example.com", "http://example.com:80"},
      {"HTTPS://EXAMPLE.com:8443/a", "https://example.com:8443"},
      {"http://[2606:4700::1]:81/", "http://[2606:4700::1]:81"},
      {"http://127.0.0.1:9/x", "http://127.0.0.1:9"},
      {"http://0x7f.1/", "http://127.0.0.1:80"},
      {"http://2130706433/", "http://127.0.0.1:80"},
      {"http://0177.0.0.1:1/", "http://127.0.0.1:1"},
  };
  for (const auto& [url, endpoint] : cases) {
    const auto parsed = parse_webhook_url(url);
    ASSERT_TRUE(parsed) << url;
    EXPECT_EQ(parsed->endpoint(), endpoint);
  }
}

TEST(WebhookUrl, RefusesWhatIsNoHttpUrl) {
  const std::string too_long = "http://a/" + std::string(2048, 'x');
  for (const std::string& url :
       {std::string(), std::string("example.com/hook"), std::string("/hook"),
        std::string("ftp://example.com/"), std::string("file:///etc/passwd"),
        std::string("gopher://example.com/"), std::string("javascript:alert(1)"), std::string("http://"),
        std::string("http://user:pw@example.com/"), std::string("http://user@example.com/"),
        std::string("http://a b/"), std::string("http://a/\r\nX: y"), std::string("http://\xc3\xa4/"),
        std::string("http://a:0/"), std::string("http://a:99999/"), std::string("http://a:b/"), too_long}) {
    const auto parsed = parse_webhook_url(url);
    ASSERT_FALSE(parsed) << url;
    EXPECT_EQ(parsed.error().code, ErrorCode::kInvalid);
    EXPECT_EQ(parsed.error().message.find("pw"), std::string::npos);
  }
}

// What a URL seems to name and what it names are not always the same: the endpoint is what is connected to.
TEST(WebhookUrl, TheHostIsTheOneThatIsConnectedTo) {
  const std::pair<const char*, const char*> cases[] = {
      {"http://10.0.0.1#@good.example/", "http://10.0.0.1:80"},
      {"http://10.0.0.1?@good.example/", "http://10.0.0.1:80"},
      {"http://10.0.0.1/@good.example/", "http://10.0.0.1:80"},
      {"http://%31%30.0.0.1/", "http://10.0.0.1:80"},
      {"http://good.example/@10.0.0.1", "http://good.example:80"},
      {"http://10.0.0.1.good.example/", "http://10.0.0.1.good.example:80"},
      {"http://[::ffff:10.0.0.1]/", "http://[::ffff:10.0.0.1]:80"},
  };
  for (const auto& [url, endpoint] : cases) {
    const auto parsed = parse_webhook_url(url);
    ASSERT_TRUE(parsed) << url << ": " << parsed.error().message;
    EXPECT_EQ(parsed->endpoint(), endpoint) << url;
  }
  for (const char* url :
       {"http://good.example@10.0.0.1/", "http://good.example:80@10.0.0.1/", "http://@10.0.0.1/",
        "http://good.example\\@10.0.0.1/", "http://good.example%40@10.0.0.1/",
        "http://[::1%25lo]@good.example/", "http:10.0.0.1", "http:/10.0.0.1@x/"}) {
    const auto parsed = parse_webhook_url(url);
    EXPECT_FALSE(parsed) << url << " is " << (parsed ? parsed->endpoint() : "");
  }
}

}  // namespace
}  // namespace sluice::callback
