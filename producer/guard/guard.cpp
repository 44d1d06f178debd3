#include "producer/guard/guard.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/http/body_json.h"
#include "common/http/error_response.h"

namespace sluice::producer {

namespace {

// The problem type that the draft of the RateLimit headers registers.
constexpr std::string_view kQuotaExceeded = "https://iana.org/assignments/http-problem-types#quota-exceeded";

std::string_view family_of(Scope scope) {
  switch (scope) {
    case kScopeSubmit:
      return "submit";
    case kScopeRead:
      return "read";
    case kScopeAdmin:
      return "admin";
  }
  return "";
}

// Setting and lifting limits falls under none: an operator must get out of one that was made too small.
bool is_way_out(const http::RequestHead& head, Scope scope) {
  return scope == kScopeAdmin && head.pattern.starts_with("/v1/admin/limits");
}

std::int64_t seconds_up(std::int64_t ms) {
  return (ms + 999) / 1000;
}

// Until the bucket is full again.
std::int64_t full_in_s(const Charge& charge, double level) {
  return seconds_up(static_cast<std::int64_t>(
      std::ceil((charge.quota - level) * static_cast<double>(charge.window_ms) / charge.quota)));
}

}  // namespace

Guard::Guard(LimitBook& book, Buckets& shared, Buckets& own, GuardConfig config, PredictedWait predicted_wait,
             Clock& clock, GuardMetrics metrics)
    : book_(book),
      shared_(shared),
      own_(own),
      config_(config),
      predicted_wait_(std::move(predicted_wait)),
      clock_(clock),
      metrics_(std::move(metrics)) {}

double Guard::tightened() const {
  if (config_.tighten_wait.count() <= 0 || !predicted_wait_) return 1;
  const std::optional<double> wait = predicted_wait_();
  const auto bound = std::chrono::duration<double>(config_.tighten_wait).count();
  if (!wait || *wait <= bound) return 1;
  return std::max(config_.tighten_least, bound / *wait);
}

std::optional<Guard::Asked> Guard::ask(const http::RequestHead& head, const Principal& principal, Scope scope,
                                       LimitUnit unit, double cost) {
  if (is_way_out(head, scope)) return std::nullopt;
  const Requester who{principal.tenant.value, principal.key_name, principal.key_hint, head.pattern,
                      family_of(scope)};
  Asked asked;
  asked.limits = book_.limits_for(who, unit);
  if (asked.limits.empty()) return std::nullopt;
  // What operators ask for is no load, and the way out of it.
  const double part = scope == kScopeAdmin ? 1 : tightened();
  for (const RateLimit& limit : asked.limits) {
    Charge charge;
    charge.bucket = book_.bucket_of(limit, who);
    charge.quota = std::max(1.0, static_cast<double>(limit.quota) * part);
    charge.window_ms = limit.window_s * 1000;
    charge.cost = cost;
    asked.charges.push_back(std::move(charge));
  }
  auto charged = shared_.charge(asked.charges, Deadline::in(clock_, config_.call_timeout));
  const bool fell_back = !charged;
  if (fell_back) charged = own_.charge(asked.charges, Deadline::in(clock_, config_.call_timeout));
  if (!charged) return std::nullopt;
  asked.charged = std::move(*charged);
  metrics_.checks
      .with({limit_unit_name(unit), asked.charged.allowed ? "allowed" : "refused",
             fell_back ? "process" : "redis"})
      .add();
  return asked;
}

namespace {

// Structured fields (RFC 8941): an item for each limit, whose name is a string.
void add_headers(http::Headers& headers, const std::vector<RateLimit>& limits,
                 const std::vector<Charge>& charges, const Charged& charged) {
  std::string policies;
  std::string left;
  for (std::size_t i = 0; i < limits.size(); ++i) {
    const std::string separator = i == 0 ? "" : ", ";
    const auto quota = static_cast<std::int64_t>(charges[i].quota);
    const bool tokens = limits[i].unit == LimitUnit::kTokens;
    policies += separator + "\"" + limits[i].name + "\";q=" + std::to_string(quota) +
                (tokens ? ";qu=\"tokens\"" : "") + ";w=" + std::to_string(limits[i].window_s);
    const auto rest = static_cast<std::int64_t>(std::max(0.0, std::floor(charged.levels[i])));
    left += separator + "\"" + limits[i].name + "\";r=" + std::to_string(rest) +
            ";t=" + std::to_string(full_in_s(charges[i], charged.levels[i]));
  }
  headers.set("RateLimit-Policy", std::move(policies));
  headers.set("RateLimit", std::move(left));
}

}  // namespace

http::Response Guard::refusal(const Asked& asked, LimitUnit unit) const {
  std::int64_t wait = 0;
  nlohmann::json violated = nlohmann::json::array();
  for (std::size_t i = 0; i < asked.limits.size(); ++i) {
    const std::int64_t own_wait = wait_ms(asked.charges[i], asked.charged.levels[i]);
    if (own_wait <= 0) continue;
    violated.push_back(asked.limits[i].name);
    wait = std::max(wait, own_wait);
  }
  const std::string name = violated.empty() ? std::string() : violated.front().get<std::string>();
  const std::string message = "The limit '" + name + "' of " + std::string(limit_unit_name(unit)) +
                              " is used up; there is room again in " + std::to_string(seconds_up(wait)) +
                              " s.";
  nlohmann::json body = {{"error",
                          {{"message", message},
                           {"type", http::error_type::kRateLimit},
                           {"param", nullptr},
                           {"code", "rate_limit_exceeded"}}},
                         {"type", kQuotaExceeded},
                         {"title", http::status_reason(429)},
                         {"status", 429},
                         {"detail", message},
                         {"violated-policies", std::move(violated)}};
  http::Response response = http::json_response(429, body);
  add_headers(response.headers, asked.limits, asked.charges, asked.charged);
  response.headers.set("Retry-After",
                       std::to_string(std::clamp<std::int64_t>(seconds_up(wait), 1, kRetryAfterMaxS)));
  return response;
}

std::optional<http::Response> Guard::check(http::RequestHead& head, const Principal& principal, Scope scope) {
  const auto asked = ask(head, principal, scope, LimitUnit::kRequests, 1);
  if (!asked) return std::nullopt;
  if (!asked->charged.allowed) return refusal(*asked, LimitUnit::kRequests);
  add_headers(head.answer_headers, asked->limits, asked->charges, asked->charged);
  return std::nullopt;
}

std::optional<http::Response> Guard::check_tokens(const http::RequestHead& head, const Principal& principal,
                                                  Scope scope, std::int64_t tokens) {
  const auto asked = ask(head, principal, scope, LimitUnit::kTokens, static_cast<double>(tokens));
  if (!asked || asked->charged.allowed) return std::nullopt;
  return refusal(*asked, LimitUnit::kTokens);
}

}  // namespace sluice::producer
