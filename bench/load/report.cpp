#include "bench/load/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace sluice::bench {

namespace {

using nlohmann::json;

double rounded(double value, double step = 0.01) {
  return std::round(value / step) * step;
}

json quantiles(const std::vector<double>& values) {
  return {{"count", values.size()},
          {"p50", rounded(percentile(values, 0.50))},
          {"p99", rounded(percentile(values, 0.99))},
          {"max", rounded(percentile(values, 1.0))}};
}

// Mean of a histogram's observations during the run; 0 without any.
double mean_of(const Measured& m, const std::string& histogram) {
  const double count = growth(m.metrics_before, m.metrics_after, histogram + "_count");
  return count > 0 ? growth(m.metrics_before, m.metrics_after, histogram + "_sum") / count : 0;
}

json workers(const Measured& m) {
  return {
      {"jobs_per_step", rounded(mean_of(m, "sluice_worker_batch_jobs"))},
      {"step_ms", rounded(mean_of(m, "sluice_worker_step_seconds") * 1000)},
      {"jobs_per_claim", rounded(mean_of(m, "sluice_worker_claim_jobs"))},
      {"claim_ms", rounded(mean_of(m, "sluice_worker_claim_seconds") * 1000)},
      {"jobs_per_finish", rounded(mean_of(m, "sluice_worker_finish_jobs"))},
      {"finish_ms", rounded(mean_of(m, "sluice_worker_finish_seconds") * 1000)},
      {"queue_wait_ms", rounded(mean_of(m, "sluice_worker_queue_wait_seconds") * 1000)},
      {"place_wait_ms", rounded(mean_of(m, "sluice_worker_place_wait_seconds") * 1000)},
      {"duplicates", growth(m.metrics_before, m.metrics_after, "sluice_worker_duplicates_total")},
      {"engine_busy", rounded(growth(m.metrics_before, m.metrics_after, "sluice_worker_step_seconds_sum") /
                              m.wall_seconds)}};
}

// What to look at first.
std::string limit(const json& report) {
  const double machine = report["cpu"]["machine"];
  const json& processes = report["cpu"]["processes"];
  const double others = processes["others"];
  std::string largest;
  double share = -1;
  for (const auto& [name, value] : processes.items()) {
    if (name != "others" && value.get<double>() > share) {
      largest = name;
      share = value.get<double>();
    }
  }
  char text[200];
  if (machine >= 0.85 && others > 0.15 * report["cpu"]["cpus"].get<double>()) {
    std::snprintf(
        text, sizeof text,
        "other programs on this machine: they took %.2f of its %d CPUs, so these numbers say little", others,
        report["cpu"]["cpus"].get<int>());
  } else if (machine >= 0.85) {
    std::snprintf(text, sizeof text, "the machine's %d CPUs (%.0f %% used); most of it by %s (%.2f CPUs)",
                  report["cpu"]["cpus"].get<int>(), machine * 100, largest.c_str(), share);
  } else if (report["worker"]["engine_busy"].get<double>() >= 0.85) {
    std::snprintf(text, sizeof text, "the engine: it computes %.0f %% of the time",
                  report["worker"]["engine_busy"].get<double>() * 100);
  } else {
    std::snprintf(text, sizeof text,
                  "waiting, not computing (%.0f %% of the CPUs used): claims take %.1f ms, endings %.1f ms, "
                  "accepting %.1f ms",
                  machine * 100, report["worker"]["claim_ms"].get<double>(),
                  report["worker"]["finish_ms"].get<double>(), report["accept_ms"]["p50"].get<double>());
  }
  return text;
}

}  // namespace

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(values.size())));
  const std::size_t index = std::min(values.size() - 1, rank == 0 ? 0 : rank - 1);
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(index), values.end());
  return values[index];
}

