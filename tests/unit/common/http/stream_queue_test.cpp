#include "common/http/stream_queue.h"

#include <gtest/gtest.h>

#include "common/http/responder.h"

namespace sluice::http {
namespace {

TEST(StreamQueue, KeepsWhatFitsAndOneLargerPiece) {
  StreamQueue queue({.queue_bytes_max = 10});
  EXPECT_EQ(queue.write("123456"), Kept::kKept);
  EXPECT_EQ(queue.write("12345"), Kept::kFull);
  EXPECT_EQ(queue.write("1234"), Kept::kKept);
  const StreamQueue::Taken taken = queue.take(100);
  EXPECT_EQ(taken.bytes, "1234561234");
  EXPECT_EQ(queue.write("x"), Kept::kFull);  // Taken is not yet sent.
  queue.sent(10);
  EXPECT_EQ(queue.write(std::string(50, 'x')), Kept::kKept);
  EXPECT_EQ(queue.write("x"), Kept::kFull);
}

TEST(StreamQueue, PiecesAreJoinedUpToWhatIsWanted) {
  StreamQueue queue({});
  for (const char* piece : {"aaa", "bbb", "ccc"}) queue.write(piece);
  StreamQueue::Taken taken = queue.take(7);
  EXPECT_EQ(taken.bytes, "aaabbb");
  EXPECT_FALSE(taken.ended);
  queue.end();
  taken = queue.take(1);
  EXPECT_EQ(taken.bytes, "ccc");
  EXPECT_TRUE(taken.ended);
  EXPECT_EQ(queue.write("late"), Kept::kGone);
}

TEST(StreamQueue, RoomIsToldOnceAndOnlyIfTheRefusedPieceWouldFit) {
  StreamQueue queue({.queue_bytes_max = 10});
  int told = 0;
  queue.on_drained([&] { ++told; });
  EXPECT_EQ(told, 1);
  queue.write("1234567890");
  EXPECT_EQ(queue.write("12345678"), Kept::kFull);
  queue.on_drained([&] { ++told; });
  queue.take(100);
  queue.sent(6);
  EXPECT_EQ(told, 1);  // Half is free, but the piece needs eight.
  queue.sent(4);
  EXPECT_EQ(told, 2);
  queue.write("1234567890");
  queue.sent(0);
  EXPECT_EQ(told, 2);
}

TEST(StreamQueue, AllStreamsTogetherAreBoundedButEachKeepsOnePiece) {
  const auto total = std::make_shared<std::atomic<std::size_t>>(0);
  StreamQueue one({});
  one.attach([] {}, total, 10);
  {
    StreamQueue two({});
    two.write("123");
    two.attach([] {}, total, 10);
    EXPECT_EQ(one.write("1234567"), Kept::kKept);
    EXPECT_EQ(*total, 10u);
    EXPECT_EQ(two.write("4"), Kept::kFull);
    int told = 0;
    two.on_drained([&] { ++told; });
    EXPECT_EQ(told, 0);
    two.take(10);
    two.sent(3);
    EXPECT_EQ(told, 1);
    EXPECT_EQ(two.write(std::string(20, 'x')), Kept::kKept);
  }
  EXPECT_EQ(*total, 7u);
  one.close();
  EXPECT_EQ(*total, 0u);
}

TEST(StreamQueue, TheReaderIsWokenOnlyWhenItFoundNothing) {
  StreamQueue queue({});
  int woken = 0;
  queue.attach([&] { ++woken; }, nullptr, 0);
  queue.write("a");
  EXPECT_EQ(woken, 0);
  EXPECT_EQ(queue.take(10).bytes, "a");
  queue.write("b");
  EXPECT_EQ(woken, 0);  // It comes back by itself.
  EXPECT_EQ(queue.take(10).bytes, "b");
  EXPECT_EQ(queue.take(10).bytes, "");
  queue.write("c");
  queue.write("d");
  EXPECT_EQ(woken, 1);
}

TEST(StreamQueue, AnAnnouncedLengthIsNeitherExceededNorMissed) {
  StreamQueue longer({.content_length = 3});
  EXPECT_EQ(longer.write("ab"), Kept::kKept);
  EXPECT_EQ(longer.write("cd"), Kept::kGone);
  EXPECT_TRUE(longer.take(10).aborted);
  StreamQueue shorter({.content_length = 3});
  shorter.write("ab");
  shorter.end();
  EXPECT_TRUE(shorter.take(10).aborted);
  StreamQueue exact({.content_length = 3});
  exact.write("abc");
  exact.end();
  EXPECT_TRUE(exact.take(10).ended);
}

TEST(StreamQueue, ClosingLetsGoOfEverything) {
  const auto held = std::make_shared<int>(1);
  StreamQueue queue({.queue_bytes_max = 2});
  int told = 0;
  queue.attach([held] {}, nullptr, 0);
  queue.write("12");
  queue.on_drained([&told, held] { ++told; });
  EXPECT_EQ(held.use_count(), 3);
  queue.close();
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_EQ(told, 1);
  EXPECT_EQ(queue.write("3"), Kept::kGone);
  EXPECT_TRUE(queue.gone());
}

// What a test of a handler sees of a stream.
struct Recorder : Responder::Sink {
  void answer(Response response) override { answers.push_back(std::move(response)); }
  std::vector<Response> answers;
};

TEST(ResponseStream, APlainSinkGetsTheWholeAnswerAtItsEnd) {
  const auto sink = std::make_shared<Recorder>();
  const Responder responder(sink);
  const auto stream = responder.stream(Response::text(200, "a"));
  ASSERT_TRUE(stream);
  EXPECT_FALSE(responder.send(Response::text(200, "second")));
  EXPECT_FALSE(responder.stream(Response::text(200, "third")));
  EXPECT_EQ(stream->write("b"), Kept::kKept);
  EXPECT_TRUE(sink->answers.empty());
  stream->end();
  EXPECT_EQ(stream->write("c"), Kept::kGone);
  stream->abort();
  ASSERT_EQ(sink->answers.size(), 1u);
  EXPECT_EQ(sink->answers[0].body, "ab");
  EXPECT_FALSE(sink->answers[0].close);
}

TEST(ResponseStream, DroppedBeforeItsEndItIsAborted) {
  const auto sink = std::make_shared<Recorder>();
  {
    const auto stream = Responder(sink).stream(Response::text(200, "a"));
    const ResponseStream copy = *stream;
    EXPECT_TRUE(sink->answers.empty());
  }
  ASSERT_EQ(sink->answers.size(), 1u);
  EXPECT_TRUE(sink->answers[0].close);
}

TEST(ResponseStream, LeavingIsToldUntilTheEnd) {
  const auto sink = std::make_shared<Recorder>();
  std::optional<Responder> responder(sink);
  const Responder::Canceller canceller = responder->canceller();
  int told = 0;
  const auto stream = responder->stream(Response::text(200, ""));
  responder.reset();
  stream->on_disconnect([&] { ++told; });
  canceller.cancel(false);
  EXPECT_EQ(told, 1);
  EXPECT_TRUE(stream->cancelled());
  EXPECT_FALSE(stream->gone());
  const auto other = Responder(std::make_shared<Recorder>()).stream(Response::text(200, ""));
  const auto held = std::make_shared<int>(1);
  other->on_disconnect([held, other] {});
  EXPECT_EQ(held.use_count(), 2);
  other->end();
  EXPECT_EQ(held.use_count(), 1);
}

TEST(SendFrom, AsksUntilNothingIsLeft) {
  const auto sink = std::make_shared<Recorder>();
  int left = 30;
  Responder(sink).send_from(Response::text(200, ""), [&](std::size_t wanted) -> Result<std::string> {
    return std::string(left-- > 0 ? wanted : 0, 'x');
  });
  ASSERT_EQ(sink->answers.size(), 1u);
  EXPECT_GT(sink->answers[0].body.size(), 30u * 10'000);
  EXPECT_FALSE(sink->answers[0].close);
}

}  // namespace
}  // namespace sluice::http
