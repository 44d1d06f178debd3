#include "worker/consumer/completer.h"

#include <pthread.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/base/failpoint.h"

namespace sluice::worker {

namespace {

constexpr Duration kIdleWait = std::chrono::seconds(1);

// The call may be repeated as it is; any other error is about what it was given.
bool is_passing(ErrorCode code) {
  return code == ErrorCode::kUnavailable || code == ErrorCode::kOutcomeUnknown ||
         code == ErrorCode::kDeadline || code == ErrorCode::kExhausted || code == ErrorCode::kConflict ||
         code == ErrorCode::kCancelled;
}

double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

Completer::Completer(CompleterConfig config, JobStore& store, HeldJobs& held, TaskSource& source,
                     ResultCache& cache, Clock& clock, Rng& rng, Log log, WorkerMetrics metrics,
                     std::function<void()> on_settled)
    : config_(std::move(config)),
      store_(store),
      held_(held),
      source_(source),
      cache_(cache),
      clock_(clock),
      log_(std::move(log)),
      metrics_(std::move(metrics)),
      on_settled_(std::move(on_settled)),
      backoff_(config_.retry, rng) {}

Completer::~Completer() {
  stop(clock_.steady_now());
}

void Completer::start() {
  MutexLock lock(mutex_);
  if (started_ || stopping_) return;
  started_ = true;
  thread_ = std::thread([this] { run(); });
}

void Completer::push(std::vector<JobEnd>&& ends) {
  {
    MutexLock lock(mutex_);
    waiting_.insert(waiting_.end(), std::make_move_iterator(ends.begin()),
                    std::make_move_iterator(ends.end()));
  }
  changed_.notify_all();
}

void Completer::push(JobEnd end) {
  {
    MutexLock lock(mutex_);
    waiting_.push_back(std::move(end));
  }
  changed_.notify_all();
}

bool Completer::stop(SteadyTime until) {
  std::thread joinable;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    stop_at_ = until;
    joinable.swap(thread_);
  }
  changed_.notify_all();
  if (joinable.joinable()) joinable.join();
  MutexLock lock(mutex_);
  return !left_ && waiting_.empty();
}

void Completer::run() {
  pthread_setname_np(pthread_self(), "completer");
  std::vector<JobEnd> ends;
  while (take(ends, ends.empty())) {
    settle(ends);
    if (ends.empty()) {
      backoff_.reset();
    } else {
      wait_before_retry();
    }
  }
  MutexLock lock(mutex_);
  left_ = !ends.empty();
}

// Adds what waits to `into`. False: it is time to end.
bool Completer::take(std::vector<JobEnd>& into, bool wait) {
  MutexLock lock(mutex_);
  while (wait && waiting_.empty() && !stopping_) {
    lock.wait_until(clock_, changed_, clock_.steady_now() + kIdleWait);
  }
  while (!waiting_.empty() && into.size() < config_.ends_max) {
    into.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  return !stopping_ || (!into.empty() && clock_.steady_now() < stop_at_);
}

void Completer::wait_before_retry() {
  const SteadyTime next = clock_.steady_now() + backoff_.next();
  MutexLock lock(mutex_);
  // Once stopping, each retry may still make the difference; the deadline ends them.
  while (clock_.steady_now() < next && !(stopping_ && clock_.steady_now() >= stop_at_)) {
    lock.wait_until(clock_, changed_, stopping_ ? std::min(next, stop_at_) : next);
  }
}

// Tries once; what has no answer yet stays in `ends`.
void Completer::settle(std::vector<JobEnd>& ends) {
  std::vector<JobEnd> to_write;
  std::vector<DeliveryTag> tags;
  for (JobEnd& end : ends) {
    if (!std::holds_alternative<Dropped>(end.how)) {
      if (held_.begin_ending(end.key)) to_write.push_back(std::move(end));
      continue;
    }
    metrics_.jobs.with({"lost"}).add();
    if (const auto job = held_.remove(end.key); job && !job->acked) tags.push_back(job->tag);
  }
  ends.clear();
  if (!tags.empty()) {
    on_settled_();
    ack(std::move(tags));
  }
  if (!to_write.empty()) write(std::move(to_write), ends);
}

void Completer::write(std::vector<JobEnd>&& ends, std::vector<JobEnd>& unanswered) {
  std::vector<Ending> endings;
  endings.reserve(ends.size());
  for (const JobEnd& end : ends) {
    const auto job = held_.begin_ending(end.key);
    Ending ending;
    ending.ref = job->ref;
    ending.worker_id = config_.worker_id;
    std::visit(
        [&ending](const auto& how) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(how)>, Dropped>) ending.how = how;
        },
        end.how);
    endings.push_back(std::move(ending));
  }
  SLUICE_FAILPOINT("worker.before_finish");
  const SteadyTime begin = clock_.steady_now();
  auto answers = store_.finish(endings, Deadline::in(clock_, config_.store_timeout));
  metrics_.finish_seconds.observe(seconds(clock_.steady_now() - begin));
  metrics_.finish_jobs.observe(static_cast<double>(ends.size()));
  if (answers && answers->size() == ends.size()) {
    answered(ends, std::move(*answers));
    return;
  }
  const Error error =
      answers ? Error{ErrorCode::kInternal, "finish: wrong number of answers"} : answers.error();
  metrics_.store_errors.with({"finish"}).add();
  log_.warn_limited(
      "finish_failed",
      {{"code", error_code_name(error.code)}, {"message", error.message}, {"jobs", ends.size()}});
  if (is_passing(error.code)) {
    std::move(ends.begin(), ends.end(), std::back_inserter(unanswered));
  } else if (ends.size() > 1) {
    // One that is refused must not keep its neighbours from being written.
    const auto middle = ends.begin() + static_cast<std::ptrdiff_t>(ends.size() / 2);
    std::vector<JobEnd> second(std::make_move_iterator(middle), std::make_move_iterator(ends.end()));
    ends.erase(middle, ends.end());
    write(std::move(ends), unanswered);
    write(std::move(second), unanswered);
  } else {
    refuse(std::move(ends.front()), error, unanswered);
  }
}

