// Answers that stay open while their job runs, and clients that leave or don't read meanwhile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>

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

// A client that reads when the test does.
struct SlowClient final : http::Responder::Sink {
  void answer(http::Response response) override { answers.push_back(std::move(response)); }
  void stream(http::Response, std::shared_ptr<http::StreamQueue> pieces) override {
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
  std::shared_ptr<http::StreamQueue> queue;
  std::function<void()> at_head;
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
  std::unique_ptr<CompletionWaits> waits(milliseconds early_headers) {
    CompletionWaitConfig config;
    config.early_headers = early_headers;
    return std::make_unique<CompletionWaits>(waiters_, config, clock_, ApiMetrics{});
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
  const std::shared_ptr<SlowClient> client_ = std::make_shared<SlowClient>();
};

TEST_F(OpenAnswersTest, AClientMayLeaveWhileItsHeaderGoesOut) {
  const auto open = waits(seconds(10));
  const http::Responder responder(client_);
  ASSERT_TRUE(open->add(Surface::kChat, kTenant, accept().id, nullptr, responder));
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
  ASSERT_TRUE(open->add(Surface::kChat, kTenant, accept().id, nullptr, responder));
  responder.canceller().cancel(false);
  EXPECT_EQ(waiters_.size(), 2U);  // It may still read.
  responder.canceller().cancel(true);
  clock_.advance(seconds(10));
  waiters_.run_once();
  EXPECT_EQ(waiters_.size(), 0U);
  waiters_.stop();
}

}  // namespace
}  // namespace sluice::producer
