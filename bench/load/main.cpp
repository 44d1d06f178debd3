#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <exception>
#include <mutex>
#include <nlohmann/json.hpp>

#include "bench/load/http_load.h"
#include "bench/load/measure.h"
#include "bench/load/report.h"
#include "common/base/signals.h"
#include "common/log/log.h"

namespace {

using namespace sluice;
using namespace sluice::bench;

constexpr std::chrono::seconds kQueryTimeout{20};

void pause(Clock& clock, Duration time) {
  std::mutex mutex;
  std::condition_variable never;
  std::unique_lock lock(mutex);
  const SteadyTime until = clock.steady_now() + std::chrono::duration_cast<SteadyTime::duration>(time);
  while (clock.steady_now() < until) clock.wait_until(never, lock, until);
}

Status wait_until_all_ended(const Options& options, MysqlPool& pool, std::int64_t since_us, Clock& clock) {
  const SteadyTime until = clock.steady_now() + options.timeout;
  while (clock.steady_now() < until) {
    SLUICE_ASSIGN(const std::int64_t left, count_unended(pool, since_us, Deadline::in(clock, kQueryTimeout)));
    if (left == 0) return {};
    pause(clock, std::chrono::milliseconds(100));
  }
  return fail(ErrorCode::kDeadline, "some jobs have not ended within the timeout");
}

Result<Measured> measure(const Options& options, Clock& clock, Rng& rng) {
  const Log log("bench", LogLevel::kError, clock);
  MysqlPool pool(options.mysql, clock, rng, log);
  const auto soon = [&clock] { return Deadline::in(clock, kQueryTimeout); };
  SLUICE_ASSIGN(const std::vector<Submission> submissions, make_submissions(options));
  SLUICE_ASSIGN(const std::int64_t since_us, database_now_us(pool, soon()));

  Measured m;
  m.cpus = usable_cpus();
  m.metrics_before = read_metrics(options.metrics);
  SLUICE_ASSIGN(const Counters counters_before, mysql_counters(pool, soon()));
  const auto cpu_before = cpu_seconds(options.processes);
  const double machine_before = machine_cpu_seconds();
  const double own_before = own_cpu_seconds();
  const SteadyTime begin = clock.steady_now();

  SLUICE_ASSIGN(m.load, run_load(options, submissions, clock));
  SLUICE_TRY(wait_until_all_ended(options, pool, since_us, clock));

  m.wall_seconds = std::chrono::duration<double>(clock.steady_now() - begin).count();
  m.machine_cpu = machine_cpu_seconds() - machine_before;
  m.cpu = cpu_seconds(options.processes);
  for (auto& [name, seconds] : m.cpu) seconds -= cpu_before.contains(name) ? cpu_before.at(name) : 0;
  m.cpu["client"] = own_cpu_seconds() - own_before;
  SLUICE_ASSIGN(m.mysql, mysql_counters(pool, soon()));
  for (auto& [name, value] : m.mysql) value -= counters_before.at(name);
  m.metrics_after = read_metrics(options.metrics);
  SLUICE_ASSIGN(m.jobs, job_times(pool, since_us, soon()));
  return m;
}

int run(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  config::Settings settings("sluice-bench-load",
                            "Submits jobs to a running stack and says how fast they end, and why.");
  Options options;
  bind(settings, options);
  if (const auto code = settings.load(argc, argv)) return *code;
  raise_open_files_limit();
  SystemClock clock;
  SystemRng rng;
  const auto measured = measure(options, clock, rng);
  if (!measured) {
    std::fprintf(stderr, "sluice-bench-load: %s\n", measured.error().message.c_str());
    return 1;
  }
  const nlohmann::json result = report(options, *measured);
  std::printf("%s", options.json ? (result.dump() + "\n").c_str() : report_text(result).c_str());
  // A run that lost a job measured nothing.
  return measured->load.failed_requests == 0 && measured->jobs.ended == options.jobs ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "sluice-bench-load: %s\n", e.what());
    return 1;
  }
}
