// Answers that stay open while their job runs, and clients that leave or don't read meanwhile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <utility>

#include "producer/openai/answer_streams.h"
#include "producer/openai/completion_waits.h"
#include "tests/support/fake_job_store.h"

namespace sluice::producer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Quiet final : public LogSink {
 public:
  void write(std::string_view) override {}
};

class NoHotJobs final : public HotJobs {
 public:
  std::vector<std::optional<Job>> find(std::span<const JobId> ids, Deadline) override {
    return std::vector<std::optional<Job>>(ids.size());
  }
  Status outdate(std::span<const LetterRef>, Deadline) override { return {}; }
};

class FewStreams final : public LiveStreams {
 public:
  Result<std::vector<News>> read(std::span<const Place> places, Deadline) override {
    if (places.empty() || said.empty()) return std::vector<News>();
    LiveText entry;
    entry.text = std::exchange(said, {});
    return std::vector<News>{{0, "1", {entry}}};
  }
  Status ask_for(std::span<const JobId>, Deadline) override { return {}; }
  std::string said;  // By the first job that is read next.
};

class NoGlances final : public LiveStore {
 public:
  Result<std::vector<JobGlance>> glance(std::span<const JobId>, Deadline) override {
    return std::vector<JobGlance>();
  }
  Result<std::vector<WaitingJob>> queue_front(const std::string&, Priority, int, Deadline) override {
    return std::vector<WaitingJob>();
  }
  Result<FleetRate> fleet_rate(const std::string&, Deadline) override { return FleetRate{}; }
};

// A client that reads when the test does.
struct SlowClient final : http::Responder::Sink {
  void answer(http::Response response) override { answers.push_back(std::move(response)); }
  void stream(http::Response begun, std::shared_ptr<http::StreamQueue> pieces) override {
    head = std::move(begun);
    queue = std::move(pieces);
    queue->attach([] {}, nullptr, 0);
    if (at_head) at_head();
  }
  // What waits now.
  http::StreamQueue::Taken read() {
    http::StreamQueue::Taken taken = queue->take(1 << 20);
    queue->sent(taken.bytes.size());
    return taken;
  }
  std::vector<http::Response> answers;
  http::Response head;  // Of the last stream.
  std::shared_ptr<http::StreamQueue> queue;
  std::function<void()> at_head;
};

class LongEvents final : public AnswerEvents {
 public:
  explicit LongEvents(std::size_t size) : end_(size, 'x') {}
  std::string begin(const Job&) override { return "begin"; }
  std::string text(const TextPiece&) override { return {}; }
  std::string end(const Job&) override { return end_; }
  std::string broken(const JobError&) override { return "broken"; }

 private:
  const std::string end_;
};

// What happened, in words.
class PlainEvents final : public AnswerEvents {
 public:
  std::string begin(const Job&) override { return "begin,"; }
  std::string text(const TextPiece& piece) override { return std::string(piece.text) + ","; }
  std::string end(const Job&) override { return "end"; }
  std::string broken(const JobError& error) override { return error.code; }
};

class OpenAnswersTest : public ::testing::Test {
 protected:
  Job accept() {
    std::vector<Submission> submissions(1);
    NewJob& fresh = submissions[0].jobs.emplace_back();
    fresh.job.id = ids_.make<JobId>(0);
    fresh.job.tenant = kTenant;
    fresh.job.model = "m";
    fresh.request_json = "{}";
    EXPECT_TRUE(store_.submit(submissions, soon())[0].has_value());
    return submissions[0].jobs[0].job;
  }
  void cancel(const Job& job) {
    EXPECT_TRUE(store_.cancel(kTenant, job.id, soon()).has_value());
    waiters_.notify(job.id);
  }
  void succeed(const Job& job, std::string text) {
    EXPECT_EQ(store_.claim({{TaskRef{job.id, 1, 0}}}, "w", soon())->size(), 1U);
    JobResult result;
    result.text = std::move(text);
    result.finish_reason = "stop";
    const std::vector<Ending> endings{{TaskRef{job.id, 1, 1}, "w", Succeeded{result}}};
    EXPECT_EQ(store_.finish(endings, soon())->front().outcome, EndingOutcome::kEnded);
    waiters_.notify(job.id);
  }
  std::unique_ptr<CompletionWaits> waits(milliseconds early_headers) {
    CompletionWaitConfig config;
    config.early_headers = early_headers;
    return std::make_unique<CompletionWaits>(waiters_, config, clock_, ApiMetrics{});
  }
  void erase(const Job& job) {
    EXPECT_TRUE(store_.erase(kTenant, job.id, soon()).has_value());
    waiters_.notify(job.id);
  }
  CompletionWaits::Asked response() {
    return {Surface::kResponse, kTenant, std::make_shared<JobRequest>(), "", {}};
  }
  // All that a stream tells from now on.
  std::string told() {
    waiters_.run_once();
    feed_.read_once();
    std::string all;
    for (;;) {
      const auto taken = client_->read();
      all += taken.bytes;
      if (taken.bytes.empty() || taken.ended) return all;
    }
  }
  Deadline soon() { return Deadline::in(clock_, seconds(5)); }

