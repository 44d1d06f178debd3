// How many deliveries may be under way: in all, and for each endpoint. A slow or dead endpoint holds its own
// share and delays no other.
//
// - An endpoint has at most `endpoint_max` under way, and the last quarter of all places is kept for
// endpoints that have
//   none under way.
// - After `failures_to_rest` failures in a row an endpoint rests: one delivery at a time, with growing
// pauses, until one
//   succeeds. Nothing is lost by it: what is not claimed stays due.
//
// Safe for concurrent use.
#pragma once

#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "callback/store/delivery_store.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/rng.h"

namespace sluice::callback {

struct GateConfig {
  int total_max = 256;    // Each costs a socket and up to a payload of memory.
  int endpoint_max = 16;  // More drains a fast receiver sooner and burdens a weak one more.
  int failures_to_rest = 5;
  BackoffConfig rest{std::chrono::seconds(1), std::chrono::seconds(30), 0.2};
};

enum class EndpointHealth {
  kAnswers,   // It is there, whatever it said.
  kFails,     // No answer, a 5xx, or a plea for patience (429).
  kUnjudged,  // The attempt says nothing about it.
};

class EndpointGate {
 public:
  // Both must outlive the gate.
  EndpointGate(GateConfig config, const Clock& clock, Rng& rng);

  // Shares the free places out among endpoints with due deliveries: one each in the order given, then another
  // round, until the places are gone. Reserves nothing: follow with begin() for each delivery that was
  // claimed.
  std::vector<ClaimWish> wishes(std::span<const DueEndpoint> due) const EXCLUDES(mutex_);
  void begin(const std::string& endpoint) EXCLUDES(mutex_);
  void end(const std::string& endpoint, EndpointHealth health) EXCLUDES(mutex_);

  bool resting(const std::string& endpoint) const EXCLUDES(mutex_);
  int under_way() const EXCLUDES(mutex_);
  int resting_count() const EXCLUDES(mutex_);

 private:
  struct Endpoint {
    int under_way = 0;
    int failures = 0;       // In a row.
    SteadyTime next_try{};  // While resting.
    SteadyTime last_end{};
  };
  bool rests(const Endpoint& endpoint) const { return endpoint.failures >= config_.failures_to_rest; }
  int allowance(const Endpoint& endpoint, SteadyTime now) const;
  void forget_idle(SteadyTime now) REQUIRES(mutex_);

  const GateConfig config_;
  const Clock& clock_;
  Rng& rng_;
  mutable Mutex mutex_;
  std::unordered_map<std::string, Endpoint> endpoints_ GUARDED_BY(mutex_);
  int under_way_ GUARDED_BY(mutex_) = 0;
};

}  // namespace sluice::callback
