// What is read beside the run: CPU time of processes, metrics pages, the database's counters and the jobs'
// own times.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bench/load/options.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/mysql/mysql.h"

namespace sluice::bench {

// Seconds of CPU that each process and its descendants have used so far; a process that is gone is left out.
std::map<std::string, double> cpu_seconds(const std::vector<std::string>& named_pids);
// The same of the whole machine, and of this process.
double machine_cpu_seconds();
double own_cpu_seconds();
int usable_cpus();

// Series of metrics pages: "name{labels}" → value, those of each page under "page/". A page that can't be
// read is left out.
using Series = std::map<std::string, double>;
Series read_metrics(const std::vector<std::string>& named_urls);
// Growth of the sum over all series called `name`, whatever page and labels.
double growth(const Series& before, const Series& after, const std::string& name);

// Counters of SHOW GLOBAL STATUS that tell what a job costs the database.
using Counters = std::map<std::string, double>;
Result<Counters> mysql_counters(MysqlPool& pool, Deadline deadline);

// Times of the jobs created since `since_us`, from the database.
struct JobTimes {
  std::int64_t ended = 0;
  std::int64_t succeeded = 0;
  double seconds = 0;                 // From the first creation to the last end.
  std::vector<double> end_to_end_ms;  // Created to ended.
  std::vector<double> queued_ms;      // Created to started (its last start).
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
};
Result<std::int64_t> database_now_us(MysqlPool& pool, Deadline deadline);
Result<std::int64_t> count_unended(MysqlPool& pool, std::int64_t since_us, Deadline deadline);
Result<JobTimes> job_times(MysqlPool& pool, std::int64_t since_us, Deadline deadline);

}  // namespace sluice::bench
