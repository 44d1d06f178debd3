#include "producer/live/estimator.h"

#include <algorithm>
#include <utility>

namespace sluice::producer {

namespace {

constexpr std::chrono::seconds kIdle{60};
constexpr std::int64_t kMicros = 1'000'000;

// Whole seconds, rounded up: more would pretend to know.
std::int64_t later(std::int64_t us, std::int64_t tokens, std::int64_t per_s) {
  return us + (tokens + per_s - 1) / per_s * kMicros;
}

}  // namespace

Estimator::Estimator(LiveStore& live, JobStore& jobs, std::vector<std::string> models, EstimatorConfig config,
                     Clock& clock, Log log)
    : live_(live),
      jobs_(jobs),
      names_(std::move(models)),
      config_(config),
      clock_(clock),
      log_(std::move(log)),
      loop_("estimator", clock, [this] { return run_once(); }) {}

std::int64_t Estimator::Queue::tokens_all() const {
  const std::int64_t counted = tokens.back();
  const auto front = static_cast<std::int64_t>(ids.size());
  return front == 0 || jobs <= front ? counted : counted + counted / front * (jobs - front);
}

Duration Estimator::run_once() {
  {
    MutexLock lock(mutex_);
    asleep_ = clock_.steady_now() - asked_at_ >= config_.asked_for;
    if (asleep_) return kIdle;
  }
  for (const std::string& name : names_) {
    auto model = look(name);
    if (!model) {
      log_.warn_limited("estimate_failed", {{"error", model.error().message}});
      break;
    }
    MutexLock lock(mutex_);
    models_[name] = std::move(*model);
    looked_.notify_all();
  }
  return config_.look_every;
}

Result<Estimator::Model> Estimator::look(const std::string& name) {
  const Deadline deadline = Deadline::in(clock_, config_.store_timeout);
  Model model;
  {
    MutexLock lock(mutex_);
    model = models_[name];
  }
  model.at = clock_.steady_now();
  SLUICE_ASSIGN(model.rate, live_.fleet_rate(name, deadline));
  for (int p = 0; p < kPriorities; ++p) {
    Queue& queue = model.queues[static_cast<std::size_t>(p)];
    const auto priority = static_cast<Priority>(p);
    SLUICE_ASSIGN(auto front, live_.queue_front(name, priority, config_.front_max, deadline));
    // Ids begin with the time of their making.
    std::sort(front.begin(), front.end(),
              [](const WaitingJob& a, const WaitingJob& b) { return a.id < b.id; });
    queue.ids.clear();
    queue.tokens.assign(1, 0);
    for (WaitingJob& job : front) {
      queue.tokens.push_back(queue.tokens.back() + job.tokens_max);
      queue.ids.push_back(std::move(job.id.value));
    }
    const auto in_front = static_cast<std::int64_t>(queue.ids.size());
    if (in_front < config_.front_max) {
      queue.jobs = in_front;
      queue.counted_at = {};
    } else if (queue.counted_at == SteadyTime{} || model.at - queue.counted_at >= config_.count_every) {
      SLUICE_ASSIGN(queue.jobs, jobs_.count_queued(name, priority, config_.count_max, deadline));
      queue.counted_at = model.at;
    }
    queue.jobs = std::max(queue.jobs, in_front);
  }
  return model;
}

void Estimator::asked() {
  asked_at_ = clock_.steady_now();
  if (std::exchange(asleep_, false)) loop_.wake();
}

const Estimator::Model* Estimator::known(const std::string& name) {
  asked();
  const auto found = models_.find(name);
  if (found == models_.end() || clock_.steady_now() - found->second.at > config_.good_for) return nullptr;
  return &found->second;
}

Estimator::Load Estimator::waiting(const Model& model, int classes) {
  Load load;
  for (int p = 0; p < classes; ++p) {
    const Queue& queue = model.queues[static_cast<std::size_t>(p)];
    load.jobs += queue.jobs;
    load.tokens += queue.tokens_all();
  }
  return load;
}

// Of a job of `own` tokens.
Estimate Estimator::after(const Model& model, const Load& before, std::int64_t own) const {
  Estimate estimate;
  estimate.queue_position = before.jobs;
  const FleetRate& rate = model.rate;
  if (rate.places == 0 || rate.tokens_per_s == 0) return estimate;
  const std::int64_t now = unix_seconds(clock_.wall_now()) * kMicros;
  estimate.start_us = now;
  if (before.jobs + rate.held_jobs >= rate.places) {
    // What runs is half done, on average, and like the rest.
    const std::int64_t usual = before.jobs > 0 ? before.tokens / before.jobs : own;
    estimate.start_us = later(now, before.tokens + usual * rate.held_jobs / 2, rate.tokens_per_s);
  }
  if (rate.job_tokens_per_s > 0) estimate.finish_us = later(estimate.start_us, own, rate.job_tokens_per_s);
  return estimate;
}

std::optional<Estimate> Estimator::of(const JobGlance& job) {
  MutexLock lock(mutex_);
  const Model* const model = known(job.model);
  if (model == nullptr) return std::nullopt;
  if (job.state == JobState::kRunning) {
    Estimate estimate;
    const std::int64_t now = unix_micros(clock_.wall_now());
    if (model->rate.job_tokens_per_s > 0)
      estimate.finish_us = later(job.started_us, job.tokens_max, model->rate.job_tokens_per_s);
    if (estimate.finish_us < now) estimate.finish_us = 0;  // Slower than usual: nobody knows.
    return estimate;
  }
  Load load = waiting(*model, static_cast<int>(job.priority));
  const Queue& own = model->queues[static_cast<std::size_t>(job.priority)];
  const auto before = static_cast<std::size_t>(
      std::lower_bound(own.ids.begin(), own.ids.end(), job.id.value) - own.ids.begin());
  const bool behind_front = before == own.ids.size() && own.jobs > static_cast<std::int64_t>(before);
  if (behind_front) return std::nullopt;
  load.jobs += static_cast<std::int64_t>(before);
  load.tokens += own.tokens[before];
  return after(*model, load, job.tokens_max);
}

Estimate Estimator::after_all(const Model& model, Priority priority, std::int64_t own) const {
  return after(model, waiting(model, static_cast<int>(priority) + 1), own);
}

std::optional<Estimate> Estimator::of_new(const std::string& name, Priority priority,
                                          std::int64_t tokens_max) {
  MutexLock lock(mutex_);
  const Model* const model = known(name);
  if (model == nullptr) return std::nullopt;
  return after_all(*model, priority, tokens_max);
}

std::optional<Estimate> Estimator::of_batch(const std::string& name, Priority priority, std::int64_t jobs,
                                            std::int64_t tokens_max, Deadline deadline) {
  MutexLock lock(mutex_);
  const Model* model = known(name);
  while (model == nullptr && !deadline.passed(clock_)) {
    lock.wait_until(clock_, looked_, deadline.at());
    model = known(name);
  }
  if (model == nullptr || jobs == 0) return std::nullopt;
  Estimate estimate = after_all(*model, priority, tokens_max / jobs);
  // The last job ends no sooner than its own time, nor than all of them take together.
  if (estimate.finish_us > 0)
    estimate.finish_us =
        std::max(estimate.finish_us, later(estimate.start_us, tokens_max, model->rate.tokens_per_s));
  return estimate;
}

}  // namespace sluice::producer
