#include "worker/consumer/job_runner.h"

#include <unistd.h>

#include <array>
#include <cctype>
#include <cstdio>
#include <utility>

#include "common/config/settings.h"

namespace sluice::worker {

namespace {

// For the endings of what is given back; the supervisor kills after 30 s in all.
constexpr Duration kFlushTime = std::chrono::seconds(5);

JobRunnerConfig completed(JobRunnerConfig config, const std::string& worker_id, const Engine& engine) {
  config.intake.worker_id = worker_id;
  config.intake.model = engine.info().model;
  config.completer.worker_id = worker_id;
  config.lease.worker_id = worker_id;
  config.queue_watch.model = engine.info().model;
  return config;
}

// What the engine itself did, whatever becomes of it: from these lines one can count what was computed twice.
void log_computed(const Completion& completion, const Log& log) {
  const bool answered = std::holds_alternative<Generation>(completion.how);
  if (!answered && !std::holds_alternative<Error>(completion.how)) return;
  log.debug("engine_done", {{"start", completion.key}, {"answered", answered}});
}

std::vector<JobEnd> ends_of(std::vector<Completion>&& completions, const WorkerMetrics& metrics,
                            const Log& log) {
  std::vector<JobEnd> ends;
  ends.reserve(completions.size());
  for (Completion& completion : completions) {
    if (completion.computed > Duration::zero()) {
      metrics.place_wait_seconds.observe(std::chrono::duration<double>(completion.waited).count());
      metrics.job_seconds.observe(std::chrono::duration<double>(completion.computed).count());
    }
    if (const auto* answer = std::get_if<Generation>(&completion.how);
        answer != nullptr && !answer->weight_type.empty()) {
      metrics.answers.with({answer->weight_type}).add();
    }
    log_computed(completion, log);
    ends.push_back(end_of(std::move(completion)));
  }
  return ends;
}

}  // namespace

void bind(config::Settings& settings, JobRunnerConfig& config) {
  using namespace std::chrono_literals;
  bind(settings, config.batcher);
  settings
      .add("held-jobs-max", config.intake.held_max,
           "Most jobs claimed and not ended, unwritten results included")
      .range(1, 100'000)
      .unit("jobs");
  settings.add("finish-jobs-max", config.completer.ends_max, "Most jobs ended by one transaction")
      .range(1, 2000)
      .unit("jobs");
  settings
      .add("heartbeat-interval", config.lease.interval,
           "Between two heartbeats; the lease must be much longer")
      .range(50ms, 60s);
  settings.add("ack-after", config.lease.ack_after, "Messages of jobs that run for longer are acked early")
      .range(100ms, 1'700'000ms);
  settings
      .add("fast-queue-depth", config.queue_watch.deep_jobs,
           "While more jobs wait, those of adaptive precision are computed by model-fast")
      .range(0, 1'000'000)
      .unit("jobs");
  settings
      .add("live-write-every", config.live.write_every,
           "How often the text of watched jobs is told: less often in larger pieces")
      .range(5ms, 10s);
  settings.add("drain-timeout", config.drain_timeout, "How long running jobs may go on at a stop")
      .range(0ms, 1h);
}

JobRunner::JobRunner(JobRunnerConfig config, const std::string& worker_id, JobStore& store, Engine& engine,
                     TaskSource& source, ResultCache& cache, LiveSink& live, Clock& clock, Rng& rng, Log log,
                     metrics::Registry& registry)
    : config_(completed(std::move(config), worker_id, engine)),
      clock_(clock),
      source_(source),
      log_(std::move(log)),
      metrics_(WorkerMetrics::make(registry)),
      live_(config_.live, live, clock, log_, metrics_),
      completer_(config_.completer, store, held_, source, cache, clock, rng, log_, metrics_,
                 [this] { intake_.wake(); }),
      batcher_(
          config_.batcher, engine, clock, BatcherMetrics::make(registry),
          [this](std::vector<Completion>&& completions) {
            for (const Completion& completion : completions) live_.end(completion.key);
            completer_.push(ends_of(std::move(completions), metrics_, log_));
            intake_.wake();
          },
          [this](std::vector<Progress>&& progress) { live_.add(progress); }),
      queue_watch_(config_.queue_watch, store, clock, log_, metrics_),
      intake_(config_.intake, store, engine, queue_watch_, batcher_, completer_, held_, live_, source, clock,
              rng, log_, metrics_),
      lease_keeper_(config_.lease, store, held_, batcher_, source, clock, log_, metrics_),
      has_choice_(!engine.info().fast_weight_type.empty()) {}

JobRunner::~JobRunner() {
  stop();
}

void JobRunner::start() {
  completer_.start();
  batcher_.start();
  if (has_choice_) queue_watch_.start();
  live_.start();
  intake_.start();
  lease_keeper_.start();
}

void JobRunner::set_draining(bool draining) {
  MutexLock lock(drain_mutex_);
  if (draining == draining_ || leaving_) return;
  draining_ = draining;
  metrics_.draining.set(draining ? 1 : 0);
  log_.info(draining ? "taking_nothing_new" : "taking_jobs_again", {{"held_jobs", held_.size()}});
  if (draining) {
    source_.pause();
    intake_.hold(true);
  } else {
    intake_.hold(false);
    source_.resume();
  }
}

bool JobRunner::drain() {
  if (ended_) return true;
  log_.info("drain_began", {{"held_jobs", held_.size()}});
  {
    MutexLock lock(drain_mutex_);
    leaving_ = true;
    source_.pause();
    intake_.hold(true);
  }
  batcher_.give_back_waiting();
  const SteadyTime finish_by = clock_.steady_now() + config_.drain_timeout;
  held_.wait_empty(clock_, finish_by);
  batcher_.give_back_running();
  held_.wait_empty(clock_,
                   clock_.steady_now() + std::chrono::duration_cast<SteadyTime::duration>(kFlushTime));
  // A claim may still have been under way; what it brings is refused by the batcher and given back.
  intake_.stop();
  queue_watch_.stop();
  batcher_.stop();
  live_.stop();
  const bool written =
      completer_.stop(clock_.steady_now() + std::chrono::duration_cast<SteadyTime::duration>(kFlushTime));
  lease_keeper_.stop();
  ended_ = true;
  log_.info("drain_ended", {{"held_jobs", held_.size()}, {"all_written", written}});
  return written;
}

void JobRunner::stop() {
  if (ended_) return;
  ended_ = true;
  {
    MutexLock lock(drain_mutex_);
    leaving_ = true;
  }
  intake_.stop();
  queue_watch_.stop();
  batcher_.stop();
  live_.stop();
  completer_.stop(clock_.steady_now() + std::chrono::seconds(1));
  lease_keeper_.stop();
}

std::string make_worker_id(Rng& rng) {
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host = {'h', 'o', 's', 't'};
  std::string name(host.data());
  // The column holds 100 characters of ASCII.
  if (name.size() > 60) name.resize(60);
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.' && c != '-') c = '_';
  }
  std::array<char, 48> tail{};
  std::snprintf(tail.data(), tail.size(), "-%d-%08x", static_cast<int>(getpid()),
                static_cast<unsigned>(rng.next() & 0xffffffffU));
  return name + tail.data();
}

}  // namespace sluice::worker
