#include "tests/unit/callback/support/memory_delivery_store.h"

#include <algorithm>

namespace sluice::callback {

using std::chrono::milliseconds;

void MemoryDeliveryStore::put_event(EventRecord event) {
  MutexLock lock(mutex_);
  events_[event.id.value] = std::move(event);
}

std::vector<MemoryDeliveryStore::Delivery> MemoryDeliveryStore::deliveries() const {
  MutexLock lock(mutex_);
  std::vector<Delivery> all;
  for (const auto& [id, delivery] : deliveries_) all.push_back(delivery);
  return all;
}

std::vector<Decision> MemoryDeliveryStore::waiting_lines() const {
  MutexLock lock(mutex_);
  return waiting_lines_;
}

void MemoryDeliveryStore::make_due(const DeliveryId& id, milliseconds ago) {
  MutexLock lock(mutex_);
  deliveries_.at(id.value).due = clock_.wall_now() - ago;
}

void MemoryDeliveryStore::fail_with(std::optional<Error> error) {
  MutexLock lock(mutex_);
  failure_ = std::move(error);
}

Result<std::vector<EventRecord>> MemoryDeliveryStore::find_events(std::span<const EventId> ids, Deadline) {
  MutexLock lock(mutex_);
  if (failure_) return fail(*failure_);
  std::vector<EventRecord> found;
  for (const EventId& id : ids) {
    if (const auto event = events_.find(id.value); event != events_.end()) found.push_back(event->second);
  }
  return found;
}

void MemoryDeliveryStore::put_subscriber(Subscriber subscriber) {
  MutexLock lock(mutex_);
  subscribers_.push_back(std::move(subscriber));
}

Result<std::vector<Subscriber>> MemoryDeliveryStore::subscribers(std::span<const TenantId> tenants,
                                                                 Deadline) {
  MutexLock lock(mutex_);
  if (failure_) return fail(*failure_);
  std::vector<Subscriber> found;
  for (const Subscriber& one : subscribers_) {
    if (std::find(tenants.begin(), tenants.end(), one.tenant) != tenants.end()) found.push_back(one);
  }
  return found;
}

Result<std::vector<DecideOutcome>> MemoryDeliveryStore::decide(std::span<const Decision> decisions,
                                                               Deadline) {
  MutexLock lock(mutex_);
  if (failure_) return fail(*failure_);
  std::vector<DecideOutcome> outcomes;
  for (const Decision& decision : decisions) {
    const auto event = events_.find(decision.event_id.value);
    if (event == events_.end()) {
      outcomes.push_back(DecideOutcome::kUnknown);
      continue;
    }
    if (event->second.decided) {
      outcomes.push_back(DecideOutcome::kAlreadyDecided);
      continue;
    }
    event->second.decided = true;
    outcomes.push_back(DecideOutcome::kDecided);
    if (decision.waiting) waiting_lines_.push_back(decision);
    const bool has_one = std::any_of(deliveries_.begin(), deliveries_.end(), [&](const auto& entry) {
      return entry.second.what.event_id == decision.event_id;
    });
    if (has_one) continue;
    for (const NewDelivery& fresh : decision.deliveries) {
      Delivery delivery;
      delivery.what.ref.id = fresh.id;
      delivery.what.event_id = decision.event_id;
      delivery.what.job_id = event->second.job_id;
      delivery.what.tenant = event->second.tenant;
      delivery.what.endpoint_id = fresh.endpoint_id;
      delivery.what.url = fresh.url;
      delivery.what.endpoint = fresh.endpoint;
      delivery.what.body = decision.body;
      delivery.due = clock_.wall_now();
      deliveries_[fresh.id.value] = std::move(delivery);
    }
  }
  return outcomes;
}

std::vector<MemoryDeliveryStore::Delivery*> MemoryDeliveryStore::due(const std::string& endpoint,
                                                                     WallTime now) {
  std::vector<Delivery*> found;
  for (auto& [id, delivery] : deliveries_) {
    if (delivery.what.endpoint == endpoint && delivery.state == "pending" && delivery.due <= now) {
      found.push_back(&delivery);
    }
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Delivery* a, const Delivery* b) { return a->due < b->due; });
  return found;
}