  const TenantId kTenant{"t"};
  ManualClock clock_;
  SeededRng rng_{7};
  IdMaker ids_{clock_, rng_};
  Log log_{"test", LogLevel::kError, clock_, std::make_shared<Quiet>()};
  testing::FakeJobStore store_{clock_, ids_};
  NoHotJobs hot_;
  JobReader reader_{store_, hot_, clock_, {}};
  Waiters waiters_{reader_, {}, clock_, log_, {}};
  NoGlances glances_;
  FewStreams streams_;
  TokenFeed feed_{waiters_, glances_, streams_, {}, clock_, log_, {}};
  AnswerStreams answers_{feed_, ApiMetrics{}};
  const std::shared_ptr<SlowClient> client_ = std::make_shared<SlowClient>();
};

TEST_F(OpenAnswersTest, AClientMayLeaveWhileItsHeaderGoesOut) {
  const auto open = waits(seconds(10));
  const http::Responder responder(client_);
  ASSERT_TRUE(open->add({Surface::kChat, kTenant}, accept().id, responder));
  client_->at_head = [&] { responder.canceller().cancel(true); };
  clock_.advance(seconds(10));
  waiters_.run_once();
  ASSERT_TRUE(client_->queue);
  EXPECT_TRUE(client_->read().aborted);
  EXPECT_EQ(waiters_.size(), 0U);
  waiters_.stop();
}

TEST_F(OpenAnswersTest, AClientMayEndItsSideAndThenLeaveBeforeItsHeader) {
  const auto open = waits(seconds(10));
  const http::Responder responder(client_);
  ASSERT_TRUE(open->add({Surface::kChat, kTenant}, accept().id, responder));
  responder.canceller().cancel(false);
  EXPECT_EQ(waiters_.size(), 2U);  // It may still read.
  responder.canceller().cancel(true);
  clock_.advance(seconds(10));
  waiters_.run_once();
  EXPECT_EQ(waiters_.size(), 0U);
  waiters_.stop();
}

TEST_F(OpenAnswersTest, AJobThatIsNotThereYetIsNotReadWithoutAPause) {
  const auto open = waits(milliseconds(0));
  const http::Responder responder(client_);
  ASSERT_TRUE(open->add({Surface::kChat, kTenant}, ids_.make<JobId>(0), responder));
  EXPECT_GE(waiters_.run_once(), milliseconds(10));
  EXPECT_EQ(waiters_.size(), 2U);
  waiters_.stop();
}

TEST_F(OpenAnswersTest, ALargeAnswerBehindAnEarlyHeaderWaitsForTheClient) {
  const auto open = waits(seconds(10));
  const Job job = accept();
  ASSERT_TRUE(open->add({Surface::kChat, kTenant}, job.id, http::Responder(client_)));
  clock_.advance(seconds(10));
  waiters_.run_once();
  ASSERT_TRUE(client_->queue);
  const std::string text(3 << 20, 'x');
  succeed(job, text);
  waiters_.run_once();
  auto taken = client_->read();
  EXPECT_EQ(taken.bytes, " ");
  EXPECT_FALSE(taken.aborted);
  taken = client_->read();
  EXPECT_TRUE(taken.bytes.find(text) != std::string::npos);
  EXPECT_TRUE(taken.ended);
  waiters_.stop();
}

TEST_F(OpenAnswersTest, AnEndThatFindsNoRoomWaitsForTheClient) {
  const Job job = accept();
  constexpr std::size_t kSize = 3 << 20;
  answers_.open(job, std::make_unique<LongEvents>(kSize), http::Responder(client_), {});
  cancel(job);
  feed_.read_once();
  waiters_.run_once();
  feed_.read_once();
  EXPECT_EQ(feed_.size(), 0U);
  auto taken = client_->read();
  EXPECT_EQ(taken.bytes, "begin");
  EXPECT_FALSE(taken.aborted);
  EXPECT_FALSE(taken.ended);
  taken = client_->read();
  EXPECT_EQ(taken.bytes.size(), kSize);
  EXPECT_TRUE(taken.ended);
  waiters_.stop();
  feed_.stop();
}

