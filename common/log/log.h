// One JSON line per event on standard error: a fixed event name, the data in fields, ids bound once.
//
//   const Log job_log = log.with({{"job_id", job.id.value}, {"attempt", job.attempt}});
//   job_log.info("job_claimed", {{"queue_wait_ms", wait_ms}});
//
// Safe for concurrent use; lines are never torn. Never pass prompts, completions or secrets.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include "common/base/clock.h"
#include "common/base/result.h"

namespace sluice {

enum class LogLevel { kDebug, kInfo, kWarn, kError };
std::string_view log_level_name(LogLevel level);

struct LogField {
  std::string_view name;
  std::variant<std::int64_t, double, bool, std::string> value;

  LogField(std::string_view n, const char* v) : name(n), value(std::string(v)) {}
  LogField(std::string_view n, std::string v) : name(n), value(std::move(v)) {}
  LogField(std::string_view n, std::string_view v) : name(n), value(std::string(v)) {}
  LogField(std::string_view n, bool v) : name(n), value(v) {}
  LogField(std::string_view n, double v) : name(n), value(v) {}
  template <class T>
  requires std::is_integral_v<T> LogField(std::string_view n, T v)
      : name(n), value(static_cast<std::int64_t>(v)) {}
};
using LogFields = std::initializer_list<LogField>;

// Where lines go. The default writes each line with one write(2) to standard error.
class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void write(std::string_view line) = 0;
};
std::shared_ptr<LogSink> stderr_sink();

class Log {
 public:
  // `clock` must outlive every copy.
  Log(std::string service, LogLevel level, const Clock& clock, std::shared_ptr<LogSink> sink = stderr_sink());

  Log with(LogFields fields) const;
  void debug(std::string_view event, LogFields fields = {}) const { write(LogLevel::kDebug, event, fields); }
  void info(std::string_view event, LogFields fields = {}) const { write(LogLevel::kInfo, event, fields); }
  void warn(std::string_view event, LogFields fields = {}) const { write(LogLevel::kWarn, event, fields); }
  void error(std::string_view event, LogFields fields = {}) const { write(LogLevel::kError, event, fields); }
  // For what an outage would repeat: at most one line a second for each event name, with the count of those
  // left out.
  void warn_limited(std::string_view event, LogFields fields = {}) const;

 private:
  struct Shared;
  void write(LogLevel level, std::string_view event, LogFields fields, std::int64_t left_out = 0) const;

  std::shared_ptr<Shared> shared_;
  std::string bound_;  // Already rendered `,"name":value` pairs.
};

}  // namespace sluice
