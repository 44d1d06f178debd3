#include "producer/submit/coalescer.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "common/base/failpoint.h"
#include "common/job/result_bytes.h"

namespace sluice::producer {

namespace {

constexpr std::size_t kRowBytes = 300;  // Columns of fixed or small size.

// Room at the broker for a group of submissions: reserved before their commit, then used or given back.
class Reservations {
 public:
  explicit Reservations(FreshPublisher& publisher) : publisher_(publisher) {}

  // In the order of arrival, so that of two requests of a tenant the later one never gets the room.
  void reserve(std::span<Submission> submissions) {
    std::vector<Key> order;
    std::map<Key, std::vector<std::int64_t>> wanted;
    for (const Submission& submission : submissions) {
      for (const NewJob& fresh : submission.jobs) {
        if (fresh.answer) continue;  // Ends at once.
        Key key{fresh.job.model, fresh.job.priority, fresh.job.tenant};
        std::vector<std::int64_t>& tokens = wanted[key];
        tokens.push_back(fresh.tokens_max);
        if (tokens.size() == 1) order.push_back(std::move(key));
      }
    }
    std::map<Key, int> room;
    for (const Key& key : order) {
      const std::vector<std::int64_t>& tokens = wanted.at(key);
      const auto& [model, priority, tenant] = key;
      const int granted = publisher_.reserve(model, priority, tenant, tokens);
      room[key] = granted;
      left_without_ |= granted < static_cast<int>(tokens.size());
    }
    for (Submission& submission : submissions) {
      for (NewJob& fresh : submission.jobs) {
        if (fresh.answer) continue;
        int& left = room[Key{fresh.job.model, fresh.job.priority, fresh.job.tenant}];
        fresh.publish_reserved = left > 0;
        if (left > 0) --left;
      }
    }
  }

  // After the commit: `answers` has one for each submission.
  void settle(std::span<const Submission> submissions, std::span<const Status> answers) {
    using Queue = std::pair<std::string, Priority>;
    std::map<Queue, std::vector<TaskRef>> committed;
    std::map<Queue, int> unused;
    for (std::size_t i = 0; i < submissions.size(); ++i) {
      for (const NewJob& fresh : submissions[i].jobs) {
        if (!fresh.publish_reserved) continue;
        const Queue key{fresh.job.model, fresh.job.priority};
        if (answers[i] && fresh.is_to_run()) {
          committed[key].push_back(TaskRef{fresh.job.id, fresh.job.generation, fresh.job.attempt});
        } else {
          // Another computes it; or it was not committed, or was after all, and then the scan finds it.
          ++unused[key];
        }
      }
    }
    for (auto& [key, tasks] : committed) publisher_.publish(key.first, key.second, std::move(tasks));
    for (const auto& [key, count] : unused) publisher_.release(key.first, key.second, count);
    if (left_without_) publisher_.wake();
  }

 private:
  using Key = std::tuple<std::string, Priority, TenantId>;
  FreshPublisher& publisher_;
  bool left_without_ = false;
};

}  // namespace

std::size_t submission_bytes(const Submission& submission) {
  std::size_t bytes = 0;
  for (const NewJob& fresh : submission.jobs) {
    bytes += kRowBytes + fresh.request_json.size() + fresh.job.metadata_json.size() +
             fresh.job.callback_url.size();
    if (fresh.answer) bytes += result_bytes(fresh.answer->result);
  }
  return bytes;
}

SubmitCoalescer::SubmitCoalescer(JobStore& store, FreshPublisher& publisher, CoalescerConfig config,
                                 Clock& clock, Log log, SubmitMetrics metrics)
    : store_(store),
      publisher_(publisher),
      config_(config),
      clock_(clock),
      log_(std::move(log)),
      metrics_(std::move(metrics)) {}

SubmitCoalescer::~SubmitCoalescer() {
  stop();
}

void SubmitCoalescer::start() {
  for (int i = 0; i < config_.committers; ++i) committers_.emplace_back([this] { run(); });
}

void SubmitCoalescer::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  filled_.notify_all();
  for (std::thread& committer : committers_) committer.join();
  committers_.clear();
  // Only without committers, that is before start(), is anything left.
  std::deque<Pending> left;
  {
    MutexLock lock(mutex_);
    left.swap(small_);
    std::move(large_.begin(), large_.end(), std::back_inserter(left));
    large_.clear();
    bytes_ = 0;
  }
  for (Pending& pending : left) {
    pending.done(fail(ErrorCode::kCancelled, "the producer stops"), std::move(pending.submission));
  }
}

