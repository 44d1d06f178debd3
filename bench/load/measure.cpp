#include "bench/load/measure.h"

#include <dirent.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

#include "bench/load/http_load.h"

namespace sluice::bench {

namespace {

struct ProcessStat {
  int parent = 0;
  double seconds = 0;
};

// All processes, as /proc shows them.
std::map<int, ProcessStat> all_processes() {
  std::map<int, ProcessStat> found;
  DIR* folder = ::opendir("/proc");
  if (folder == nullptr) return found;
  const double ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  while (const dirent* entry = ::readdir(folder)) {
    const int pid = std::atoi(entry->d_name);
    if (pid <= 0) continue;
    std::ifstream file("/proc/" + std::string(entry->d_name) + "/stat");
    std::string text;
    std::getline(file, text);
    // The name in brackets may hold anything.
    const std::size_t name_end = text.rfind(')');
    if (name_end == std::string::npos) continue;
    std::istringstream fields(text.substr(name_end + 1));
    std::vector<std::string> values;
    for (std::string value; fields >> value;) values.push_back(std::move(value));
    if (values.size() < 15) continue;
    found[pid] = {std::atoi(values[1].c_str()),
                  (std::atof(values[11].c_str()) + std::atof(values[12].c_str())) / ticks};
  }
  ::closedir(folder);
  return found;
}

std::pair<std::string, std::string> split(const std::string& named) {
  const std::size_t equals = named.find('=');
  if (equals == std::string::npos) return {named, ""};
  return {named.substr(0, equals), named.substr(equals + 1)};
}

}  // namespace

std::map<std::string, double> cpu_seconds(const std::vector<std::string>& named_pids) {
  const auto processes = all_processes();
  std::map<std::string, double> sums;
  for (const std::string& named : named_pids) {
    const auto [name, pid] = split(named);
    std::set<int> family{std::atoi(pid.c_str())};
    if (!processes.contains(*family.begin())) continue;
    for (bool grew = true; grew;) {
      grew = false;
      for (const auto& [id, stat] : processes) {
        if (family.contains(stat.parent)) grew = family.insert(id).second || grew;
      }
    }
    for (const int id : family) sums[name] += processes.at(id).seconds;
  }
  return sums;
}

double machine_cpu_seconds() {
  std::ifstream file("/proc/stat");
  std::string word;
  file >> word;
  double values[8] = {};
  for (double& value : values) file >> value;
  // user, nice, system, (idle, iowait), irq, softirq; what others took of a virtual machine is not ours.
  return (values[0] + values[1] + values[2] + values[5] + values[6]) /
         static_cast<double>(::sysconf(_SC_CLK_TCK));
}

double own_cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

int usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

Series read_metrics(const std::vector<std::string>& named_urls) {
  Series series;
  for (const std::string& named : named_urls) {
    const auto [name, url] = split(named);
    const auto page = http_get(url);
    if (!page) continue;
    std::istringstream lines(*page);
    for (std::string line; std::getline(lines, line);) {
      const std::size_t space = line.rfind(' ');
      if (line.empty() || line[0] == '#' || space == std::string::npos) continue;
      series[name + "/" + line.substr(0, space)] = std::atof(line.c_str() + space + 1);
    }
  }
  return series;
}

double growth(const Series& before, const Series& after, const std::string& name) {
  double sum = 0;
  for (const auto& [key, value] : after) {
    const std::string plain = key.substr(key.find('/') + 1);
    if (plain != name && !plain.starts_with(name + "{")) continue;
    const auto found = before.find(key);
    sum += value - (found == before.end() ? 0 : found->second);
  }
  return sum;
}

Result<Counters> mysql_counters(MysqlPool& pool, Deadline deadline) {
  SLUICE_ASSIGN(
      const Rows rows,
      pool.query(Sql("SHOW GLOBAL STATUS WHERE Variable_name IN ('Questions', 'Com_select', 'Com_insert', "
                     "'Com_update', 'Com_commit', 'Innodb_os_log_fsyncs', 'Innodb_row_lock_time', "
                     "'Innodb_row_lock_waits')"),
                 deadline));
  Counters counters;
  for (const Row row : rows) counters[row.str(0)] = std::atof(row.str(1).c_str());
  return counters;
}

Result<std::int64_t> database_now_us(MysqlPool& pool, Deadline deadline) {
  SLUICE_ASSIGN(
      const Rows rows,
      pool.query(Sql("SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"), deadline));
  return rows.front().int64(0);
}

Result<std::int64_t> count_unended(MysqlPool& pool, std::int64_t since_us, Deadline deadline) {
  Sql sql(
      "SELECT COUNT(*) FROM job WHERE expire_due IS NOT NULL AND "
      "created_at >= '1970-01-01' + INTERVAL ? MICROSECOND");
  sql.bind(since_us);
  SLUICE_ASSIGN(const Rows rows, pool.query(sql, deadline));
  return rows.front().int64(0);
}

Result<JobTimes> job_times(MysqlPool& pool, std::int64_t since_us, Deadline deadline) {
  Sql sql(
      "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', j.created_at), "
      "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', j.started_at), "
      "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', j.finished_at), j.state = 'succeeded', "
      "COALESCE(r.prompt_tokens, 0), COALESCE(r.completion_tokens, 0) "
      "FROM job j LEFT JOIN job_result r ON r.job_id = j.id "
      "WHERE j.finished_at IS NOT NULL AND j.created_at >= '1970-01-01' + INTERVAL ? MICROSECOND");
  sql.bind(since_us);
  SLUICE_ASSIGN(const Rows rows, pool.query(sql, deadline));
  JobTimes times;
  std::int64_t first_us = 0;
  std::int64_t last_us = 0;
  for (const Row row : rows) {
    const std::int64_t created = row.int64(0);
    const std::int64_t finished = row.int64(2);
    if (times.ended == 0 || created < first_us) first_us = created;
    last_us = std::max(last_us, finished);
    ++times.ended;
    times.succeeded += row.int64(3);
    times.end_to_end_ms.push_back(static_cast<double>(finished - created) / 1000.0);
    times.queued_ms.push_back(static_cast<double>(row.int64_or(1, finished) - created) / 1000.0);
    times.prompt_tokens += row.int64(4);
    times.completion_tokens += row.int64(5);
  }
  times.seconds = static_cast<double>(last_us - first_us) / 1e6;
  return times;
}

}  // namespace sluice::bench
