#include "producer/wait/left_jobs.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/base/backoff.h"

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
    const auto of = waiting_of_.find(tenant);
    const std::size_t own = of == waiting_of_.end() ? 0 : of->second;
    if (waiting_ >= config_.jobs_max || own >= config_.tenant_jobs_max) {
      metrics_.left_jobs.with({"given_up"}).add();
      return;
    }
    ++waiting_;
    ++waiting_of_[tenant];
    fresh_.push_back({tenant, id, clock_.steady_now() + config_.retry_for});
  }
  loop_.wake();
}

void LeftJobs::settled(const Left& left) {
  MutexLock lock(mutex_);
  --waiting_;
  const auto of = waiting_of_.find(left.tenant);
  if (--of->second == 0) waiting_of_.erase(of);
}

std::vector<LeftJobs::Left> LeftJobs::take(SteadyTime now) {
  std::size_t due = 0;
  for (auto at = again_.begin(); at != again_.end() && at->first <= now && due < config_.step_max; ++at)
    ++due;
  std::vector<Left> turn;
  {
    MutexLock lock(mutex_);
    // Newcomers don't wait for those that can't be cancelled yet, nor keep them waiting for ever.
    const std::size_t room = config_.step_max - std::min(due, config_.step_max / 4);
    const auto count = static_cast<std::ptrdiff_t>(std::min(fresh_.size(), room));
    turn.assign(std::make_move_iterator(fresh_.begin()), std::make_move_iterator(fresh_.begin() + count));
    fresh_.erase(fresh_.begin(), fresh_.begin() + count);
  }
  for (; due > 0 && turn.size() < config_.step_max; --due) {
    turn.push_back(std::move(again_.begin()->second));
    again_.erase(again_.begin());
  }
  return turn;
}

void LeftJobs::try_again(Left left, const Error& error) {
  const SteadyTime now = clock_.steady_now();
  if (now < left.until) {
    const Duration pause = backoff_delay({config_.retry_every, config_.retry_every_max}, left.tries);
    again_.emplace(now + pause, std::move(left));
    return;
  }
  if (error.code != ErrorCode::kNotFound) {
    metrics_.left_jobs.with({"given_up"}).add();
    log_.warn_limited("left_job_not_cancelled", {{"job_id", left.id.value}, {"error", error.message}});
  }
  settled(left);
}

void LeftJobs::put_back(std::vector<Left> rest) {
  const SteadyTime now = clock_.steady_now();
  MutexLock lock(mutex_);
  for (auto left = rest.rbegin(); left != rest.rend(); ++left) {
    if (left->tries == 0) {
      fresh_.push_front(std::move(*left));
    } else {
      again_.emplace(now, std::move(*left));
    }
  }
}

Duration LeftJobs::run_once() {
  if (const SteadyTime now = clock_.steady_now(); now < away_until_) return away_until_ - now;
  std::vector<Left> turn = take(clock_.steady_now());
  for (auto left = turn.begin(); left != turn.end(); ++left) {
    const Status done = cancel(*left);
    if (done) {
      settled(*left);
      continue;
    }
    try_again(std::move(*left), done.error());
    // That it isn't there (yet) is one job's own; with any other error the rest would only wait for theirs.
    if (done.error().code == ErrorCode::kNotFound) continue;
    away_until_ = clock_.steady_now() + config_.retry_every;
    put_back({std::make_move_iterator(left + 1), std::make_move_iterator(turn.end())});
    break;
  }
  const SteadyTime now = clock_.steady_now();
  MutexLock lock(mutex_);
  if (waiting_ == 0) return kIdle;
  const SteadyTime next = fresh_.empty() ? again_.begin()->first : now;
  return std::max({next, away_until_, now}) - now;
}

Status LeftJobs::cancel(Left& left) {
  ++left.tries;
  const auto job = store_.cancel_left(left.tenant, left.id, Deadline::in(clock_, config_.call_timeout));
  if (!job) return fail(job.error());
  const bool cancelled = job->state == JobState::kCancelled;
  metrics_.left_jobs.with({cancelled ? "cancelled" : "ended"}).add();
  waiters_.notify(left.id);
  return {};
}

void LeftJobs::OnItsWay::leave() {
  {
    MutexLock lock(mutex_);
    left_ = true;
    if (!settled_ || !may_be_there_) return;
  }
  jobs_.add(tenant_, id_);
}

void LeftJobs::OnItsWay::settle(bool may_be_there) {
  {
    MutexLock lock(mutex_);
    settled_ = true;
    may_be_there_ = may_be_there;
    if (!left_ || !may_be_there) return;
  }
  jobs_.add(tenant_, id_);
}

}  // namespace sluice::producer