void Completer::refuse(JobEnd&& end, const Error& error, std::vector<JobEnd>& unanswered) {
  if (error.code ==
      ErrorCode::kInternal) {  // A defect here or there, not this end's fault: it waits for its repair.
    unanswered.push_back(std::move(end));
    return;
  }
  ++end.refusals;
  log_.error("ending_refused",
             {{"start", end.key}, {"code", error_code_name(error.code)}, {"refusals", end.refusals}});
  if (end.refusals <= 2) {
    end.how = refused(end.refusals);
    unanswered.push_back(std::move(end));
    return;
  }
  // Nothing that we could write is accepted. Its lease lapses, and the rescuer decides.
  metrics_.jobs.with({"refused"}).add();
  if (const auto job = held_.remove(end.key); job && !job->acked) ack({job->tag});
  on_settled_();
}

void Completer::answered(std::vector<JobEnd>& ends, std::vector<EndingResult>&& answers) {
  SLUICE_FAILPOINT("worker.after_commit");
  std::vector<DeliveryTag> tags;
  std::vector<EndingResult> ended;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    const bool released = std::holds_alternative<Released>(ends[i].how);
    std::string_view outcome = "lost";
    if (answers[i].outcome == EndingOutcome::kRequeued) outcome = released ? "released" : "retried";
    if (answers[i].outcome == EndingOutcome::kEnded && answers[i].job) {
      outcome = job_state_name(answers[i].job->state);
    }
    metrics_.jobs.with({outcome}).add();
    BatchId batch;
    if (answers[i].job) {
      batch = answers[i].job->batch_id;
      ended.push_back(std::move(answers[i]));
    }
    const auto job = held_.remove(ends[i].key);
    if (!job->acked) tags.push_back(job->tag);
    log_end(*job, ends[i].how, outcome, batch);
  }
  on_settled_();
  if (!ended.empty()) {
    if (const Status put = cache_.put(ended, Deadline::in(clock_, config_.cache_timeout)); !put) {
      metrics_.redis_errors.add();
      log_.warn_limited("redis_failed", {{"message", put.error().message}});
    }
  }
  SLUICE_FAILPOINT("worker.after_redis");
  ack(std::move(tags));
}

void Completer::log_end(const HeldJob& job, const decltype(JobEnd::how)& how, std::string_view outcome,
                        const BatchId& batch) const {
  Log log = log_.with({{"job_id", job.ref.id.value}, {"attempt", job.ref.attempt}, {"outcome", outcome}});
  if (!batch.value.empty()) log = log.with({{"batch_id", batch.value}});
  if (const auto* failed = std::get_if<Failed>(&how)) {
    log.info("job_failed", {{"code", failed->error.code}});
  } else {
    log.info("job_ended");
  }
}

void Completer::ack(std::vector<DeliveryTag> tags) {
  if (tags.empty()) return;
  source_.ack(tags);
  metrics_.acks.add(static_cast<double>(tags.size()));
}

}  // namespace sluice::worker