json report(const Options& options, const Measured& m) {
  json cpu = {{"cpus", m.cpus}, {"machine", rounded(m.machine_cpu / m.wall_seconds / m.cpus)}};
  double known = 0;
  for (const auto& [name, seconds] : m.cpu) {
    cpu["processes"][name] = rounded(seconds / m.wall_seconds);
    known += seconds;
  }
  cpu["processes"]["others"] = rounded(std::max(0.0, m.machine_cpu - known) / m.wall_seconds);
  const double ended = static_cast<double>(std::max<std::int64_t>(1, m.jobs.ended));
  json mysql;
  for (const auto& [name, grown] : m.mysql) mysql[name] = rounded(grown / ended, 0.001);
  json out = {
      {"bench", "load"},
      {"label", options.label},
      {"jobs", options.jobs},
      {"concurrency", options.concurrency},
      {"batch", options.batch},
      {"accepted", m.load.accepted_jobs},
      {"refusals", m.load.refusals},
      {"failed_requests", m.load.failed_requests},
      {"errors", m.load.errors},
      {"ended", m.jobs.ended},
      {"succeeded", m.jobs.succeeded},
      {"accepted_per_s", rounded(m.load.accepted_jobs / std::max(1e-9, m.load.submit_seconds), 0.1)},
      {"finished_per_s", rounded(static_cast<double>(m.jobs.ended) / std::max(1e-9, m.jobs.seconds), 0.1)},
      {"prompt_tokens_per_s",
       rounded(static_cast<double>(m.jobs.prompt_tokens) / std::max(1e-9, m.jobs.seconds), 0.1)},
      {"completion_tokens_per_s",
       rounded(static_cast<double>(m.jobs.completion_tokens) / std::max(1e-9, m.jobs.seconds), 0.1)},
      {"accept_ms", quantiles(m.load.accept_ms)},
      {"end_to_end_ms", quantiles(m.jobs.end_to_end_ms)},
      {"queued_ms", quantiles(m.jobs.queued_ms)},
      {"client_wait_ms", quantiles(m.load.watched_ms)},
      {"wall_s", rounded(m.wall_seconds)},
      {"cpu", cpu},
      {"mysql_per_job", mysql},
      {"worker", workers(m)},
  };
  out["limit"] = limit(out);
  return out;
}

std::string report_text(const json& r) {
  std::string out;
  char line[300];
  const auto add = [&](const char* format, auto... values) {
    std::snprintf(line, sizeof line, format, values...);
    out += line;
  };
  const auto number = [](const json& value) { return value.get<double>(); };
  const auto spread = [&](const char* name, const json& q, const char* what) {
    add("%-14s p50 %9.1f ms   p99 %9.1f ms   max %9.1f ms   (%s)\n", name, number(q["p50"]), number(q["p99"]),
        number(q["max"]), what);
  };
  add("%d jobs, %d connections, %d a request: %lld accepted, %lld ended, %lld succeeded\n",
      r["jobs"].get<int>(), r["concurrency"].get<int>(), r["batch"].get<int>(),
      r["accepted"].get<long long>(), r["ended"].get<long long>(), r["succeeded"].get<long long>());
  if (r["refusals"].get<int>() + r["failed_requests"].get<int>() > 0) {
    add("%d requests refused and tried again, %d failed\n", r["refusals"].get<int>(),
        r["failed_requests"].get<int>());
    for (const auto& error : r["errors"]) out += "  " + error.get<std::string>() + "\n";
  }
  add("accepted       %9.1f jobs/s\n", number(r["accepted_per_s"]));
  add("finished       %9.1f jobs/s   (%.0f prompt and %.0f answer tokens/s)\n", number(r["finished_per_s"]),
      number(r["prompt_tokens_per_s"]), number(r["completion_tokens_per_s"]));
  spread("accept", r["accept_ms"], "request to 202");
  spread("end to end", r["end_to_end_ms"], "row committed to result committed");
  spread("queued", r["queued_ms"], "row committed to claim");
  spread("client waits", r["client_wait_ms"], "request to the answer of ?wait=, a sample");
  add("CPU            %.0f %% of %d:", number(r["cpu"]["machine"]) * 100, r["cpu"]["cpus"].get<int>());
  std::vector<std::pair<double, std::string>> shares;
  for (const auto& [name, value] : r["cpu"]["processes"].items())
    shares.emplace_back(value.get<double>(), name);
  std::sort(shares.rbegin(), shares.rend());
  for (const auto& [share, name] : shares) add(" %s %.2f", name.c_str(), share);
  out += "\nMySQL per job ";
  for (const auto& [name, value] : r["mysql_per_job"].items())
    add(" %s %.2f", name.c_str(), value.get<double>());
  const json& w = r["worker"];
  add("\nworker         %.1f jobs a step of %.2f ms, %.1f a claim of %.1f ms, %.1f an ending of %.1f ms\n",
      number(w["jobs_per_step"]), number(w["step_ms"]), number(w["jobs_per_claim"]), number(w["claim_ms"]),
      number(w["jobs_per_finish"]), number(w["finish_ms"]));
  add("               waited %.0f ms in the queue and %.1f ms for a place; the engine computed %.0f %% of "
      "the time\n",
      number(w["queue_wait_ms"]), number(w["place_wait_ms"]), number(w["engine_busy"]) * 100);
  out += "limit          " + r["limit"].get<std::string>() + "\n";
  return out;
}

}  // namespace sluice::bench
