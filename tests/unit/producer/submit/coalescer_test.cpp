#include "producer/submit/coalescer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "tests/support/fake_job_store.h"

namespace sluice::producer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class Quiet final : public LogSink {
 public:
  void write(std::string_view) override {}
};

// The fake store behind a gate: commits wait until they are let through, and are counted.
class GatedStore final : public JobStore {
 public:
  explicit GatedStore(JobStore& inner) : inner_(inner) {}

  std::vector<Status> submit(std::span<Submission> submissions, Deadline deadline) override {
    std::size_t rows = 0;
    for (const Submission& submission : submissions) rows += submission.jobs.size();
    {
      std::unique_lock lock(mutex_);
      commits_.push_back({submissions.size(), rows});
      ++inside_;
      changed_.notify_all();
      changed_.wait(lock, [this] { return open_ || permits_ > 0; });
      if (!open_) --permits_;
      --inside_;
    }
    return inner_.submit(submissions, deadline);
  }
  void close() {
    std::lock_guard lock(mutex_);
    open_ = false;
  }
  void open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void let_one() {
    std::lock_guard lock(mutex_);
    ++permits_;
    changed_.notify_all();
  }
  void wait_inside(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return inside_ >= count; });
  }
  struct Commit {
    std::size_t submissions;
    std::size_t rows;
    bool operator==(const Commit&) const = default;
  };
  std::vector<Commit> commits() {
    std::lock_guard lock(mutex_);
    return commits_;
  }

  Result<Job> get(const TenantId& t, const JobId& i, Deadline d) override { return inner_.get(t, i, d); }
  Result<std::string> get_request(const TenantId& t, const JobId& i, Deadline d) override {
    return inner_.get_request(t, i, d);
  }
  Result<std::vector<Job>> get_final(std::span<const JobId> i, Deadline d) override {
    return inner_.get_final(i, d);
  }
  Result<std::vector<Job>> list(const JobFilter& f, Deadline d) override { return inner_.list(f, d); }
  Result<Job> cancel(const TenantId& t, const JobId& i, Deadline d) override {
    return inner_.cancel(t, i, d);
  }
  Result<Job> cancel_left(const TenantId& t, const JobId& i, Deadline d) override {
    return inner_.cancel_left(t, i, d);
  }
  Result<Job> erase(const TenantId& t, const JobId& i, Deadline d) override { return inner_.erase(t, i, d); }
  Result<std::int64_t> count_queued(const std::string& m, Priority p, std::int64_t c, Deadline d) override {
    return inner_.count_queued(m, p, c, d);
  }
  Result<DueTenants> due_tenants(const std::string& m, Priority p, const TenantId& a, int l,
                                 Deadline d) override {
    return inner_.due_tenants(m, p, a, l, d);
  }
  Result<std::vector<DueTask>> due_tasks(const std::string& m, Priority p, std::span<const TenantId> t, int l,
                                         Deadline d) override {
    return inner_.due_tasks(m, p, t, l, d);
  }
  Result<std::vector<DueTask>> unstarted_tasks(const std::string& m, Priority p, std::span<const int> s,
                                               int l, Deadline d) override {
    return inner_.unstarted_tasks(m, p, s, l, d);
  }
  Status mark_tasks(std::span<const TaskRef> t, bool p, Deadline d) override {
    return inner_.mark_tasks(t, p, d);
  }
  Result<std::vector<ClaimedJob>> claim(std::span<const TaskRef> t, const std::string& w,
                                        Deadline d) override {
    return inner_.claim(t, w, d);
  }
  Result<std::vector<TaskRef>> heartbeat(const std::string& w, std::span<const TaskRef> h,
                                         Deadline d) override {
    return inner_.heartbeat(w, h, d);
  }
  Result<std::vector<EndingResult>> finish(std::span<const Ending> e, Deadline d) override {
    return inner_.finish(e, d);
  }
  Result<int> rescue_lapsed(int l, Deadline d) override { return inner_.rescue_lapsed(l, d); }
  Result<int> settle_followers(int, Deadline) override { return 0; }
  Result<int> expire_due(int l, Deadline d) override { return inner_.expire_due(l, d); }

 private:
  JobStore& inner_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = true;
  int permits_ = 0;
  int inside_ = 0;
  std::vector<Commit> commits_;
};

