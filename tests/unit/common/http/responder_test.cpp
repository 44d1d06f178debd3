#include "common/http/responder.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace sluice::http {
namespace {

struct Recorder : Responder::Sink {
  void answer(Response response) override { answers.push_back(std::move(response)); }
  std::vector<Response> answers;
};

TEST(Responder, TheFirstAnswerWins) {
  const auto sink = std::make_shared<Recorder>();
  {
    const Responder responder(sink);
    const Responder copy = responder;
    EXPECT_TRUE(copy.send(Response::text(200, "one")));
    EXPECT_FALSE(responder.send(Response::text(200, "two")));
    EXPECT_TRUE(responder.answered());
  }
  ASSERT_EQ(sink->answers.size(), 1u);
  EXPECT_EQ(sink->answers[0].body, "one");
}

TEST(Responder, DroppedWithoutAnAnswerIsA500) {
  const auto sink = std::make_shared<Recorder>();
  {
    const Responder responder(sink);
    const Responder copy = responder;
  }
  ASSERT_EQ(sink->answers.size(), 1u);
  EXPECT_EQ(sink->answers[0].status, 500);
}

TEST(Responder, LeavingIsToldOnceAndOnlyBeforeTheAnswer) {
  const Responder responder(std::make_shared<Recorder>());
  int told = 0;
  responder.on_disconnect([&] { ++told; });
  responder.canceller().cancel(false);
  responder.canceller().cancel(false);
  EXPECT_EQ(told, 1);
  EXPECT_TRUE(responder.cancelled());
  responder.on_disconnect([&] { ++told; });  // At once: it has happened.
  EXPECT_EQ(told, 2);
  EXPECT_TRUE(responder.send(Response::empty(204)));

  const Responder answered(std::make_shared<Recorder>());
  answered.on_disconnect([&] { ++told; });
  answered.send(Response::empty(204));
  answered.canceller().cancel(false);
  EXPECT_FALSE(answered.cancelled());
  EXPECT_EQ(told, 2);
}

TEST(Responder, WhoEndsOnlyItsSideIsNotGone) {
  const Responder responder(std::make_shared<Recorder>());
  responder.canceller().cancel(false);
  EXPECT_TRUE(responder.cancelled());
  EXPECT_FALSE(responder.gone());
  responder.canceller().cancel(true);
  EXPECT_TRUE(responder.gone());
  EXPECT_TRUE(responder.send(Response::empty(204)));
}

TEST(Responder, ACancellerKeepsNothingAlive) {
  const auto sink = std::make_shared<Recorder>();
  Responder::Canceller canceller;
  {
    const Responder responder(sink);
    canceller = responder.canceller();
  }
  EXPECT_EQ(sink->answers.size(), 1u);
  canceller.cancel(true);
  Responder::Canceller().cancel(true);
}

TEST(Responder, ACallbackThatHoldsTheResponderIsLetGoByTheAnswer) {
  const auto sink = std::make_shared<Recorder>();
  const std::weak_ptr<Recorder> watched = sink;
  {
    const Responder responder(sink);
    responder.on_disconnect([responder] {});
    responder.send(Response::empty(204));
  }
  EXPECT_EQ(watched.use_count(), 1);
}

// A client that reads when the test does.
struct SlowClient : Responder::Sink {
  void answer(Response) override {}
  void stream(Response, std::shared_ptr<StreamQueue> pieces) override { queue = std::move(pieces); }
  std::shared_ptr<StreamQueue> queue;
};

TEST(Responder, ALargeLastPieceWaitsForTheClientAndEndsTheStream) {
  const auto client = std::make_shared<SlowClient>();
  constexpr std::size_t kSize = 100;
  {
    const auto stream = Responder(client).stream(Response::text(200, "first"), {.queue_bytes_max = 10});
    ASSERT_TRUE(stream);
    end_with(*stream, std::string(kSize, 'x'));
  }
  StreamQueue::Taken taken = client->queue->take(1'000);
  EXPECT_EQ(taken.bytes, "first");
  EXPECT_FALSE(taken.ended);
  EXPECT_FALSE(taken.aborted);
  client->queue->sent(taken.bytes.size());
  taken = client->queue->take(1'000);
  EXPECT_EQ(taken.bytes, std::string(kSize, 'x'));
  EXPECT_TRUE(taken.ended);
  client->queue->sent(taken.bytes.size());
  EXPECT_EQ(client->queue.use_count(), 1);
}

TEST(Responder, ALastPieceThatNobodyReadsIsLetGo) {
  const auto client = std::make_shared<SlowClient>();
  end_with(*Responder(client).stream(Response::text(200, "first"), {.queue_bytes_max = 10}),
           std::string(100, 'x'));
  client->queue->close();
  EXPECT_EQ(client->queue.use_count(), 1);
}

TEST(Responder, ManyThreadsGiveOneAnswer) {
  for (int round = 0; round < 50; ++round) {
    const auto sink = std::make_shared<Recorder>();
    const Responder responder(sink);
    std::atomic<int> sent{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, responder] {
        responder.canceller().cancel(false);
        if (responder.send(Response::empty(204))) ++sent;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(sent, 1);
    EXPECT_EQ(sink->answers.size(), 1u);
  }
}

}  // namespace
}  // namespace sluice::http