TEST_F(OpenAnswersTest, AClientThatLeavesBeforeTheEndHadRoomIsLetGo) {
  const Job job = accept();
  answers_.open(job, std::make_unique<LongEvents>(3 << 20), http::Responder(client_), {});
  cancel(job);
  feed_.read_once();
  waiters_.run_once();
  feed_.read_once();
  waiters_.stop();
  feed_.stop();
  client_->queue->close();
  EXPECT_EQ(client_->queue.use_count(), 1);
}

// Either way of leaving counts: a client that closes its connection is at first seen to have ended its side.
TEST_F(OpenAnswersTest, WhoLeavesWhileItWaitsIsToldOfOnce) {
  const auto open = waits(seconds(10));
  for (const bool gone : {false, true}) {
    int left = 0;
    const http::Responder responder(client_);
    const Job job = accept();
    ASSERT_TRUE(open->add({Surface::kChat, kTenant, nullptr, "", [&left] { ++left; }}, job.id, responder));
    EXPECT_EQ(left, 0);
    responder.canceller().cancel(gone);
    responder.canceller().cancel(true);
    EXPECT_EQ(left, 1);
  }
  waiters_.stop();
}

TEST_F(OpenAnswersTest, WhoEndedItsSideStillReadsHowItsJobEnded) {
  const auto open = waits(seconds(10));
  const http::Responder responder(client_);
  const Job job = accept();
  ASSERT_TRUE(
      open->add({Surface::kChat, kTenant, nullptr, "new; turn=1", [&] { cancel(job); }}, job.id, responder));
  responder.canceller().cancel(false);
  waiters_.run_once();
  ASSERT_EQ(client_->answers.size(), 1U);
  EXPECT_EQ(client_->answers[0].status, 499);
  EXPECT_EQ(client_->answers[0].headers.get("X-Sluice-Session"), "new; turn=1");
  waiters_.stop();
}

TEST_F(OpenAnswersTest, WhoWasAnsweredLeavesNothing) {
  const auto open = waits(seconds(10));
  const http::Responder responder(client_);
  const Job job = accept();
  int left = 0;
  ASSERT_TRUE(open->add({Surface::kChat, kTenant, nullptr, "", [&left] { ++left; }}, job.id, responder));
  succeed(job, "x");
  waiters_.run_once();
  ASSERT_EQ(client_->answers.size(), 1U);
  responder.canceller().cancel(true);
  waiters_.stop();
  EXPECT_EQ(left, 0);
}

// The wake-up for the end may find what a DELETE has left of it.
TEST_F(OpenAnswersTest, AResponseThatWasDeletedBeforeItWasReadIsNotFound) {
  const auto open = waits(seconds(10));
  const Job job = accept();
  ASSERT_TRUE(open->add(response(), job.id, http::Responder(client_)));
  succeed(job, "secret");
  erase(job);
  waiters_.run_once();
  ASSERT_EQ(client_->answers.size(), 1U);
  EXPECT_EQ(client_->answers[0].status, 404);
  EXPECT_NE(client_->answers[0].body.find("response_not_found"), std::string::npos);

  // One that has nothing to say is another thing.
  const Job silent = accept();
  ASSERT_TRUE(open->add(response(), silent.id, http::Responder(client_)));
  succeed(silent, "");
  waiters_.run_once();
  ASSERT_EQ(client_->answers.size(), 2U);
  EXPECT_EQ(client_->answers[1].status, 200);
  waiters_.stop();
}

TEST_F(OpenAnswersTest, ADeletionThatCancelsItsJobIsToldAsThat) {
  const auto open = waits(seconds(10));
  const Job waited = accept();
  ASSERT_TRUE(open->add(response(), waited.id, http::Responder(client_)));
  erase(waited);
  waiters_.run_once();
  ASSERT_EQ(client_->answers.size(), 1U);
  EXPECT_EQ(client_->answers[0].status, 499);

  const Job streamed = accept();
  answers_.open(streamed, std::make_unique<PlainEvents>(), http::Responder(client_), {});
  feed_.read_once();
  erase(streamed);
  EXPECT_EQ(told(), "begin,end");
  waiters_.stop();
  feed_.stop();
}