class RecordingPublisher final : public FreshPublisher {
 public:
  int reserve(const std::string&, Priority, const TenantId& tenant,
              const std::vector<std::int64_t>& tokens) override {
    std::lock_guard lock(mutex);
    asked.push_back(tenant.value + ":" + std::to_string(tokens.size()));
    const int granted = std::min(static_cast<int>(tokens.size()), room);
    room -= granted;
    return granted;
  }
  void release(const std::string&, Priority, int count) override {
    std::lock_guard lock(mutex);
    released += count;
  }
  void publish(const std::string& model, Priority priority, std::vector<TaskRef> tasks) override {
    std::lock_guard lock(mutex);
    for (const TaskRef& task : tasks) {
      published.push_back(model + "/" + std::string(priority_name(priority)) + "/" + task.id.value);
    }
  }
  void wake() override {
    std::lock_guard lock(mutex);
    ++wakes;
  }
  std::mutex mutex;
  int room = 1000;
  int released = 0;
  int wakes = 0;
  std::vector<std::string> asked;
  std::vector<std::string> published;
};

class CoalescerTest : public ::testing::Test {
 protected:
  void make(CoalescerConfig config = {}) {
    coalescer_ = std::make_unique<SubmitCoalescer>(
        store_, publisher_, config, clock_, Log("test", LogLevel::kError, clock_, std::make_shared<Quiet>()),
        SubmitMetrics{});
  }
  Submission submission(int jobs, const std::string& text = "{}", const std::string& tenant = "t") {
    Submission made;
    for (int i = 0; i < jobs; ++i) {
      NewJob& fresh = made.jobs.emplace_back();
      fresh.job.id = ids_.make<JobId>(0);
      fresh.job.tenant.value = tenant;
      fresh.job.model = "m";
      fresh.request_json = text;
    }
    return made;
  }
  struct Answer {
    Status status;
    Submission submission;
  };
  std::future<Answer> submit(Submission made, SubmitCoalescer::GivenUp given_up = {}) {
    auto promise = std::make_shared<std::promise<Answer>>();
    auto future = promise->get_future();
    const bool taken = coalescer_->submit(
        std::move(made),
        [promise](Status status, Submission&& done) {
          promise->set_value({std::move(status), std::move(done)});
        },
        std::move(given_up));
    if (!taken) promise->set_value({fail(ErrorCode::kExhausted, "full"), {}});
    return future;
  }
  bool stored(const JobId& id) { return fake_.get({}, id, Deadline::in(clock_, seconds(1))).has_value(); }

  ManualClock clock_;
  SeededRng rng_{7};
  IdMaker ids_{clock_, rng_};
  testing::FakeJobStore fake_{clock_, ids_};
  GatedStore store_{fake_};
  RecordingPublisher publisher_;
  std::unique_ptr<SubmitCoalescer> coalescer_;
};

TEST_F(CoalescerTest, OneAloneIsCommittedAtOnce) {
  make();
  coalescer_->start();
  const Answer answer = submit(submission(1)).get();
  ASSERT_TRUE(answer.status.has_value());
  EXPECT_GT(answer.submission.jobs[0].job.created_us, 0);
  EXPECT_TRUE(answer.submission.jobs[0].publish_reserved);
  EXPECT_TRUE(stored(answer.submission.jobs[0].job.id));
  EXPECT_THAT(publisher_.published, ElementsAre("m/normal/" + answer.submission.jobs[0].job.id.value));
  EXPECT_EQ(publisher_.wakes, 0);
}

TEST_F(CoalescerTest, TenantsOfOneCommitAskForRoomOnTheirOwnInTheOrderOfTheirArrival) {
  make({.committers = 1});
  store_.close();
  coalescer_->start();
  std::vector<std::future<Answer>> answers;
  answers.push_back(submit(submission(1)));
  store_.wait_inside(1);
  publisher_.room = 4;
  for (const char* tenant : {"z", "a", "z"}) answers.push_back(submit(submission(2, "{}", tenant)));
  store_.open();
  std::vector<Answer> done;
  for (auto& answer : answers) done.push_back(answer.get());
  EXPECT_THAT(publisher_.asked, ElementsAre("t:1", "z:4", "a:2"));
  EXPECT_FALSE(done[2].submission.jobs[0].publish_reserved);
  EXPECT_TRUE(done[3].submission.jobs[1].publish_reserved);
}

