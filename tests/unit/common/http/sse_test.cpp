#include "common/http/sse.h"

#include <gtest/gtest.h>

namespace sluice::http {
namespace {

using namespace std::string_view_literals;

TEST(SseEvent, HoldsWhatIsGivenAndNothingElse) {
  EXPECT_EQ(sse_event({.data = "{}"}), "data: {}\n\n");
  EXPECT_EQ(sse_event({.id = "7", .event = "status", .data = "x"}), "id: 7\nevent: status\ndata: x\n\n");
  EXPECT_EQ(sse_event({}), "data: \n\n");
}

TEST(SseEvent, EachLineOfDataIsALineOfItsOwn) {
  EXPECT_EQ(sse_event({.data = "a\nb\r\nc\rd"}), "data: a\ndata: b\ndata: c\ndata: d\n\n");
  EXPECT_EQ(sse_event({.data = "a\n"}), "data: a\ndata: \n\n");
  EXPECT_EQ(sse_event({.data = "\r\n\n"}), "data: \ndata: \ndata: \n\n");
}

TEST(SseEvent, NoFieldCanBeginAnother) {
  EXPECT_EQ(sse_event({.id = "7\ndata: forged", .event = "a\r\n\r\nb", .data = "x"}),
            "id: 7\nevent: a\ndata: x\n\n");
  EXPECT_EQ(sse_event({.id = "7\0008"sv, .data = "x"}), "id: 7\ndata: x\n\n");
}

}  // namespace
}  // namespace sluice::http
