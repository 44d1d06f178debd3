#include "callback/schedule/retry_schedule.h"

#include <curl/curl.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "common/base/check.h"

namespace sluice::callback {

using std::chrono::milliseconds;

namespace {

constexpr int kGone = 410;

bool is_final_failure(const AttemptReport& report) {
  switch (report.failure) {
    case AttemptFailure::kRefused:
    case AttemptFailure::kUnsendable:
      return true;
    case AttemptFailure::kNone:
      return report.status == kGone;
    default:
      return false;
  }
}

}  // namespace

std::vector<milliseconds> default_retry_delays() {
  using std::chrono::hours;
  using std::chrono::minutes;
  using std::chrono::seconds;
  return {seconds(0), seconds(5), minutes(5), minutes(30), hours(2),
          hours(5),   hours(10),  hours(14),  hours(20),   hours(24)};
}

RetrySchedule::RetrySchedule(RetryConfig config, const Clock& clock, Rng& rng)
    : config_(std::move(config)), clock_(clock), rng_(rng) {
  SLUICE_CHECK(!config_.delays.empty());
}

Verdict RetrySchedule::verdict(const AttemptReport& report, int attempts) const {
  SLUICE_CHECK(attempts >= 1 && report.failure != AttemptFailure::kCancelled);
  if (is_success(report)) return {Verdict::Kind::kDelivered, milliseconds(0)};
  if (is_final_failure(report) || attempts >= attempts_max())
    return {Verdict::Kind::kFailed, milliseconds(0)};

  const double planned = static_cast<double>(config_.delays[static_cast<std::size_t>(attempts)].count());
  const double factor = 1 - config_.jitter + 2 * config_.jitter * rng_.uniform();
  milliseconds delay(std::llround(planned * factor));
  if (const auto asked = parse_retry_after(report.retry_after, clock_.wall_now())) {
    delay = std::max(delay, std::min(*asked, config_.retry_after_max));
  }
  return {Verdict::Kind::kRetry, delay};
}

std::optional<milliseconds> parse_retry_after(std::string_view text, WallTime now) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  if (text.empty() || text.size() > 64) return std::nullopt;

  if (std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    // Longer ones than ten digits are beyond every bound; cut so that nothing overflows.
    const std::int64_t seconds = text.size() > 10 ? 9'999'999'999 : std::stoll(std::string(text));
    return milliseconds(seconds * 1000);
  }
  // An HTTP date begins with the name of a day; the parser below would also take bare numbers and times.
  if (text.front() < 'A' || text.front() > 'Z') return std::nullopt;
  const std::time_t at = curl_getdate(std::string(text).c_str(), nullptr);
  if (at < 0) return std::nullopt;
  const std::int64_t ahead_ms = static_cast<std::int64_t>(at) * 1000 - unix_millis(now);
  return milliseconds(std::max<std::int64_t>(ahead_ms, 0));
}

}  // namespace sluice::callback