// What a stale answer was is known only as it is accepted, not from its row.
TEST_F(OpenAnswersTest, WhatIsSaidOfAnAnswersOriginIsSaidOnce) {
  const auto open = waits(seconds(10));
  const Job job = accept();
  const auto wait = open->add({Surface::kChat, kTenant}, job.id, http::Responder(client_));
  ASSERT_TRUE(wait);
  succeed(job, "x");
  open->answer(wait, *store_.get(kTenant, job.id, soon()), "stale");
  ASSERT_EQ(client_->answers.size(), 1U);
  EXPECT_EQ(client_->answers[0].headers.get("X-Cache"), "stale");

  for (const std::string_view said : {"stale", ""}) {
    AnswerStreams::Options options;
    options.cache = said;
    answers_.open(job, std::make_unique<PlainEvents>(), http::Responder(client_), std::move(options));
    EXPECT_EQ(client_->head.headers.get("X-Cache"), said.empty() ? "miss" : said);
  }
  waiters_.stop();
  feed_.stop();
}

TEST_F(OpenAnswersTest, ADeletedResponseBehindAnEarlyHeaderIsBrokenOff) {
  const auto open = waits(seconds(10));
  const Job job = accept();
  ASSERT_TRUE(open->add(response(), job.id, http::Responder(client_)));
  clock_.advance(seconds(10));
  waiters_.run_once();
  ASSERT_TRUE(client_->queue);
  succeed(job, "secret");
  erase(job);
  waiters_.run_once();
  EXPECT_TRUE(client_->read().aborted);
  waiters_.stop();
}

TEST_F(OpenAnswersTest, AStreamOfADeletedResponseEndsWithThat) {
  for (const bool deleted : {true, false}) {
    const Job job = accept();
    answers_.open(job, std::make_unique<PlainEvents>(), http::Responder(client_), {});
    feed_.read_once();
    succeed(job, deleted ? "secret" : "");
    if (deleted) erase(job);
    EXPECT_EQ(told(), deleted ? "begin,response_not_found" : "begin,end");
    EXPECT_EQ(feed_.size(), 0U);
  }
  waiters_.stop();
  feed_.stop();
}

// What is left of it is less than was told, but no other answer.
TEST_F(OpenAnswersTest, AStreamThatToldPartOfADeletedResponseEndsWithThat) {
  for (const bool deleted : {true, false}) {
    const Job job = accept();
    answers_.open(job, std::make_unique<PlainEvents>(), http::Responder(client_), {});
    streams_.said = "sec";
    clock_.advance(seconds(1));
    feed_.read_once();
    succeed(job, deleted ? "secret" : "other");
    if (deleted) erase(job);
    EXPECT_EQ(told(), deleted ? "begin,sec,response_not_found" : "begin,sec,answer_changed");
    EXPECT_EQ(feed_.size(), 0U);
  }
  waiters_.stop();
  feed_.stop();
}

TEST_F(OpenAnswersTest, AProducerThatStopsLetsTheJobsOfItsWaitersGoOn) {
  const auto open = waits(seconds(10));
  const http::Responder responder(client_);
  int left = 0;
  ASSERT_TRUE(open->add({Surface::kChat, kTenant, nullptr, "", [&left] { ++left; }}, accept().id, responder));
  waiters_.stop();
  responder.canceller().cancel(true);
  EXPECT_EQ(left, 0);
}

TEST_F(OpenAnswersTest, WhoLeavesAStreamIsToldOfOnce) {
  const http::Responder responder(client_);
  int left = 0;
  answers_.open(accept(), std::make_unique<LongEvents>(1), responder, {"", [&left] { ++left; }});
  EXPECT_EQ(left, 0);
  responder.canceller().cancel(false);
  EXPECT_EQ(left, 1);
  client_->queue->close();
  responder.canceller().cancel(true);
  EXPECT_EQ(left, 1);
  waiters_.stop();
  feed_.stop();
}

TEST_F(OpenAnswersTest, AStreamThatHasEndedIsLeftByNobody) {
  const http::Responder responder(client_);
  const Job job = accept();
  int left = 0;
  answers_.open(job, std::make_unique<LongEvents>(3 << 20), responder, {"", [&left] { ++left; }});
  cancel(job);
  feed_.read_once();
  waiters_.run_once();
  feed_.read_once();
  // The end waits for room when the client goes.
  client_->queue->close();
  responder.canceller().cancel(true);
  EXPECT_EQ(left, 0);
  waiters_.stop();
  feed_.stop();
}

}  // namespace
}  // namespace sluice::producer