bool SubmitCoalescer::submit(Submission submission, Done done, GivenUp given_up) {
  const std::size_t bytes = submission_bytes(submission);
  {
    MutexLock lock(mutex_);
    const std::size_t waiting = small_.size() + large_.size();
    // One submission of any size goes in when nothing waits.
    if (stopping_ || waiting >= config_.queue_submissions_max ||
        (waiting > 0 && bytes_ + bytes > config_.queue_bytes_max)) {
      return false;
    }
    bytes_ += bytes;
    auto& queue = submission.jobs.size() >= config_.large_rows_min ? large_ : small_;
    queue.push_back({std::move(submission), std::move(done), std::move(given_up), bytes,
                     clock_.steady_now() + config_.submit_timeout});
    metrics_.waiting.set(static_cast<double>(waiting + 1));
  }
  filled_.notify_one();
  return true;
}

SubmitCoalescer::Group SubmitCoalescer::take_small() {
  Group group;
  std::size_t rows = 0;
  std::size_t bytes = 0;
  while (!small_.empty()) {
    const std::size_t next_rows = small_.front().submission.jobs.size();
    if (!group.empty() && (rows + next_rows > config_.commit_rows_max ||
                           bytes + small_.front().bytes > config_.commit_bytes_max)) {
      break;
    }
    rows += next_rows;
    bytes += small_.front().bytes;
    group.push_back(std::move(small_.front()));
    small_.pop_front();
  }
  bytes_ -= bytes;
  return group;
}

SubmitCoalescer::Group SubmitCoalescer::take(bool& large) {
  MutexLock lock(mutex_);
  for (;;) {
    const bool large_allowed =
        !large_.empty() && (large_running_ < config_.committers - 1 || config_.committers == 1);
    // Large and small take turns, so that neither waits for all of the other.
    if (large_allowed && (large_next_ || small_.empty())) {
      large_next_ = false;
      ++large_running_;
      large = true;
      Group group;
      group.push_back(std::move(large_.front()));
      large_.pop_front();
      bytes_ -= group.front().bytes;
      metrics_.waiting.set(static_cast<double>(small_.size() + large_.size()));
      return group;
    }
    if (!small_.empty()) {
      large_next_ = true;
      Group group = take_small();
      metrics_.waiting.set(static_cast<double>(small_.size() + large_.size()));
      return group;
    }
    if (stopping_ && large_.empty()) return {};
    lock.wait(filled_);
  }
}

void SubmitCoalescer::run() {
  for (;;) {
    bool large = false;
    Group group = take(large);
    if (group.empty()) return;
    commit(std::move(group));
    if (large) {
      {
        MutexLock lock(mutex_);
        --large_running_;
      }
      // Another large one may have waited for this.
      filled_.notify_all();
    }
  }
}

void SubmitCoalescer::drop_stale(Group& group) {
  const SteadyTime now = clock_.steady_now();
  std::erase_if(group, [&](Pending& pending) {
    const bool left = pending.given_up && pending.given_up();
    if (!left && now < pending.until) return false;
    pending.done(left ? fail(ErrorCode::kCancelled, "the client has left")
                      : fail(ErrorCode::kDeadline, "it waited too long to be written"),
                 std::move(pending.submission));
    return true;
  });
}

void SubmitCoalescer::commit(Group group) {
  drop_stale(group);
  if (group.empty()) return;
  std::vector<Submission> submissions;
  submissions.reserve(group.size());
  std::size_t rows = 0;
  SteadyTime until = group.front().until;
  for (Pending& pending : group) {
    rows += pending.submission.jobs.size();
    until = std::max(until, pending.until);
    submissions.push_back(std::move(pending.submission));
  }
  Reservations reservations(publisher_);
  reservations.reserve(submissions);

  SLUICE_FAILPOINT("producer.before_commit");
  const bool too_early = SLUICE_DEFECT("producer.answer_before_commit");
  for (std::size_t i = 0; too_early && i < group.size(); ++i) group[i].done({}, Submission(submissions[i]));
  const SteadyTime began = clock_.steady_now();
  std::vector<Status> answers = store_.submit(submissions, Deadline(until));
  // What was promised from here on holds: the rows are there, and the scan would publish them.
  SLUICE_FAILPOINT("producer.after_commit");
  metrics_.commit_seconds.observe(std::chrono::duration<double>(clock_.steady_now() - began).count());
  metrics_.commit_rows.observe(static_cast<double>(rows));

  reservations.settle(submissions, answers);
  for (std::size_t i = 0; i < group.size(); ++i) {
    if (!answers[i]) {
      log_.warn_limited("submit_failed", {{"code", error_code_name(answers[i].error().code)},
                                          {"jobs", submissions[i].jobs.size()},
                                          {"error", answers[i].error().message}});
    }
    if (!too_early) group[i].done(std::move(answers[i]), std::move(submissions[i]));
  }
}

}  // namespace sluice::producer
