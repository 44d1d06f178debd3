// Asks the limits before a request is let in, and says in the answer what is left.
//
// Headers: `RateLimit-Policy` and `RateLimit` with an item for each limit; `Retry-After` of at most 59 s with
// a refusal, so that clients wait it out by themselves.
//
// Safe for concurrent use. Everything given to the constructor must outlive it.
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "common/http/message.h"
#include "common/store/account_store.h"
#include "producer/guard/buckets.h"
#include "producer/guard/limit_book.h"
#include "producer/metrics/producer_metrics.h"

namespace sluice::producer {

inline constexpr std::int64_t kRetryAfterMaxS = 59;

struct GuardConfig {
  // Beyond this the process's own buckets count: what a slow Redis may cost a request.
  std::chrono::milliseconds call_timeout{100};
  // Limits shrink while a job is predicted to wait for longer: to the half at the double, and so on. 0 = off.
  std::chrono::milliseconds tighten_wait{0};
  double tighten_least = 0.1;  // They never shrink below this part.
};

class Guard {
 public:
  // `predicted_wait`: until a job that comes now would start, in seconds; nothing if nobody knows.
  using PredictedWait = std::function<std::optional<double>()>;
  Guard(LimitBook& book, Buckets& shared, Buckets& own, GuardConfig config, PredictedWait predicted_wait,
        Clock& clock, GuardMetrics metrics);

  // One request. Sets the head's answer_headers, or answers 429.
  std::optional<http::Response> check(http::RequestHead& head, const Principal& principal, Scope scope);
  // The tokens that it asks for, once they are known.
  std::optional<http::Response> check_tokens(const http::RequestHead& head, const Principal& principal,
                                             Scope scope, std::int64_t tokens);

 private:
  struct Asked {
    std::vector<RateLimit> limits;
    std::vector<Charge> charges;
    Charged charged;
  };
  std::optional<Asked> ask(const http::RequestHead& head, const Principal& principal, Scope scope,
                           LimitUnit unit, double cost);
  http::Response refusal(const Asked& asked, LimitUnit unit) const;
  double tightened() const;

  LimitBook& book_;
  Buckets& shared_;
  Buckets& own_;
  const GuardConfig config_;
  const PredictedWait predicted_wait_;
  Clock& clock_;
  const GuardMetrics metrics_;
};

}  // namespace sluice::producer
