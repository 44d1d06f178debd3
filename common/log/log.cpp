#include "common/log/log.h"

#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <ctime>
#include <map>
#include <nlohmann/json.hpp>

#include "common/base/mutex.h"

namespace sluice {

namespace {

class StderrSink final : public LogSink {
 public:
  void write(std::string_view line) override {
    // A failed write to the log has nowhere to be reported; the service must go on.
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
  }
};

std::string json_quoted(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void append_field(std::string& out, const LogField& field) {
  out += ',';
  out += json_quoted(field.name);
  out += ':';
  if (const auto* number = std::get_if<std::int64_t>(&field.value)) {
    out += std::to_string(*number);
  } else if (const auto* real = std::get_if<double>(&field.value)) {
    char text[32];
    std::snprintf(text, sizeof text, "%.6g", *real);
    out += std::isfinite(*real) ? text : "null";
  } else if (const auto* flag = std::get_if<bool>(&field.value)) {
    out += *flag ? "true" : "false";
  } else {
    out += json_quoted(std::get<std::string>(field.value));
  }
}

std::string timestamp(WallTime time) {
  const std::int64_t us = unix_micros(time);
  const std::time_t whole = static_cast<std::time_t>(us / 1'000'000);
  std::tm parts{};
  gmtime_r(&whole, &parts);
  char text[40];
  const std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text + length, sizeof text - length, ".%03dZ", static_cast<int>(us / 1000 % 1000));
  return text;
}

}  // namespace

std::string_view log_level_name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarn:
      return "warn";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

std::shared_ptr<LogSink> stderr_sink() {
  static const auto sink = std::make_shared<StderrSink>();
  return sink;
}

struct Log::Shared {
  std::string service;
  LogLevel level;
  const Clock& clock;
  std::shared_ptr<LogSink> sink;

  struct Limited {
    SteadyTime next;
    std::int64_t left_out = 0;
  };
  Mutex mutex;
  std::map<std::string, Limited, std::less<>> limited GUARDED_BY(mutex);
};

Log::Log(std::string service, LogLevel level, const Clock& clock, std::shared_ptr<LogSink> sink)
    : shared_(new Shared{std::move(service), level, clock, std::move(sink), {}, {}}) {}

Log Log::with(LogFields fields) const {
  Log copy = *this;
  for (const auto& field : fields) append_field(copy.bound_, field);
  return copy;
}

void Log::warn_limited(std::string_view event, LogFields fields) const {
  std::int64_t left_out = 0;
  {
    const SteadyTime now = shared_->clock.steady_now();
    MutexLock lock(shared_->mutex);
    auto found = shared_->limited.find(event);
    if (found == shared_->limited.end()) {
      found = shared_->limited.emplace(std::string(event), Shared::Limited{now, 0}).first;
    }
    if (now < found->second.next) {
      ++found->second.left_out;
      return;
    }
    left_out = std::exchange(found->second.left_out, 0);
    found->second.next = now + std::chrono::seconds(1);
  }
  write(LogLevel::kWarn, event, fields, left_out);
}

void Log::write(LogLevel level, std::string_view event, LogFields fields, std::int64_t left_out) const {
  if (level < shared_->level) return;
  std::string line = "{\"time\":\"" + timestamp(shared_->clock.wall_now()) + "\",\"level\":\"";
  line += log_level_name(level);
  line += "\",\"service\":" + json_quoted(shared_->service) + ",\"event\":" + json_quoted(event);
  line += bound_;
  for (const auto& field : fields) append_field(line, field);
  if (left_out > 0) line += ",\"left_out\":" + std::to_string(left_out);
  line += "}\n";
  shared_->sink->write(line);
}

}  // namespace sluice
