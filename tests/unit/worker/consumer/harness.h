// A JobRunner between fakes: a store in memory, an engine that the test steers, a broker and a cache that
// remember.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/base/rng.h"
#include "common/job/request.h"
#include "common/store/task_message.h"
#include "tests/support/due_tasks.h"
#include "tests/support/fake_job_store.h"
#include "tests/unit/worker/batcher/scripted_engine.h"
#include "worker/consumer/job_runner.h"

namespace sluice::worker {

// What happened outside the worker, in order: "ack:3", "give_back:4", "reject:5", "put:job_…", "pause".
class Journal {
 public:
  void add(std::string entry) {
    std::lock_guard lock(mutex_);
    entries_.push_back(std::move(entry));
    changed_.notify_all();
  }
  bool wait_for(const std::string& entry, std::size_t times = 1) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return count_locked(entry) >= times; });
  }
  // How many entries begin with `prefix`.
  bool wait_count(const std::string& prefix, std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20),
                             [&] { return starting_locked(prefix) >= count; });
  }
  std::size_t count(const std::string& entry) {
    std::lock_guard lock(mutex_);
    return count_locked(entry);
  }
  std::size_t starting(const std::string& prefix) {
    std::lock_guard lock(mutex_);
    return starting_locked(prefix);
  }
  std::vector<std::string> entries() {
    std::lock_guard lock(mutex_);
    return entries_;
  }

 private:
  std::size_t count_locked(const std::string& entry) const {
    return static_cast<std::size_t>(std::count(entries_.begin(), entries_.end(), entry));
  }
  std::size_t starting_locked(const std::string& prefix) const {
    return static_cast<std::size_t>(std::count_if(entries_.begin(), entries_.end(),
                                                  [&](const auto& e) { return e.starts_with(prefix); }));
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> entries_;
};

class FakeSource final : public TaskSource {
 public:
  explicit FakeSource(Journal& journal) : journal_(journal) {}
  void ack(std::span<const DeliveryTag> tags) override {
    for (const DeliveryTag& tag : tags) journal_.add("ack:" + std::to_string(tag.number));
  }
  void give_back(const DeliveryTag& tag) override { journal_.add("give_back:" + std::to_string(tag.number)); }
  void reject(const DeliveryTag& tag) override { journal_.add("reject:" + std::to_string(tag.number)); }
  void pause() override { journal_.add("pause"); }
  void resume() override { journal_.add("resume"); }

 private:
  Journal& journal_;
};

class FakeCache final : public ResultCache {
 public:
  explicit FakeCache(Journal& journal) : journal_(journal) {}
  Status put(std::span<const EndingResult> ended, Deadline) override {
    for (const EndingResult& one : ended) journal_.add("put:" + one.job->id.value);
    if (failing) return fail(ErrorCode::kUnavailable, "no redis");
    return {};
  }
  std::atomic<bool> failing{false};

 private:
  Journal& journal_;
};

class FakeLiveSink final : public LiveSink {
 public:
  Result<std::vector<bool>> put(std::span<const Write> writes, Deadline) override {
    std::lock_guard lock(mutex_);
    if (failing) return fail(ErrorCode::kUnavailable, "no redis");
    std::vector<bool> done;
    for (const Write& write : writes) {
      auto& stream = streams_[live_text_key(write.id, write.generation)];
      if (write.afresh) stream.clear();
      done.push_back(write.afresh || !stream.empty());
      if (done.back()) stream.push_back(write.live);
    }
    return done;
  }
  Result<std::vector<bool>> watched(std::span<const JobId> ids, Deadline) override {
    std::lock_guard lock(mutex_);
    std::vector<bool> answers;
    for (const JobId& id : ids) answers.push_back(watched_.contains(id.value));
    looks += 1;
    return answers;
  }
  void watch(const JobId& id) {
    std::lock_guard lock(mutex_);
    watched_.insert(id.value);
  }
  void forget_all() {
    std::lock_guard lock(mutex_);
    streams_.clear();
  }
  std::vector<LiveText> entries(const JobId& id) {
    std::lock_guard lock(mutex_);
    return streams_[live_text_key(id, 1)];
  }
  std::atomic<bool> failing{false};
  std::atomic<int> looks{0};

 private:
  std::mutex mutex_;
  std::set<std::string> watched_;
  std::map<std::string, std::vector<LiveText>> streams_;
};

class SilentSink final : public LogSink {
 public:
  void write(std::string_view) override {}
};

class RunnerTest : public ::testing::Test {
 protected:
  RunnerTest() = default;
  explicit RunnerTest(EngineInfo engine) : engine_(std::move(engine)) {}
  ~RunnerTest() override { end_runner(); }
  // A worker that has results left waits for a clock that only the test moves.
  void end_runner() {
    if (!runner_) return;
    std::atomic<bool> ended{false};
    std::thread stopper([&] {
      runner_->stop();
      ended = true;
    });
    EXPECT_TRUE(pass_time_until([&] { return ended.load(); }));
    stopper.join();
    runner_.reset();
  }

