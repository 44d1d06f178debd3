#include "producer/wait/left_jobs.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace sluice::producer {

namespace {
constexpr std::chrono::seconds kIdle{5};  // It is woken; this only bounds the pause.
}  // namespace

LeftJobs::LeftJobs(JobStore& store, Waiters& waiters, LeftJobsConfig config, Clock& clock, Log log,
                   ApiMetrics metrics)
    : store_(store),
      waiters_(waiters),
      config_(config),
      clock_(clock),
      log_(std::move(log)),
      metrics_(std::move(metrics)),
      loop_("left-jobs", clock, [this] { return run_once(); }) {}

LeftJobs::~LeftJobs() {
  stop();
}

void LeftJobs::start() {
  loop_.start();
}

void LeftJobs::stop() {
  loop_.stop();
}

void LeftJobs::add(const TenantId& tenant, const JobId& id) {
  {
    MutexLock lock(mutex_);
    if (waiting_ >= config_.jobs_max) {
      metrics_.left_jobs.with({"given_up"}).add();
      return;
    }
    ++waiting_;
    fresh_.push_back({tenant, id, clock_.steady_now() + config_.retry_for});
  }
  loop_.wake();
}

Duration LeftJobs::run_once() {
  std::vector<Left> turn;
  bool more = false;
  {
    MutexLock lock(mutex_);
    const auto count = static_cast<std::ptrdiff_t>(std::min(fresh_.size(), config_.step_max));
    turn.assign(std::make_move_iterator(fresh_.begin()), std::make_move_iterator(fresh_.begin() + count));
    fresh_.erase(fresh_.begin(), fresh_.begin() + count);
    more = !fresh_.empty();
  }
  // Newcomers don't wait for those that can't be cancelled yet.
  if (const SteadyTime now = clock_.steady_now(); !again_.empty() && now >= again_at_) {
    std::move(again_.begin(), again_.end(), std::back_inserter(turn));
    again_.clear();
    again_at_ = now + config_.retry_every;
  }
  std::size_t settled = 0;
  for (Left& left : turn) {
    if (cancel(left)) {
      ++settled;
    } else {
      if (again_.empty()) again_at_ = clock_.steady_now() + config_.retry_every;
      again_.push_back(std::move(left));
    }
  }
  {
    MutexLock lock(mutex_);
    waiting_ -= settled;
  }
  if (more) return Duration::zero();
  if (again_.empty()) return kIdle;
  return std::max(again_at_ - clock_.steady_now(), Duration::zero());
}

bool LeftJobs::cancel(const Left& left) {
  const auto job = store_.cancel_left(left.tenant, left.id, Deadline::in(clock_, config_.call_timeout));
  if (job) {
    const bool cancelled = job->state == JobState::kCancelled;
    metrics_.left_jobs.with({cancelled ? "cancelled" : "ended"}).add();
    waiters_.notify(left.id);
    return true;
  }
  if (clock_.steady_now() < left.until) return false;
  // A request that was dropped before it was written leaves no job.
  if (job.error().code != ErrorCode::kNotFound) {
    metrics_.left_jobs.with({"given_up"}).add();
    log_.warn_limited("left_job_not_cancelled", {{"job_id", left.id.value}, {"error", job.error().message}});
  }
  return true;
}

}  // namespace sluice::producer
