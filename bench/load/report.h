// Turns what was measured into a page for people or a line for machines.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "bench/load/http_load.h"
#include "bench/load/measure.h"
#include "bench/load/options.h"

namespace sluice::bench {

struct Measured {
  LoadResult load;
  JobTimes jobs;
  double wall_seconds = 0;            // From the first request until every job had ended.
  std::map<std::string, double> cpu;  // Seconds of each process, this one ("client") included.
  double machine_cpu = 0;
  int cpus = 1;
  Counters mysql;  // Growth.
  Series metrics_before;
  Series metrics_after;
};

// The value below which `share` of `values` lie (nearest rank); 0 if there are none.
double percentile(std::vector<double> values, double share);
nlohmann::json report(const Options& options, const Measured& measured);
std::string report_text(const nlohmann::json& report);

}  // namespace sluice::bench
