#include "callback/courier/endpoint_gate.h"

#include <algorithm>

#include "common/base/check.h"

namespace sluice::callback {

namespace {
// Beyond this many known endpoints those without news for a while are forgotten.
constexpr std::size_t kKnownMax = 10'000;
constexpr std::chrono::minutes kForgetAfter{10};
}  // namespace

EndpointGate::EndpointGate(GateConfig config, const Clock& clock, Rng& rng)
    : config_(config), clock_(clock), rng_(rng) {}

int EndpointGate::allowance(const Endpoint& endpoint, SteadyTime now) const {
  if (rests(endpoint)) return endpoint.under_way == 0 && now >= endpoint.next_try ? 1 : 0;
  return std::max(0, config_.endpoint_max - endpoint.under_way);
}

std::vector<ClaimWish> EndpointGate::wishes(std::span<const DueEndpoint> due) const {
  struct Share {
    const std::string* endpoint;
    int allowance;
    bool is_idle;
    int given = 0;
  };
  MutexLock lock(mutex_);
  const SteadyTime now = clock_.steady_now();
  std::vector<Share> shares;
  for (const DueEndpoint& one : due) {
    const auto known = endpoints_.find(one.endpoint);
    const Endpoint endpoint = known == endpoints_.end() ? Endpoint{} : known->second;
    if (const int allowed = allowance(endpoint, now); allowed > 0) {
      shares.push_back({&one.endpoint, allowed, endpoint.under_way == 0});
    }
  }

  int free = config_.total_max - under_way_;
  const int kept = config_.total_max / 4;
  for (bool gave = true; gave && free > 0;) {
    gave = false;
    for (Share& share : shares) {
      // The first delivery of an idle endpoint may take any place, all others none of those that are kept.
      const int usable = share.is_idle && share.given == 0 ? free : free - kept;
      if (share.given == share.allowance || usable <= 0) continue;
      ++share.given;
      --free;
      gave = true;
    }
  }
  std::vector<ClaimWish> wishes;
  for (const Share& share : shares) {
    if (share.given > 0) wishes.push_back({*share.endpoint, share.given});
  }
  return wishes;
}

void EndpointGate::begin(const std::string& endpoint) {
  MutexLock lock(mutex_);
  ++endpoints_[endpoint].under_way;
  ++under_way_;
}

void EndpointGate::end(const std::string& name, EndpointHealth health) {
  MutexLock lock(mutex_);
  const SteadyTime now = clock_.steady_now();
  Endpoint& endpoint = endpoints_[name];
  SLUICE_CHECK(endpoint.under_way > 0 && under_way_ > 0);
  --endpoint.under_way;
  --under_way_;
  endpoint.last_end = now;
  if (health == EndpointHealth::kAnswers) endpoint.failures = 0;
  if (health == EndpointHealth::kFails) {
    ++endpoint.failures;
    if (rests(endpoint)) {
      const double factor = 1 - config_.rest.jitter + 2 * config_.rest.jitter * rng_.uniform();
      const Duration pause = backoff_delay(config_.rest, endpoint.failures - config_.failures_to_rest + 1);
      endpoint.next_try = now + std::chrono::duration_cast<Duration>(pause * factor);
    }
  }
  if (endpoint.under_way == 0 && endpoint.failures == 0) endpoints_.erase(name);
  if (endpoints_.size() > kKnownMax) forget_idle(now);
}

void EndpointGate::forget_idle(SteadyTime now) {
  std::erase_if(endpoints_, [now](const auto& entry) {
    return entry.second.under_way == 0 && now - entry.second.last_end > kForgetAfter;
  });
}

bool EndpointGate::resting(const std::string& endpoint) const {
  MutexLock lock(mutex_);
  const auto known = endpoints_.find(endpoint);
  return known != endpoints_.end() && rests(known->second);
}

int EndpointGate::under_way() const {
  MutexLock lock(mutex_);
  return under_way_;
}

int EndpointGate::resting_count() const {
  MutexLock lock(mutex_);
  return static_cast<int>(std::count_if(endpoints_.begin(), endpoints_.end(),
                                        [this](const auto& entry) { return rests(entry.second); }));
}

}  // namespace sluice::callback
