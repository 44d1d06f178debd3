#include "producer/api/admission.h"

#include <algorithm>
#include <cmath>

namespace sluice::producer {

namespace {

constexpr std::int64_t kCountMax = 1'000'000;  // Where nothing is limited, counting still is.
constexpr std::size_t kTenantsMax = 10'000;    // Remembered; beyond it all are forgotten and asked again.
constexpr int kRetryMaxS = 59;                 // Clients take no longer one for serious.

Backlog sum_of(std::span<const NewJob> jobs) {
  Backlog sum;
  for (const NewJob& fresh : jobs) {
    if (fresh.answer) continue;  // It never waits.
    ++sum.jobs;
    sum.tokens += fresh.tokens_max;
  }
  return sum;
}

}  // namespace

Admission::Admission(JobStore& store, BacklogStore& backlog, std::vector<std::string> models,
                     AdmissionConfig config, Clock& clock, ApiMetrics metrics, TokenRate rate)
    : store_(store),
      backlog_(backlog),
      models_(std::move(models)),
      config_(config),
      clock_(clock),
      metrics_(std::move(metrics)),
      rate_(std::move(rate)) {}

void Admission::refresh(const Key& key) {
  {
    MutexLock lock(mutex_);
    Depth& depth = depths_[key];
    // One counts; the others go by the last number.
    if (depth.counting || clock_.steady_now() < depth.count_at) return;
    depth.counting = true;
    depth.count_at = clock_.steady_now() + config_.count_every;
    depth.admitted = 0;
  }
  const std::int64_t count_max = config_.queued_max > 0 ? config_.queued_max : kCountMax;
  const auto counted =
      store_.count_queued(key.first, key.second, count_max, Deadline::in(clock_, config_.call_timeout));
  MutexLock lock(mutex_);
  Depth& depth = depths_[key];
  depth.counting = false;
  depth.counted = counted.value_or(0);
  if (counted)
    metrics_.queued.with({key.first, priority_name(key.second)}).set(static_cast<double>(*counted));
}

void Admission::refresh_tenant(const TenantId& tenant) {
  {
    MutexLock lock(mutex_);
    if (tenants_.size() >= kTenantsMax && !tenants_.contains(tenant)) tenants_.clear();
    OfTenant& own = tenants_[tenant];
    if (own.counting || clock_.steady_now() < own.count_at) return;
    own.counting = true;
    own.count_at = clock_.steady_now() + config_.count_every;
    own.admitted = {};
  }
  const auto counted = backlog_.tenant_backlog(tenant, models_, Deadline::in(clock_, config_.call_timeout));
  MutexLock lock(mutex_);
  OfTenant& own = tenants_[tenant];
  own.counting = false;
  own.counted = counted.value_or(Backlog{});
}

void Admission::refresh_model(const std::string& model) {
  {
    MutexLock lock(mutex_);
    OfModel& own = by_model_[model];
    if (own.counting || clock_.steady_now() < own.count_at) return;
    own.counting = true;
    own.count_at = clock_.steady_now() + config_.count_every;
  }
  const std::optional<double> rate = rate_ ? rate_(model) : std::nullopt;
  const auto counted = backlog_.model_backlog(model, Deadline::in(clock_, config_.call_timeout));
  MutexLock lock(mutex_);
  OfModel& own = by_model_[model];
  own.counting = false;
  own.rate = rate;
  own.backlog = counted.value_or(std::array<Backlog, kPriorities>{});
}

void Admission::measure(std::span<const std::string> models) {
  for (const std::string& model : models) {
    for (int p = 0; p < kPriorities; ++p) refresh({model, static_cast<Priority>(p)});
    if (rate_) refresh_model(model);
  }
}

std::optional<double> Admission::predicted_wait() const {
  MutexLock lock(mutex_);
  std::optional<double> longest;
  for (const auto& [model, own] : by_model_) {
    if (!own.rate || *own.rate <= 0) continue;
    double tokens = 0;
    for (int p = 0; p <= static_cast<int>(Priority::kNormal); ++p) {
      tokens += static_cast<double>(own.backlog.at(static_cast<std::size_t>(p)).tokens);
    }
    longest = std::max(longest.value_or(0), tokens / *own.rate);
  }
  return longest;
}

std::optional<Admission::Refused> Admission::refuse_for_tenant(const TenantId& tenant,
                                                               const Backlog& wanted) {
  const OfTenant& own = tenants_[tenant];
  const std::int64_t jobs = own.counted.jobs + own.admitted.jobs;
  const std::int64_t tokens = own.counted.tokens + own.admitted.tokens;
  if (config_.tenant_jobs_max > 0 && jobs + wanted.jobs > config_.tenant_jobs_max) {
    return Refused{429, "tenant_queue_full",
                   std::to_string(jobs) + " jobs of yours wait; no more than " +
                       std::to_string(config_.tenant_jobs_max) + " may."};
  }
  if (config_.tenant_tokens_max > 0 && tokens + wanted.tokens > config_.tenant_tokens_max) {
    return Refused{429, "quota_exceeded",
                   "Your waiting jobs may cost " + std::to_string(tokens) + " tokens, these " +
                       std::to_string(wanted.tokens) + "; together no more than " +
                       std::to_string(config_.tenant_tokens_max) + " may wait."};
  }
  return std::nullopt;
}

// Tenants take turns: it waits for all that stands before it in its class and above, or for its own jobs'
// turns among those of as many tenants as wait, whichever is less.
std::optional<Admission::Refused> Admission::refuse_for_time(std::span<const NewJob> jobs,
                                                             const Backlog& wanted) {
  const OfTenant& own = tenants_[jobs.front().job.tenant];
  const auto of_tenant = static_cast<double>(own.counted.tokens + own.admitted.tokens + wanted.tokens);
  for (const NewJob& fresh : jobs) {
    const auto found = by_model_.find(fresh.job.model);
    if (fresh.answer || found == by_model_.end() || !found->second.rate || *found->second.rate <= 0) continue;
    double before = static_cast<double>(wanted.tokens);
    double tenants = 1;
    for (int p = 0; p <= static_cast<int>(fresh.job.priority); ++p) {
      const Backlog& waiting = found->second.backlog.at(static_cast<std::size_t>(p));
      before += static_cast<double>(waiting.tokens);
      tenants = std::max(tenants, static_cast<double>(waiting.tenants) + 1);
    }
    const double wait_s = std::min(before, of_tenant * tenants) / *found->second.rate;
    if (wait_s <= static_cast<double>(fresh.expires_in_s)) continue;
    const double late_s = wait_s - static_cast<double>(fresh.expires_in_s);
    return Refused{503, "predicted_wait_too_long",
                   "It would be done in about " + std::to_string(std::llround(wait_s)) +
                       " s, and expires in " + std::to_string(fresh.expires_in_s) + " s.",
                   static_cast<int>(std::clamp(late_s, 1.0, static_cast<double>(kRetryMaxS)))};
  }
  return std::nullopt;
}

tl::expected<void, Admission::Refused> Admission::admit(std::span<const NewJob> jobs) {
  if (jobs.empty()) return {};
  const TenantId& tenant = jobs.front().job.tenant;
  const Backlog wanted_in_all = sum_of(jobs);
  std::map<Key, std::int64_t> wanted;
  for (const NewJob& fresh : jobs) {
    if (!fresh.answer) ++wanted[Key{fresh.job.model, fresh.job.priority}];
  }
  for (const auto& [key, count] : wanted) {
    if (config_.queued_max > 0) refresh(key);
    if (config_.refuse_late) refresh_model(key.first);
  }
  const bool by_tenant = config_.tenant_jobs_max > 0 || config_.tenant_tokens_max > 0;
  if (by_tenant || config_.refuse_late) refresh_tenant(tenant);
  MutexLock lock(mutex_);
  for (const auto& [key, count] : wanted) {
    if (config_.queued_max <= 0) break;
    const Depth& depth = depths_[key];
    const std::int64_t queued = depth.counted + depth.admitted;
    if (queued + count > config_.queued_max) {
      return tl::unexpected(Refused{503, "queue_full",
                                    std::to_string(queued) + " jobs of priority " +
                                        std::string(priority_name(key.second)) + " wait for model '" +
                                        key.first + "': no more are taken in until there are fewer."});
    }
  }
  if (by_tenant) {
    if (auto refused = refuse_for_tenant(tenant, wanted_in_all)) return tl::unexpected(std::move(*refused));
  }
  if (config_.refuse_late) {
    if (auto refused = refuse_for_time(jobs, wanted_in_all)) return tl::unexpected(std::move(*refused));
  }
  for (const auto& [key, count] : wanted) depths_[key].admitted += count;
  if (by_tenant || config_.refuse_late) {
    OfTenant& own = tenants_[tenant];
    own.admitted.jobs += wanted_in_all.jobs;
    own.admitted.tokens += wanted_in_all.tokens;
  }
  return {};
}

}  // namespace sluice::producer
