#include "producer/wait/waiters.h"

#include <algorithm>

#include "common/base/check.h"

namespace sluice::producer {

namespace {
constexpr std::size_t kReadMax = 500;  // Jobs in one read.
constexpr int kLateMax = 64;           // Waits that one turn ends late; then others get their turn.
constexpr std::chrono::seconds kIdle{5};
}  // namespace

Waiters::Waiters(JobReader& reader, WaitConfig config, Clock& clock, Log log, WaitMetrics metrics)
    : reader_(reader),
      config_(config),
      clock_(clock),
      log_(std::move(log)),
      metrics_(std::move(metrics)),
      loop_("waiters", clock, [this] { return run_once(); }) {}

Waiters::~Waiters() {
  stop();
}

void Waiters::start() {
  loop_.start();
}

void Waiters::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  loop_.stop();
  for (;;) {
    Waiter waiter;
    {
      MutexLock lock(mutex_);
      if (by_time_.empty()) return;
      waiter = take(by_time_.begin()->second);
    }
    metrics_.resolved.with({"stop"}).add();
    waiter.done(reader_.get_fresh(waiter.tenant, waiter.id, Deadline::in(clock_, config_.call_timeout)));
  }
}

std::optional<Waiters::Ticket> Waiters::add(const TenantId& tenant, const JobId& id, SteadyTime until,
                                            Done done) {
  Ticket ticket = 0;
  bool wake = false;
  {
    MutexLock lock(mutex_);
    if (stopping_ || waiters_.size() >= static_cast<std::size_t>(config_.waiters_max)) return std::nullopt;
    ticket = ++last_ticket_;
    // The loop sleeps until the first of these; nothing else has to wake it.
    wake = waiters_.empty() || until < by_time_.begin()->first;
    if (waiters_.empty()) poll_at_ = clock_.steady_now() + config_.poll_every;
    waiters_.emplace(ticket, Waiter{tenant, id, until, std::move(done)});
    by_job_.emplace(id.value, ticket);
    by_time_.emplace(until, ticket);
    metrics_.waiters.set(static_cast<double>(waiters_.size()));
  }
  if (wake) loop_.wake();
  return ticket;
}

Waiters::Waiter Waiters::take(Ticket ticket) {
  const auto found = waiters_.find(ticket);
  SLUICE_CHECK(found != waiters_.end());
  Waiter waiter = std::move(found->second);
  waiters_.erase(found);
  by_time_.erase({waiter.until, ticket});
  const auto [first, last] = by_job_.equal_range(waiter.id.value);
  by_job_.erase(std::find_if(first, last, [ticket](const auto& entry) { return entry.second == ticket; }));
  metrics_.waiters.set(static_cast<double>(waiters_.size()));
  return waiter;
}

bool Waiters::remove(Ticket ticket, std::string_view why) {
  Waiter gone;  // Destroyed after the lock: it may hold the last reference to a connection.
  {
    MutexLock lock(mutex_);
    if (!waiters_.contains(ticket)) return false;
    gone = take(ticket);
  }
  metrics_.resolved.with({why}).add();
  return true;
}

void Waiters::notify(const JobId& id) {
  {
    MutexLock lock(mutex_);
    if (!by_job_.contains(id.value)) return;
    notified_.insert(id);
  }
  loop_.wake();
}

void Waiters::look_again() {
  {
    MutexLock lock(mutex_);
    poll_at_ = clock_.steady_now();
  }
  loop_.wake();
}

std::size_t Waiters::size() const {
  MutexLock lock(mutex_);
  return waiters_.size();
}

std::vector<JobId> Waiters::all_ids() const {
  std::vector<JobId> ids;
  ids.reserve(by_job_.size());
  for (auto at = by_job_.begin(); at != by_job_.end(); at = by_job_.equal_range(at->first).second) {
    ids.push_back(JobId{at->first});
  }
  return ids;
}

Duration Waiters::run_once() {
  std::vector<JobId> notified;
  std::vector<JobId> polled;
  {
    MutexLock lock(mutex_);
    notified.assign(notified_.begin(), notified_.end());
    notified_.clear();
    const SteadyTime now = clock_.steady_now();
    if (now >= poll_at_) {
      polled = all_ids();
      poll_at_ = now + config_.poll_every;
    }
  }
  answer_final(notified, true, "event");
  answer_final(polled, false, "poll");
  answer_late();

  MutexLock lock(mutex_);
  if (waiters_.empty()) return kIdle;
  const SteadyTime next = std::min(poll_at_, by_time_.begin()->first);
  return std::max(next - clock_.steady_now(), Duration::zero());
}

void Waiters::answer_final(std::span<const JobId> ids, bool hot_first, std::string_view by) {
  for (std::size_t at = 0; at < ids.size(); at += kReadMax) {
    const auto part = ids.subspan(at, std::min(kReadMax, ids.size() - at));
    auto jobs = reader_.find_final(part, hot_first, Deadline::in(clock_, config_.call_timeout));
    if (!jobs) {
      // They go on waiting; the next poll finds them.
      log_.warn_limited("wait_read_failed", {{"error", jobs.error().message}});
      return;
    }
    for (const Job& job : *jobs) {
      std::vector<Waiter> ready;
      {
        MutexLock lock(mutex_);
        std::vector<Ticket> tickets;
        const auto [first, last] = by_job_.equal_range(job.id.value);
        for (auto entry = first; entry != last; ++entry) {
          // The route has checked it already; a copy from Redis is not trusted to say the same.
          if (waiters_.at(entry->second).tenant == job.tenant) tickets.push_back(entry->second);
        }
        for (const Ticket ticket : tickets) ready.push_back(take(ticket));
      }
      for (Waiter& waiter : ready) {
        metrics_.resolved.with({by}).add();
        waiter.done(job);
      }
    }
  }
}

void Waiters::answer_late() {
  for (int i = 0; i < kLateMax; ++i) {
    Waiter late;
    {
      MutexLock lock(mutex_);
      if (by_time_.empty() || by_time_.begin()->first > clock_.steady_now()) return;
      late = take(by_time_.begin()->second);
    }
    metrics_.resolved.with({"timeout"}).add();
    late.done(reader_.get_fresh(late.tenant, late.id, Deadline::in(clock_, config_.call_timeout)));
  }
}

}  // namespace sluice::producer
