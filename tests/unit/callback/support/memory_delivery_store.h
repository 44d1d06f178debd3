// DeliveryStore in memory, for tests: the same promises, on a clock that the test moves.
#pragma once

#include <map>

#include "callback/store/delivery_store.h"
#include "common/base/mutex.h"

namespace sluice::callback {

class MemoryDeliveryStore final : public DeliveryStore {
 public:
  struct Attempt {
    int attempt = 0;
    AttemptReport report;
  };
  struct Delivery {
    ClaimedDelivery what;  // `ref.attempts` is the number made, `ref.claim` that of the last claim.
    std::string state = "pending";
    WallTime due;  // While pending.
    std::optional<int> last_status;
    std::string last_error;
    std::vector<Attempt> attempts;
  };

  // `clock` must outlive the store; its wall clock is the "database's".
  explicit MemoryDeliveryStore(const Clock& clock) : clock_(clock) {}

  // What a test prepares and looks at.
  void put_event(EventRecord event) EXCLUDES(mutex_);
  std::vector<Delivery> deliveries() const EXCLUDES(mutex_);
  // Decided ends of lines that wait to be told together. (What makes deliveries of them, only the real store
  // has.)
  std::vector<Decision> waiting_lines() const EXCLUDES(mutex_);
  void make_due(const DeliveryId& id, std::chrono::milliseconds ago = {}) EXCLUDES(mutex_);
  // An enabled endpoint. (What disabling does, only the real store does.)
  void put_subscriber(Subscriber subscriber) EXCLUDES(mutex_);
  // Every call fails with this until it is set to nullopt.
  void fail_with(std::optional<Error> error) EXCLUDES(mutex_);

  Result<std::vector<EventRecord>> find_events(std::span<const EventId> ids, Deadline deadline) override;
  Result<std::vector<Subscriber>> subscribers(std::span<const TenantId> tenants, Deadline deadline) override;
  Result<std::vector<DecideOutcome>> decide(std::span<const Decision> decisions, Deadline deadline) override;
  Result<std::vector<DueEndpoint>> due_endpoints(int limit, Deadline deadline) override;
  Result<std::vector<ClaimedDelivery>> claim(std::span<const ClaimWish> wishes,
                                             std::chrono::milliseconds hold, Deadline deadline) override;
  Result<std::vector<RecordOutcome>> record(std::span<const AttemptRecord> records,
                                            Deadline deadline) override;
  Status release(std::span<const DeliveryRef> claims, std::chrono::milliseconds delay,
                 Deadline deadline) override;
  Result<int> give_up(const std::string& endpoint, std::chrono::milliseconds waited,
                      const std::string& reason, int limit, Deadline deadline) override;
  Result<Backlog> backlog(std::int64_t count_max, Deadline deadline) override;

 private:
  Delivery* held(const DeliveryRef& ref) REQUIRES(mutex_);
  std::vector<Delivery*> due(const std::string& endpoint, WallTime now) REQUIRES(mutex_);

  const Clock& clock_;
  mutable Mutex mutex_;
  std::map<std::string, EventRecord> events_ GUARDED_BY(mutex_);
  std::vector<Subscriber> subscribers_ GUARDED_BY(mutex_);
  std::map<std::string, Delivery> deliveries_ GUARDED_BY(mutex_);  // By id.
  std::vector<Decision> waiting_lines_ GUARDED_BY(mutex_);
  std::optional<Error> failure_ GUARDED_BY(mutex_);
  std::int64_t claims_ GUARDED_BY(mutex_) = 0;
};

}  // namespace sluice::callback
