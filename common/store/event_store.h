// The outbox: one event for each end of a job or a batch, from the transaction that ended it until the
// callback service has committed a decision about it. Safe for concurrent use. Errors as in job_store.h.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/ids/ids.h"

namespace sluice {

// What the message on the events exchange carries.
struct EventRef {
  EventId id;
  JobId job_id;  // Or a batch's: whose end it is.
  TenantId tenant;
  std::int64_t generation = 1;  // Of a batch: its revision.
  std::string type;             // "job.succeeded" …
  bool operator==(const EventRef&) const = default;
};

struct DueEvent {
  EventRef ref;
  int publishes = 0;  // > 0: it went out before, and nobody has decided about it yet.
};

std::string event_ref_to_json(const EventRef& ref);
Result<EventRef> event_ref_from_json(std::string_view text);

class EventStore {
 public:
  virtual ~EventStore() = default;
  // Undecided events that should be published now, longest due first.
  virtual Result<std::vector<DueEvent>> due_events(std::span<const int> shards, int limit,
                                                   Deadline deadline) = 0;
  // They were published (or, with `published` false, need not be yet): look again after `republish_after`.
  virtual Status mark_events(std::span<const EventId> events, bool published, Deadline deadline) = 0;
};

}  // namespace sluice
