#include "common/http/response_head.h"

#include <gtest/gtest.h>

namespace sluice::http {
namespace {

WallTime at(std::int64_t seconds) {
  return WallTime(std::chrono::seconds(seconds));
}

TEST(ResponseHead, LooksAsItShould) {
  Response response = Response::json(202, "{}");
  response.headers.add("Location", "/v1/jobs/x");
  std::string out;
  EXPECT_EQ(
      append_response_head(
          response, {.close = true, .request_id = "req_1", .now = at(784111777), .content_length = 2}, out),
      0);
  EXPECT_EQ(out,
            "HTTP/1.1 202 Accepted\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: "
            "2\r\nX-Request-Id: req_1\r\n"
            "Content-Type: application/json\r\nLocation: /v1/jobs/x\r\nConnection: close\r\n\r\n");
}

TEST(ResponseHead, AnswersWithoutABodyHaveNoLength) {
  std::string out;
  append_response_head(Response::empty(200), {.now = at(0), .chunked = true}, out);
  EXPECT_EQ(out,
            "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nTransfer-Encoding: chunked\r\n\r\n");
  out.clear();
  append_response_head(Response::empty(204), {.now = at(0)}, out);
  EXPECT_EQ(out, "HTTP/1.1 204 No Content\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n");
}

TEST(ResponseHead, NoFieldCanAddALine) {
  for (const char* bad : {"a\r\nX: y", "a\nb", "a\rb", "a\x01", "\xc3\xa9", "a\x7f"}) {
    Response response = Response::empty(200);
    response.headers.add("X-Value", bad);
    response.headers.add(bad, "value");
    std::string out;
    EXPECT_EQ(append_response_head(response, {.now = at(0), .content_length = 0}, out), 2) << bad;
    EXPECT_EQ(out, "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n");
  }
}

TEST(ResponseHead, FramingBelongsToTheServer) {
  Response response = Response::empty(200);
  for (const char* name : {"content-length", "Transfer-Encoding", "connection", "DATE", "x-request-id"}) {
    response.headers.add(name, "chunked");
  }
  std::string out;
  EXPECT_EQ(append_response_head(response, {.now = at(0)}, out), 0);
  EXPECT_EQ(out.find("chunked"), std::string::npos);
}

}  // namespace
}  // namespace sluice::http
