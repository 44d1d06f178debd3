// EventStore on MySQL or MariaDB.
#pragma once

#include "common/mysql/mysql.h"
#include "common/store/event_store.h"

namespace sluice {

class MysqlEventStore final : public EventStore {
 public:
  // `pool` must outlive the store.
  MysqlEventStore(MysqlPool& pool, std::chrono::milliseconds republish_after)
      : pool_(pool), republish_after_(republish_after) {}

  Result<std::vector<DueEvent>> due_events(std::span<const int> shards, int limit,
                                           Deadline deadline) override;
  Status mark_events(std::span<const EventId> events, bool published, Deadline deadline) override;

 private:
  MysqlPool& pool_;
  const std::chrono::milliseconds republish_after_;
};

}  // namespace sluice
