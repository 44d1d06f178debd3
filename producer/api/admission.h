// Whether there is room for jobs: how many may wait for a model and class, how much of one tenant, and
// whether they can be done in their time. What waits is the database's count, taken about once a second, plus
// what this producer let in since.
//
// Safe for concurrent use. Stores and clock must outlive it.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/store/backlog_store.h"
#include "common/store/job_store.h"
#include "producer/metrics/producer_metrics.h"

namespace sluice::producer {

struct AdmissionConfig {
  std::int64_t queued_max = 100'000;  // For each model and class. More rides out longer bursts; 0 = no limit.
  // Of one tenant, whatever the model: waiting jobs, and the tokens that they may cost. 0 = no limit.
  std::int64_t tenant_jobs_max = 0;
  std::int64_t tenant_tokens_max = 0;
  bool refuse_late = false;  // Jobs that would expire before they end, as it looks now.
  std::chrono::milliseconds count_every{1'000};
  std::chrono::milliseconds call_timeout{2'000};
};

class Admission {
 public:
  // What the workers of a model get done in a second, in tokens that jobs may cost; nothing: nobody knows.
  using TokenRate = std::function<std::optional<double>(const std::string& model)>;
  Admission(JobStore& store, BacklogStore& backlog, std::vector<std::string> models, AdmissionConfig config,
            Clock& clock, ApiMetrics metrics, TokenRate rate = {});

  struct Refused {
    int status = 503;  // 429: this tenant has too much; 503: there is too much.
    std::string_view
        code;  // A literal: queue_full, tenant_queue_full, quota_exceeded, predicted_wait_too_long.
    std::string message;
    int retry_after_s = 5;
  };
  // Lets all of them in, or none; they are of one tenant. When the database can't count, it lets in:
  // accepting will fail or not.
  tl::expected<void, Refused> admit(std::span<const NewJob> jobs) EXCLUDES(mutex_);
  // Counts what waits for these models, in every class, for the metric: also while no jobs come.
  void measure(std::span<const std::string> models) EXCLUDES(mutex_);
  // Seconds until a job of normal class that came now would start, if it had to wait for all before it: of
  // the busiest model. Asks nobody; goes by the last measure().
  std::optional<double> predicted_wait() const EXCLUDES(mutex_);

 private:
  using Key = std::pair<std::string, Priority>;
  struct Depth {
    std::int64_t counted = 0;
    std::int64_t admitted = 0;  // Since the count was asked for.
    SteadyTime count_at{};
    bool counting = false;
  };
  struct OfTenant {
    Backlog counted;
    Backlog admitted;
    SteadyTime count_at{};
    bool counting = false;
  };
  struct OfModel {
    std::array<Backlog, kPriorities> backlog{};
    std::optional<double> rate;
    SteadyTime count_at{};
    bool counting = false;
  };
  void refresh(const Key& key) EXCLUDES(mutex_);
  void refresh_tenant(const TenantId& tenant) EXCLUDES(mutex_);
  void refresh_model(const std::string& model) EXCLUDES(mutex_);
  std::optional<Refused> refuse_for_tenant(const TenantId& tenant, const Backlog& wanted) REQUIRES(mutex_);
  std::optional<Refused> refuse_for_time(std::span<const NewJob> jobs, const Backlog& wanted)
      REQUIRES(mutex_);

  JobStore& store_;
  BacklogStore& backlog_;
  const std::vector<std::string> models_;
  const AdmissionConfig config_;
  Clock& clock_;
  const ApiMetrics metrics_;
  const TokenRate rate_;
  mutable Mutex mutex_;
  std::map<Key, Depth> depths_ GUARDED_BY(mutex_);
  std::map<TenantId, OfTenant> tenants_ GUARDED_BY(mutex_);
  std::map<std::string, OfModel> by_model_ GUARDED_BY(mutex_);
};

}  // namespace sluice::producer
