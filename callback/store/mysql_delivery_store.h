// DeliveryStore on MySQL or MariaDB: the tables event, event_payload, delivery, delivery_attempt and
// webhook_endpoint of schema/sql.
//
// Rows are locked in the order of their ids, except by claims, which pass over what is locked (SKIP LOCKED).
#pragma once

#include "callback/store/delivery_store.h"
#include "common/mysql/mysql.h"

namespace sluice::callback {

class MysqlDeliveryStore final : public DeliveryStore {
 public:
  // `pool` and `ids` must outlive the store. A registered endpoint that only failed for longer than
  // `disable_after` is disabled.
  MysqlDeliveryStore(MysqlPool& pool, IdMaker& ids,
                     std::chrono::milliseconds disable_after = kEndpointDisableAfter)
      : pool_(pool), ids_(ids), disable_after_(disable_after) {}

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
  MysqlPool& pool_;
  IdMaker& ids_;
  const std::chrono::milliseconds disable_after_;
};

}  // namespace sluice::callback