TEST_F(CoalescerTest, WhatWaitsDuringACommitSharesTheNext) {
  make({.committers = 1});
  store_.close();
  coalescer_->start();
  std::vector<std::future<Answer>> answers;
  answers.push_back(submit(submission(1)));
  store_.wait_inside(1);
  for (int i = 0; i < 50; ++i) answers.push_back(submit(submission(2)));
  store_.open();
  for (auto& answer : answers) EXPECT_TRUE(answer.get().status.has_value());
  EXPECT_THAT(store_.commits(), ElementsAre(GatedStore::Commit{1, 1}, GatedStore::Commit{50, 100}));
}

TEST_F(CoalescerTest, TransactionsAreBoundedInRowsAndBytes) {
  make({.committers = 1, .commit_rows_max = 10, .commit_bytes_max = 100'000});
  store_.close();
  coalescer_->start();
  std::vector<std::future<Answer>> answers;
  answers.push_back(submit(submission(1)));
  store_.wait_inside(1);
  for (int i = 0; i < 5; ++i) answers.push_back(submit(submission(4)));
  for (int i = 0; i < 3; ++i) answers.push_back(submit(submission(1, std::string(60'000, 'x'))));
  store_.open();
  for (auto& answer : answers) EXPECT_TRUE(answer.get().status.has_value());
  EXPECT_THAT(store_.commits(),
              ElementsAre(GatedStore::Commit{1, 1}, GatedStore::Commit{2, 8}, GatedStore::Commit{2, 8},
                          GatedStore::Commit{2, 5}, GatedStore::Commit{1, 1}, GatedStore::Commit{1, 1}));
}

TEST_F(CoalescerTest, ALargeOneDoesNotHoldUpTheSmall) {
  make({.committers = 2, .large_rows_min = 100});
  store_.close();
  coalescer_->start();
  auto large = submit(submission(1000));
  store_.wait_inside(1);
  auto second = submit(submission(1000));  // Must leave the other committer to the small ones.
  auto small = submit(submission(1));
  store_.wait_inside(2);
  EXPECT_THAT(store_.commits(), ElementsAre(GatedStore::Commit{1, 1000}, GatedStore::Commit{1, 1}));
  store_.open();
  EXPECT_TRUE(small.get().status.has_value());
  EXPECT_TRUE(large.get().status.has_value());
  EXPECT_TRUE(second.get().status.has_value());
}

TEST_F(CoalescerTest, SmallOnesDoNotStarveALargeOne) {
  make({.committers = 1, .commit_rows_max = 1, .large_rows_min = 10});
  store_.close();
  coalescer_->start();
  std::vector<std::future<Answer>> answers;
  answers.push_back(submit(submission(1)));
  store_.wait_inside(1);
  for (int i = 0; i < 5; ++i) answers.push_back(submit(submission(1)));
  answers.push_back(submit(submission(10)));
  store_.open();
  for (auto& answer : answers) EXPECT_TRUE(answer.get().status.has_value());
  EXPECT_EQ(store_.commits()[1], (GatedStore::Commit{1, 10}));
}

TEST_F(CoalescerTest, AFullQueueRefusesAtOnce) {
  make({.committers = 1, .queue_submissions_max = 2});
  store_.close();
  coalescer_->start();
  auto first = submit(submission(1));
  store_.wait_inside(1);
  auto second = submit(submission(1));
  auto third = submit(submission(1));
  const Answer fourth = submit(submission(1)).get();
  EXPECT_EQ(fourth.status.error().code, ErrorCode::kExhausted);
  store_.open();
  EXPECT_TRUE(third.get().status.has_value());
}

TEST_F(CoalescerTest, BytesAreBoundedButOneAloneAlwaysFits) {
  make({.committers = 1, .queue_bytes_max = 1000});
  store_.close();
  coalescer_->start();
  auto first = submit(submission(1));
  store_.wait_inside(1);
  auto huge = submit(submission(1, std::string(5000, 'x')));
  EXPECT_EQ(submit(submission(1)).get().status.error().code, ErrorCode::kExhausted);
  store_.open();
  EXPECT_TRUE(huge.get().status.has_value());
}

TEST_F(CoalescerTest, OneRefusedSubmissionLeavesItsNeighboursUnharmed) {
  make({.committers = 1});
  fake_.refuse_text("poison");
  store_.close();
  coalescer_->start();
  auto first = submit(submission(1));
  store_.wait_inside(1);
  auto good = submit(submission(1));
  auto bad = submit(submission(2, "poison"));
  auto also_good = submit(submission(1));
  store_.open();
  EXPECT_TRUE(good.get().status.has_value());
  EXPECT_EQ(bad.get().status.error().code, ErrorCode::kInvalid);
  EXPECT_TRUE(also_good.get().status.has_value());
  coalescer_->stop();
  EXPECT_EQ(publisher_.released, 2);
  EXPECT_THAT(publisher_.published, SizeIs(3));
}

TEST_F(CoalescerTest, AnUnknownOutcomeIsToldAndGivesItsRoomBack) {
  make();
  coalescer_->start();
  fake_.fail_next("submit", ErrorCode::kOutcomeUnknown, 1, true);
  const Answer answer = submit(submission(2)).get();
  EXPECT_EQ(answer.status.error().code, ErrorCode::kOutcomeUnknown);
  ASSERT_THAT(answer.submission.jobs, SizeIs(2));  // Its ids are for the client.
  EXPECT_TRUE(stored(answer.submission.jobs[0].job.id));
  EXPECT_EQ(publisher_.released, 2);
  EXPECT_THAT(publisher_.published, IsEmpty());
}

TEST_F(CoalescerTest, RoomGoesToTheFirstAndTheRestIsLeftToTheScan) {
  make({.committers = 1});
  publisher_.room = 3;
  coalescer_->start();
  const Answer answer = submit(submission(5)).get();
  std::vector<bool> reserved;
  for (const NewJob& fresh : answer.submission.jobs) reserved.push_back(fresh.publish_reserved);
  EXPECT_THAT(reserved, ElementsAre(true, true, true, false, false));
  coalescer_->stop();
  EXPECT_EQ(publisher_.wakes, 1);
  EXPECT_THAT(publisher_.published, SizeIs(3));
}

TEST_F(CoalescerTest, AClientThatLeftCostsNoCommit) {
  make({.committers = 1});
  store_.close();
  coalescer_->start();
  auto first = submit(submission(1));
  store_.wait_inside(1);
  auto left = submit(submission(1), [] { return true; });
  store_.open();
  const Answer answer = left.get();
  EXPECT_EQ(answer.status.error().code, ErrorCode::kCancelled);
  EXPECT_FALSE(stored(answer.submission.jobs[0].job.id));
}

TEST_F(CoalescerTest, WhatWaitedTooLongIsRefusedWithNothingDone) {
  make({.committers = 1, .submit_timeout = milliseconds(1000)});
  store_.close();
  coalescer_->start();
  auto first = submit(submission(1));
  store_.wait_inside(1);
  auto late = submit(submission(1));
  clock_.advance(milliseconds(1000));
  store_.open();
  const Answer answer = late.get();
  EXPECT_EQ(answer.status.error().code, ErrorCode::kDeadline);
  EXPECT_FALSE(stored(answer.submission.jobs[0].job.id));
}

TEST_F(CoalescerTest, StoppingCommitsWhatWaits) {
  make({.committers = 2, .large_rows_min = 10});
  store_.close();
  coalescer_->start();
  std::vector<std::future<Answer>> answers;
  for (int i = 0; i < 20; ++i) answers.push_back(submit(submission(i % 5 == 0 ? 20 : 1)));
  store_.wait_inside(2);
  std::thread stopper([this] { coalescer_->stop(); });
  store_.open();
  stopper.join();
  for (auto& answer : answers) EXPECT_TRUE(answer.get().status.has_value());
  EXPECT_EQ(submit(submission(1)).get().status.error().code, ErrorCode::kExhausted);
  coalescer_->stop();
}

TEST_F(CoalescerTest, StoppingBeforeTheStartAnswersWhatWaits) {
  make();
  auto waiting = submit(submission(1));
  coalescer_->stop();
  EXPECT_EQ(waiting.get().status.error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace sluice::producer