  JobRunner& make(JobRunnerConfig config = {}) {
    end_runner();
    runner_ = std::make_unique<JobRunner>(
        config, "w-1", store_, engine_, source_, cache_, live_sink_, clock_, rng_,
        Log("test", LogLevel::kError, clock_, std::make_shared<SilentSink>()), registry_);
    return *runner_;
  }
  JobRunner& start(JobRunnerConfig config = {}) {
    make(config).start();
    return *runner_;
  }
  // No waiting for company, so that tests need no clock for it.
  static JobRunnerConfig config(int jobs_max = 32, int ahead_max = 4, int express_max = 0) {
    JobRunnerConfig config;
    config.batcher = {.jobs_max = jobs_max,
                      .express_max = express_max,
                      .linger = std::chrono::milliseconds(0),
                      .ahead_max = ahead_max};
    return config;
  }

  JobId submit(const std::string& prompt, Priority priority = Priority::kNormal,
               const std::string& raw_json = {}) {
    Submission submission;
    NewJob fresh;
    fresh.job.id = ids_.make<JobId>(3);
    fresh.job.tenant = TenantId{"t"};
    fresh.job.model = "m";
    fresh.job.priority = priority;
    JobRequest request;
    request.prompt = prompt;
    fresh.request_json = raw_json.empty() ? job_request_to_json(request) : raw_json;
    const JobId id = fresh.job.id;
    submission.jobs.push_back(std::move(fresh));
    std::vector<Submission> submissions;
    submissions.push_back(std::move(submission));
    EXPECT_TRUE(store_.submit(submissions, soon()).front().has_value());
    return id;
  }
  // A message for `ref`; answers the number of its tag.
  std::uint64_t deliver(const TaskRef& ref, Priority lane = Priority::kNormal, std::uint64_t epoch = 1) {
    return deliver_body(task_to_json(ref), lane, epoch);
  }
  std::uint64_t deliver(const JobId& id, Priority lane = Priority::kNormal) {
    return deliver(TaskRef{id, 1, job(id).attempt}, lane);
  }
  std::uint64_t deliver_body(const std::string& body, Priority lane = Priority::kNormal,
                             std::uint64_t epoch = 1) {
    Delivery delivery;
    delivery.tag = DeliveryTag{epoch, 1, ++tag_};
    delivery.body = body;
    runner_->deliver(lane, std::move(delivery));
    return tag_;
  }
  // Messages for all that is due, as the dispatcher would send them. Answers how many.
  std::size_t dispatch() {
    std::size_t sent = 0;
    for (const Priority priority : {Priority::kHigh, Priority::kNormal, Priority::kLow}) {
      const auto due = testing::all_due_tasks(store_, "m", priority, 1000, soon());
      std::vector<TaskRef> refs;
      for (const DueTask& task : *due) refs.push_back(task.ref);
      EXPECT_TRUE(store_.mark_tasks(refs, true, soon()).has_value());
      for (const TaskRef& ref : refs) deliver(ref, priority);
      sent += refs.size();
    }
    return sent;
  }
  // Starts `ids` elsewhere and lets their leases lapse, as if that worker had crashed.
  void lose_starts(const std::vector<JobId>& ids) {
    std::vector<TaskRef> refs;
    for (const JobId& id : ids) refs.push_back({id, 1, job(id).attempt});
    EXPECT_EQ(store_.claim(refs, "w-crashed", soon())->size(), ids.size());
    clock_.advance(std::chrono::seconds(16));
    EXPECT_EQ(*store_.rescue_lapsed(1000, soon()), static_cast<int>(ids.size()));
    clock_.advance(std::chrono::seconds(10));  // Past every retry pause of the first few attempts.
  }

  Job job(const JobId& id) { return *store_.get({}, id, soon()); }
  JobState state(const JobId& id) { return job(id).state; }
  std::string key(const JobId& id, int attempt = 1) { return start_key({id, 1, attempt}); }
  std::size_t running() {
    JobFilter filter{TenantId{"t"}, {}, {}, JobState::kRunning, {}, 1000};
    return store_.list(filter, soon())->size();
  }
  Deadline soon() { return Deadline::in(clock_, std::chrono::seconds(60)); }
  // Moves the clock in small steps until `condition` holds.
  template <class Condition>
  bool pass_time_until(Condition condition, Duration most = std::chrono::minutes(20)) {
    for (Duration passed{0}; passed < most; passed += std::chrono::milliseconds(100)) {
      if (condition()) return true;
      clock_.advance(std::chrono::milliseconds(100));
      // The worker's threads wait on the manual clock, which they look at every few milliseconds.
      std::unique_lock lock(pause_mutex_);
      pause_.wait_for(lock, std::chrono::milliseconds(1));
    }
    return condition();
  }
  double metric(const std::string& line_start) {
    const std::string text = registry_.expose();
    for (std::size_t at = text.find("\n" + line_start); at != std::string::npos;) {
      const std::size_t space = text.find(' ', at + line_start.size());
      return std::stod(text.substr(space + 1));
    }
    return 0;
  }

  ManualClock clock_;
  SeededRng rng_{7};
  IdMaker ids_{clock_, rng_};
  testing::FakeJobStore store_{clock_, ids_};
  ScriptedEngine engine_;
  Journal journal_;
  FakeSource source_{journal_};
  FakeCache cache_{journal_};
  FakeLiveSink live_sink_;
  metrics::Registry registry_;
  std::unique_ptr<JobRunner> runner_;
  std::uint64_t tag_ = 0;
  std::mutex pause_mutex_;
  std::condition_variable pause_;
};

}  // namespace sluice::worker
