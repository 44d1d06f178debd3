#include "producer/api/url.h"

#include <gtest/gtest.h>

namespace sluice::producer {
namespace {

TEST(CallbackUrl, UsualOnesAreTaken) {
  for (const char* url : {"http://example.com", "https://example.com/", "HTTPS://EXAMPLE.com/hook",
                          "http://127.0.0.1:8080/x", "http://[::1]:80/", "http://[2001:db8::1]",
                          "https://a-b.example/x?y=z#f", "http://a_b/%C3%A9", "http://localhost:65535"}) {
    EXPECT_TRUE(check_callback_url(url).has_value()) << url;
  }
  EXPECT_TRUE(check_callback_url("http://h/" + std::string(2048 - 9, 'x')).has_value());
}

TEST(CallbackUrl, OthersAreRefused) {
  for (const char* url : {"",
                          "example.com",
                          "/hook",
                          "//example.com/",
                          "ftp://example.com",
                          "file:///etc/passwd",
                          "javascript://x",
                          "http://",
                          "http:///path",
                          "http://user@example.com",
                          "http://user:pw@example.com/",
                          "http://exa mple.com",
                          "http://example.com/a b",
                          "http://example.com/\n",
                          "http://example.com/\x7f",
                          "http://ex\xc3\xa9mple.com/",
                          "http://example.com:0",
                          "http://example.com:65536",
                          "http://example.com:",
                          "http://example.com:80x",
                          "http://[::1",
                          "http://[]",
                          "http://[::1]x",
                          "http://a:b:c",
                          "http://example.com\\@evil.example/",
                          "http://exa<mple",
                          " http://example.com",
                          "http:/example.com",
                          "http://?x",
                          "http://[::1]:99999"}) {
    EXPECT_FALSE(check_callback_url(url).has_value()) << url;
  }
  EXPECT_FALSE(check_callback_url("http://h/" + std::string(2048 - 8, 'x')).has_value());
  EXPECT_FALSE(check_callback_url(std::string("http://h/\0x", 11)).has_value());
}

}  // namespace
}  // namespace sluice::producer
