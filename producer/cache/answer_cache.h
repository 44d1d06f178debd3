// The way of a submission through the caches, before it is admitted and written: its jobs whose result is
// known get it. Safe for concurrent use. What it is given must outlive it.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

#include "common/base/clock.h"
#include "common/store/answer_store.h"
#include "common/store/job_store.h"
#include "producer/cache/answer_lru.h"
#include "producer/cache/shared_answers.h"
#include "producer/metrics/producer_metrics.h"

namespace sluice::producer {

struct AnswerCacheConfig {
  bool enabled = true;               // False: every job is computed for itself.
  std::chrono::seconds keep{3'600};  // A result is given to others for so long; 0: only while it is computed.
  std::size_t bytes_max = 64'000'000;  // Of results in this process.
  // Whatever else decides over results and isn't seen from here: a worker's settings, an upstream's revision.
  // Results of one revision aren't given to requests of another.
  std::string revision;
  std::chrono::milliseconds redis_timeout{200};
  std::chrono::milliseconds store_timeout{2'000};
};

class AnswerCache {
 public:
  AnswerCache(SharedAnswers& shared, AnswerStore& store, AnswerCacheConfig config, Clock& clock,
              CacheMetrics metrics)
      : shared_(shared),
        store_(store),
        config_(std::move(config)),
        clock_(clock),
        metrics_(std::move(metrics)),
        own_(config_.bytes_max) {}

  const AnswerCacheConfig& config() const { return config_; }

  // Gives those jobs of a submission their results that have a key and whose result is at hand.
  void look(Submission& submission);
  // For a submission that there is no room for: gives results whose time is over, too, to the jobs that take
  // them. False: not all of its jobs have one now.
  bool look_for_stale(Submission& submission);
  // After the commit: counts, and keeps what the database knew.
  void note(const Submission& submission);

 private:
  std::int64_t now_us() const { return unix_micros(clock_.wall_now()); }

  SharedAnswers& shared_;
  AnswerStore& store_;
  const AnswerCacheConfig config_;
  Clock& clock_;
  const CacheMetrics metrics_;
  AnswerLru own_;
};

// "hit": the result was known as the job was accepted; "coalesced": another job's, which was at it; "miss":
// the job's own. What a client reads from `X-Cache`.
std::string_view cache_state(const Job& job);
// The same right after it was accepted; "stale": a result whose time was over by then.
std::string_view cache_state(const NewJob& fresh);
inline constexpr const char* kCacheHeader = "X-Cache";

}  // namespace sluice::producer
