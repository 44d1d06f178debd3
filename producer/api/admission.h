// How many jobs may wait for a model and class. The count is the database's, taken about once a second, plus
// what this producer let in since.
//
// Safe for concurrent use. Store and clock must outlive it.
#pragma once

#include <chrono>
#include <map>
#include <span>
#include <string>
#include <utility>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/store/job_store.h"
#include "producer/metrics/producer_metrics.h"

namespace sluice::producer {

struct AdmissionConfig {
  std::int64_t queued_max = 100'000;  // For each model and class. More rides out longer bursts; 0 = no limit.
  std::chrono::milliseconds count_every{1'000};
  std::chrono::milliseconds call_timeout{2'000};
};

class Admission {
 public:
  Admission(JobStore& store, AdmissionConfig config, Clock& clock, ApiMetrics metrics)
      : store_(store), config_(config), clock_(clock), metrics_(std::move(metrics)) {}

  struct Full {
    std::string model;
    Priority priority = Priority::kNormal;
    std::int64_t queued = 0;
  };
  // Lets all of them in, or none. When the database can't count, it lets in: accepting will fail or not.
  tl::expected<void, Full> admit(std::span<const NewJob> jobs) EXCLUDES(mutex_);
  // Counts what waits for these models, in every class, for the metric: also while no jobs come.
  void measure(std::span<const std::string> models) EXCLUDES(mutex_);

 private:
  using Key = std::pair<std::string, Priority>;
  struct Depth {
    std::int64_t counted = 0;
    std::int64_t admitted = 0;  // Since the count was asked for.
    SteadyTime count_at{};
    bool counting = false;
  };
  void refresh(const Key& key) EXCLUDES(mutex_);

  JobStore& store_;
  const AdmissionConfig config_;
  Clock& clock_;
  const ApiMetrics metrics_;
  Mutex mutex_;
  std::map<Key, Depth> depths_ GUARDED_BY(mutex_);
};

}  // namespace sluice::producer