Result<std::vector<DueEndpoint>> MemoryDeliveryStore::due_endpoints(int limit, Deadline) {
  MutexLock lock(mutex_);
  if (failure_) return fail(*failure_);
  const WallTime now = clock_.wall_now();
  std::map<std::string, WallTime> oldest;
  for (const auto& [id, delivery] : deliveries_) {
    if (delivery.state != "pending" || delivery.due > now) continue;
    const auto [entry, added] = oldest.emplace(delivery.what.endpoint, delivery.due);
    if (!added) entry->second = std::min(entry->second, delivery.due);
  }
  std::vector<DueEndpoint> found;
  for (const auto& [endpoint, since] : oldest) {
    found.push_back({endpoint, std::chrono::duration_cast<milliseconds>(now - since)});
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const DueEndpoint& a, const DueEndpoint& b) { return a.waited > b.waited; });
  if (static_cast<int>(found.size()) > limit) found.resize(static_cast<std::size_t>(limit));
  return found;
}

Result<std::vector<ClaimedDelivery>> MemoryDeliveryStore::claim(std::span<const ClaimWish> wishes,
                                                                milliseconds hold, Deadline) {
  MutexLock lock(mutex_);
  if (failure_) return fail(*failure_);
  const WallTime now = clock_.wall_now();
  const std::string claim = std::to_string(++claims_);
  std::vector<ClaimedDelivery> claimed;
  for (const ClaimWish& wish : wishes) {
    int left = wish.deliveries_max;
    for (Delivery* delivery : due(wish.endpoint, now)) {
      if (left-- <= 0) break;
      delivery->what.ref.claim = claim;
      delivery->due = now + hold;
      claimed.push_back(delivery->what);
    }
  }
  return claimed;
}

MemoryDeliveryStore::Delivery* MemoryDeliveryStore::held(const DeliveryRef& ref) {
  const auto found = deliveries_.find(ref.id.value);
  if (found == deliveries_.end() || found->second.state != "pending" || found->second.what.ref != ref)
    return nullptr;
  return &found->second;
}

Result<std::vector<RecordOutcome>> MemoryDeliveryStore::record(std::span<const AttemptRecord> records,
                                                               Deadline) {
  MutexLock lock(mutex_);
  if (failure_) return fail(*failure_);
  std::vector<RecordOutcome> outcomes;
  for (const AttemptRecord& record : records) {
    Delivery* delivery = held(record.ref);
    outcomes.push_back(delivery != nullptr ? RecordOutcome::kRecorded : RecordOutcome::kLost);
    if (delivery == nullptr) continue;
    AttemptReport report = record.report;
    report.response.resize(std::min(report.response.size(), kResponseBytesKept));
    delivery->what.ref.attempts += 1;
    delivery->what.ref.claim.clear();
    delivery->attempts.push_back({delivery->what.ref.attempts, report});
    delivery->last_status = report.status;
    delivery->last_error = record.verdict.kind == Verdict::Kind::kDelivered ? "" : report.error;
    switch (record.verdict.kind) {
      case Verdict::Kind::kDelivered:
        delivery->state = "delivered";
        break;
      case Verdict::Kind::kRetry:
        delivery->due = clock_.wall_now() + record.verdict.delay;
        break;
      case Verdict::Kind::kFailed:
        delivery->state = "failed";
        break;
    }
  }
  return outcomes;
}

Status MemoryDeliveryStore::release(std::span<const DeliveryRef> claims, milliseconds delay, Deadline) {
  MutexLock lock(mutex_);
  if (failure_) return fail(*failure_);
  for (const DeliveryRef& claim : claims) {
    Delivery* delivery = held(claim);
    if (delivery == nullptr) continue;
    delivery->what.ref.claim.clear();
    delivery->due = clock_.wall_now() + delay;
  }
  return {};
}

Result<int> MemoryDeliveryStore::give_up(const std::string& endpoint, milliseconds waited,
                                         const std::string& reason, int limit, Deadline) {
  MutexLock lock(mutex_);
  if (failure_) return fail(*failure_);
  int failed = 0;
  for (Delivery* delivery : due(endpoint, clock_.wall_now() - waited - std::chrono::nanoseconds(1))) {
    if (failed == limit) break;
    delivery->state = "failed";
    delivery->last_error = reason;
    ++failed;
  }
  return failed;
}

Result<Backlog> MemoryDeliveryStore::backlog(std::int64_t count_max, Deadline) {
  MutexLock lock(mutex_);
  if (failure_) return fail(*failure_);
  Backlog backlog;
  const WallTime now = clock_.wall_now();
  for (const auto& [id, delivery] : deliveries_) {
    if (delivery.state != "pending") continue;
    backlog.pending = std::min(backlog.pending + 1, count_max);
    if (delivery.due < now) {
      backlog.oldest_due =
          std::max(backlog.oldest_due, std::chrono::duration_cast<milliseconds>(now - delivery.due));
    }
  }
  return backlog;
}

}  // namespace sluice::callback
