// Inputs that have killed or fooled HTTP servers, each answered well by ours: refused with the right status,
// the connection closed, and what follows never run as a request.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "server_fixture.h"

namespace sluice::http {
namespace {

struct Hostile {
  const char* name;
  std::string bytes;
  int status;
  const char* code;
};

std::string with_fields(const std::string& fields) {
  return "GET /hello HTTP/1.1\r\nHost: t\r\n" + fields + "\r\n";
}
std::string post_with(const std::string& fields, const std::string& body = "") {
  return "POST /echo HTTP/1.1\r\nHost: t\r\n" + fields + "\r\n" + body;
}
std::string chunked(const std::string& chunks) {
  return post_with("Transfer-Encoding: chunked\r\n", chunks);
}
std::string target(const std::string& text) {
  return "GET " + text + " HTTP/1.1\r\nHost: t\r\n\r\n";
}

std::vector<Hostile> hostile_inputs() {
  using std::string;
  std::vector<Hostile> all{
      // How long is the body?
      {"chunk size -1", chunked("-1\r\nabc\r\n0\r\n\r\n"), 400, "bad_chunk"},
      {"chunk size +5", chunked("+5\r\nabcde\r\n0\r\n\r\n"), 400, "bad_chunk"},
      {"chunk size 0x5", chunked("0x5\r\nabcde\r\n0\r\n\r\n"), 400, "bad_chunk"},
      {"chunk size of 17 digits", chunked("10000000000000005\r\nabcde\r\n0\r\n\r\n"), 400, "bad_chunk"},
      {"chunk size at the edge of 64 bits", chunked("ffffffffffffffff\r\nabcde\r\n0\r\n\r\n"), 413,
       "body_too_large"},
      {"chunk size with a space", chunked("5 \r\nabcde\r\n0\r\n\r\n"), 400, "bad_chunk"},
      {"empty chunk size", chunked("\r\nabcde\r\n0\r\n\r\n"), 400, "bad_chunk"},
      {"chunk size ended by LF", chunked("5\nabcde\r\n0\r\n\r\n"), 400, "bad_chunk"},
      {"chunk longer than it says", chunked("3\r\nabcde\r\n0\r\n\r\n"), 400, "bad_chunk"},
      {"LF in a chunk extension", chunked("5;a\nb\r\nabcde\r\n0\r\n\r\n"), 400, "bad_chunk"},
      {"endless chunk extension", chunked("5;" + string(10'000, 'a')), 400, "bad_chunk"},
      {"endless zeros as chunk size", chunked(string(10'000, '0')), 400, "bad_chunk"},
      {"folded trailer", chunked("0\r\nA: b\r\n c\r\n\r\n"), 400, "bad_trailer"},
      {"endless trailers", chunked("0\r\n" + string(10'000, 'a')), 400, "bad_trailer"},
      {"chunked body over the limit", chunked("400\r\n" + string(1024, 'a') + "\r\n0\r\n\r\n"), 413,
       "body_too_large"},
      {"TE with CL", post_with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), 400,
       nullptr},
      {"CL with TE", post_with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400,
       nullptr},
      {"two TE", post_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400,
       nullptr},
      {"two TE, one hidden",
       post_with("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400, nullptr},
      {"TE gzip, chunked", post_with("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501,
       "unknown_transfer_encoding"},
      {"TE chunked, chunked", post_with("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), 501,
       nullptr},
      {"TE xchunked", post_with("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 501, nullptr},
      {"TE identity", post_with("Transfer-Encoding: identity\r\n"), 501, nullptr},
      {"empty TE", post_with("Transfer-Encoding: \r\n"), 400, nullptr},
      {"TE in HTTP/1.0", "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, nullptr},
      {"conflicting CL", post_with("Content-Length: 3\r\nContent-Length: 5\r\n", "abc"), 400,
       "bad_content_length"},
      {"repeated CL", post_with("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), 400,
       "bad_content_length"},
      {"CL 5,5", post_with("Content-Length: 5,5\r\n", "abcde"), 400, "bad_content_length"},
      {"CL +5", post_with("Content-Length: +5\r\n", "abcde"), 400, "bad_content_length"},
      {"CL -5", post_with("Content-Length: -5\r\n", "abcde"), 400, "bad_content_length"},
      {"CL 0x5", post_with("Content-Length: 0x5\r\n", "abcde"), 400, "bad_content_length"},
      {"CL 5 5", post_with("Content-Length: 5 5\r\n", "abcde"), 400, "bad_content_length"},
      {"CL 5.0", post_with("Content-Length: 5.0\r\n", "abcde"), 400, "bad_content_length"},
      {"empty CL", post_with("Content-Length:\r\n"), 400, "bad_content_length"},
      {"CL over 64 bits", post_with("Content-Length: 18446744073709551621\r\n", "abcde"), 400,
       "bad_content_length"},
      {"CL at the edge of 64 bits", post_with("Content-Length: 18446744073709551615\r\n"), 413,
       "body_too_large"},
      {"body over the limit", post_with("Content-Length: 1001\r\n"), 413, "body_too_large"},
      {"body for a route without one", "GET /hello HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nabcde",
       413, "body_too_large"},
      // Where does a line end, and what is it called?
      {"control byte in a value", with_fields("X: a\x01z\r\n"), 400, "bad_byte_in_header"},
      {"NUL in a value", with_fields("X: a" + string(1, '\0') + "z\r\n"), 400, "bad_byte_in_header"},
      {"DEL in a value", with_fields("X: a\x7fz\r\n"), 400, "bad_byte_in_header"},
      {"non-ASCII in a value", with_fields("X: \xc3\xa9\r\n"), 400, "bad_byte_in_header"},
      {"non-ASCII in a name", with_fields("X\xc3\xa9: a\r\n"), 400, "bad_header_name"},
      {"control byte in a name", with_fields("X\x02: a\r\n"), 400, "bad_header_name"},
      {"bare LF", "GET /hello HTTP/1.1\nHost: t\n\n", 400, "bad_byte_in_request_line"},
      {"bare LF in a field", with_fields("X: a\nY: b\r\n"), 400, "bad_byte_in_header"},
      {"bare CR in a field", with_fields("X: a\rY: b\r\n"), 400, "bad_line_end"},
      {"bare CR at the end", "GET /hello HTTP/1.1\r\nHost: t\r\n\rX", 400, "bad_line_end"},
      {"folded field", with_fields("X: a\r\n b\r\n"), 400, "folded_header"},
      {"folded field with a tab", with_fields("X: a\r\n\tb\r\n"), 400, "folded_header"},
      {"first field indented", "GET /hello HTTP/1.1\r\n Host: t\r\n\r\n", 400, "folded_header"},
      {"space before the colon", with_fields("Content-Length : 5\r\n"), 400, "bad_header_name"},
      {"tab before the colon", with_fields("Transfer-Encoding\t: chunked\r\n"), 400, "bad_header_name"},
      {"field without a name", with_fields(": x\r\n"), 400, "bad_header_name"},
      {"field without a colon", with_fields("nonsense\r\n"), 400, "bad_header_name"},
      // Who is asked for what?
      {"no Host", "GET /hello HTTP/1.1\r\n\r\n", 400, "bad_host"},
      {"two Hosts", with_fields("Host: u\r\n"), 400, "bad_host"},
      {"empty Host", "GET /hello HTTP/1.1\r\nHost:\r\n\r\n", 400, "bad_host"},
      {"Host with a path", "GET /hello HTTP/1.1\r\nHost: t/x\r\n\r\n", 400, "bad_host"},
      {"Host with a user", "GET /hello HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, "bad_host"},
      {"encoded NUL in the path", target("/items/a%00b"), 400, "bad_target"},
      {"broken escape in the path", target("/items/%zz"), 400, "bad_target"},
      {"cut escape in the path", target("/items/%4"), 400, "bad_target"},
      {"encoded NUL in the query", target("/hello?a=%00"), 400, "bad_target"},
      {"broken escape in the query", target("/hello?a=%"), 400, "bad_target"},
      {"fragment in the target", target("/hello#x"), 400, "bad_target"},
      {"target without a slash", target("hello"), 400, "bad_target"},
      {"target of another scheme", target("file:///etc/passwd"), 400, "bad_target"},
      {"absolute target with a user", target("http://a@b/hello"), 400, "bad_target"},
      {"star for GET", target("*"), 400, "bad_target"},
      {"non-ASCII in the target", target("/\xc3\xa9"), 400, "bad_byte_in_request_line"},
      {"NUL in the target", target("/a" + string(1, '\0')), 400, "bad_byte_in_request_line"},
      {"tab in the request line", "GET\t/hello\tHTTP/1.1\r\nHost: t\r\n\r\n", 400, nullptr},
      {"two spaces in the request line", "GET  /hello HTTP/1.1\r\nHost: t\r\n\r\n", 400, nullptr},
      {"space at the end of the request line", "GET /hello HTTP/1.1 \r\nHost: t\r\n\r\n", 400, nullptr},
      {"space before the request line", " GET /hello HTTP/1.1\r\nHost: t\r\n\r\n", 400, nullptr},
      {"empty target", "GET  HTTP/1.1\r\nHost: t\r\n\r\n", 400, nullptr},
      {"HTTP/0.9", "GET /hello\r\n", 400, "bad_request_line"},
      {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, nullptr},
      {"HTTP/1.2", "GET /hello HTTP/1.2\r\nHost: t\r\n\r\n", 505, nullptr},
      {"a protocol of the client's own", "GET /hello FTP/1.1\r\nHost: t\r\n\r\n", 505, nullptr},
      {"TLS", string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11), 400, nullptr},
      {"unknown method", "BREW /hello HTTP/1.1\r\nHost: t\r\n\r\n", 501, "unknown_method"},
      {"lower-case method", "get /hello HTTP/1.1\r\nHost: t\r\n\r\n", 501, "unknown_method"},
      {"CONNECT", "CONNECT t:80 HTTP/1.1\r\nHost: t\r\n\r\n", 501, "unknown_method"},
      {"endless method", string(100, 'A'), 501, "unknown_method"},
      {"unknown expectation", post_with("Content-Length: 5\r\nExpect: tea\r\n"), 417, nullptr},
      // How much of it?
      {"endless header", "GET /hello HTTP/1.1\r\nHost: t\r\nX: " + string(20'000, 'a'), 431,
       "header_too_large"},
      {"endless target", "GET /" + string(20'000, 'a'), 414, "target_too_long"},
  };
  std::string many = "GET /hello HTTP/1.1\r\nHost: t\r\n";
  for (int i = 0; i < 200; ++i) many += "X" + std::to_string(i) + ": a\r\n";
  all.push_back({"200 fields", many + "\r\n", 431, "too_many_headers"});
  return all;
}

class HostileInput : public ServerFixture {
 protected:
  void SetUp() override { start(); }
};

TEST_F(HostileInput, EachIsRefusedAndNothingAfterItRuns) {
  for (const Hostile& hostile : hostile_inputs()) {
    SCOPED_TRACE(hostile.name);
    handled_ = 0;
    RawClient client = connect();
    // A refused request is followed by one that would be answered, were the connection still believed.
    client.send(hostile.bytes + std::string(kHello) + std::string(kHello));
    const auto response = client.receive();
    if (!response) {
      ADD_FAILURE() << "no answer";
      continue;
    }
    EXPECT_EQ(response->status, hostile.status) << response->body;
    EXPECT_EQ(response->headers.at("connection"), "close");
    const nlohmann::json body = nlohmann::json::parse(response->body, nullptr, false);
    ASSERT_TRUE(body.is_object());
    if (hostile.code != nullptr) {
      EXPECT_EQ(body["error"]["code"], hostile.code);
    }
    client.shut_down_sending();
    std::string rest;
    EXPECT_TRUE(client.wait_closed(&rest));
    EXPECT_EQ(rest, "");
    EXPECT_EQ(handled_, 0);
  }
  EXPECT_EQ(ask(std::string(kHello)).body, "hello");
}

TEST_F(HostileInput, IsRefusedAlsoWhenItComesByteByByte) {
  for (const Hostile& hostile : hostile_inputs()) {
    if (hostile.bytes.size() > 500) continue;
    SCOPED_TRACE(hostile.name);
    handled_ = 0;
    RawClient client = connect();
    for (const char c : hostile.bytes) {
      if (!client.send({&c, 1})) break;
    }
    const auto response = client.receive();
    if (!response) {
      ADD_FAILURE() << "no answer";
      continue;
    }
    EXPECT_EQ(response->status, hostile.status);
    client.shut_down_sending();
    EXPECT_TRUE(client.wait_closed());
    EXPECT_EQ(handled_, 0);
  }
}

// A body that looks like a request is a body; a request refused with its body unread takes the body with it.
TEST_F(HostileInput, ARequestInsideABodyNeverRuns) {
  const std::string inner = "GET /items/smuggled HTTP/1.1\r\nHost: t\r\n\r\n";
  const std::string length = "Content-Length: " + std::to_string(inner.size()) + "\r\n";
  {
    RawClient client = connect();
    client.send("POST /echo HTTP/1.1\r\nHost: t\r\n" + length + "\r\n" + inner + std::string(kHello));
    const auto echoed = client.receive();
    ASSERT_TRUE(echoed);
    EXPECT_EQ(echoed->body, inner);
    const auto hello = client.receive();
    ASSERT_TRUE(hello);
    EXPECT_EQ(hello->body, "hello");
    EXPECT_EQ(handled_, 2);
  }
  for (const char* line : {"POST /private HTTP/1.1", "POST /absent HTTP/1.1", "DELETE /hello HTTP/1.1",
                           "GET /hello HTTP/1.1", "OPTIONS /hello HTTP/1.1"}) {
    SCOPED_TRACE(line);
    handled_ = 0;
    RawClient client = connect();
    client.send(std::string(line) + "\r\nHost: t\r\n" + length + "\r\n" + inner);
    const auto refused = client.receive();
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->headers.at("connection"), "close");
    client.shut_down_sending();
    std::string rest;
    EXPECT_TRUE(client.wait_closed(&rest));
    EXPECT_EQ(rest, "");
    EXPECT_EQ(handled_, 0);
  }
}

// Seeded random damage to good requests. Whatever comes, the server answers HTTP or closes, and it lives.
TEST_F(HostileInput, DamagedRequestsNeverBreakTheServer) {
  const std::vector<std::string> good{
      std::string(kHello), post_with("Content-Length: 5\r\n", "abcde"), chunked("5\r\nabcde\r\n0\r\n\r\n"),
      "GET http://t/items/a?b=%20c HTTP/1.1\r\nHost: t\r\nConnection: keep-alive\r\n\r\n",
      post_with("Content-Length: 3\r\nExpect: 100-continue\r\nX-Key: open\r\n", "abc")};
  const std::string bytes = std::string("\0\r\n\t :;,-+%/", 12) + "\x7f\x80\xff" + "0159afXx";
  constexpr unsigned kSeed = 20240229;
  std::mt19937 random(kSeed);
  for (int round = 0; round < 400; ++round) {
    std::string text = good[random() % good.size()];
    for (unsigned i = 0; i <= random() % 4; ++i) {
      const std::size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = bytes[random() % bytes.size()];
          break;
        case 1:
          text.insert(at, 1, bytes[random() % bytes.size()]);
          break;
        case 2:
          text.erase(at, 1 + random() % 3);
          break;
        default:
          text.insert(at, text.substr(random() % text.size(), random() % 20));
      }
      if (text.empty()) text = "x";
    }
    RawClient client = connect();
    client.send(text);
    client.shut_down_sending();
    std::string all;
    ASSERT_TRUE(client.wait_closed(&all)) << "seed " << kSeed << ", round " << round;
    ASSERT_TRUE(all.empty() || all.starts_with("HTTP/1.1 ")) << "seed " << kSeed << ", round " << round;
  }
  EXPECT_EQ(ask(std::string(kHello)).body, "hello");
}

}  // namespace
}  // namespace sluice::http
