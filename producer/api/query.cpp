#include "producer/api/query.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <optional>

#include "common/ids/ids.h"
#include "producer/api/field_errors.h"

namespace sluice::producer {

namespace {

constexpr std::size_t kModelBytesMax = 128;

tl::unexpected<BadQuery> bad(std::string_view param, std::string message) {
  return tl::unexpected(BadQuery{field_name(param), std::move(message)});
}

// Digits with at most one point: no sign, no exponent, no blanks.
std::optional<double> parse_seconds(std::string_view text) {
  const bool plain =
      !text.empty() && text.size() <= 16 && text.front() != '.' &&
      std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
  if (!plain) return std::nullopt;
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return seconds;
}

std::chrono::milliseconds to_ms(double seconds) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::lround(seconds * 1000)));
}

// Calls `take` with the name and the value of each preference in `respond-async, wait=10`; one of several
// fields counts the same.
void each_preference(const http::RequestHead& head,
                     const std::function<void(std::string_view, std::string_view)>& take) {
  for (const auto& [field, value] : head.headers) {
    if (!http::equals_ignoring_case(field, "Prefer")) continue;
    std::string_view left = value;
    while (!left.empty()) {
      const std::size_t comma = left.find(',');
      std::string_view item = left.substr(0, comma);
      left = comma == std::string_view::npos ? std::string_view() : left.substr(comma + 1);
      item = item.substr(0, item.find(';'));
      const std::size_t equals = item.find('=');
      std::string_view given = equals == std::string_view::npos ? "" : http::trimmed(item.substr(equals + 1));
      if (given.size() >= 2 && given.front() == '"' && given.back() == '"') {
        given = given.substr(1, given.size() - 2);
      }
      take(http::trimmed(item.substr(0, equals)), given);
    }
  }
}

// The first `wait` is it, or nothing.
std::optional<double> preferred_wait(const http::RequestHead& head) {
  std::optional<double> wait;
  bool seen = false;
  each_preference(head, [&](std::string_view name, std::string_view value) {
    if (seen || !http::equals_ignoring_case(name, "wait")) return;
    seen = true;
    wait = parse_seconds(value);
  });
  return wait;
}

}  // namespace

tl::expected<std::chrono::milliseconds, BadQuery> read_wait(const http::RequestHead& head) {
  std::optional<std::chrono::milliseconds> wait;
  for (const auto& [name, value] : head.query) {
    if (name != "wait") return bad(name, "is not a query parameter of this route");
    if (wait) return bad(name, "is given twice");
    const auto seconds = parse_seconds(value);
    if (!seconds || *seconds > kWaitMaxS) return bad(name, "must be seconds from 0 to 60");
    wait = to_ms(*seconds);
  }
  if (wait) return *wait;
  if (const auto seconds = preferred_wait(head)) return to_ms(std::min<double>(*seconds, kWaitMaxS));
  return std::chrono::milliseconds(0);
}

bool prefers_async(const http::RequestHead& head) {
  bool async = false;
  each_preference(head, [&async](std::string_view name, std::string_view) {
    async |= http::equals_ignoring_case(name, "respond-async");
  });
  return async;
}

tl::expected<JobFilter, BadQuery> read_list_query(const http::RequestHead& head) {
  JobFilter filter;
  filter.limit = kListLimitDefault;
  std::string seen = ",";
  for (const auto& [name, value] : head.query) {
    const std::string mark = name + ",";
    if (seen.find("," + mark) != std::string::npos) return bad(name, "is given twice");
    if (name == "after") {
      if (!is_well_formed_id(value, JobIdTag::kPrefix)) return bad(name, "must be the id of a job");
      filter.after.value = value;
    } else if (name == "batch_id") {
      if (!is_well_formed_id(value, BatchIdTag::kPrefix)) return bad(name, "must be the id of a batch");
      filter.batch_id.value = value;
    } else if (name == "limit") {
      int limit = 0;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), limit);
      if (error != std::errc() || end != value.data() + value.size() || limit < 1 || limit > kListLimitMax) {
        return bad(name, "must be a whole number from 1 to 100");
      }
      filter.limit = limit;
    } else if (name == "status") {
      filter.state = job_state_from(value);
      if (!filter.state) {
        return bad(name, "must be queued, running, succeeded, failed, dead, cancelled or expired");
      }
    } else if (name == "model") {
      if (value.empty() || value.size() > kModelBytesMax) return bad(name, "must be the name of a model");
      filter.model = value;
    } else {
      return bad(name, "is not a query parameter of this route");
    }
    seen += mark;
  }
  return filter;
}

tl::expected<void, BadQuery> read_no_query(const http::RequestHead& head) {
  if (!head.query.empty()) return bad(head.query.front().first, "is not a query parameter of this route");
  return {};
}

}  // namespace sluice::producer
