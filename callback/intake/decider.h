// Decides who receives an event, and writes it down with what they will be sent. Until that is committed the
// event row stays undecided and comes again, so forgetting a message costs nothing.
//
// Safe for concurrent use, by several processes too.
#pragma once

#include <span>
#include <vector>

#include "callback/payload/payload.h"
#include "callback/store/delivery_store.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/ids/ids.h"
#include "common/store/job_store.h"

namespace sluice::callback {

struct DecideCounts {
  int deliveries = 0;
  int waiting = 0;  // To be told together with others, and to nobody else.
  int no_receiver = 0;
  int duplicates = 0;  // Decided before.
  int unknown = 0;     // No such event.
};

class Decider {
 public:
  // All must outlive this.
  Decider(PayloadConfig config, DeliveryStore& store, JobStore& jobs, IdMaker& ids)
      : config_(std::move(config)), store_(store), jobs_(jobs), ids_(ids) {}

  // All in one transaction. Errors as of DeliveryStore::decide; repeating it is harmless.
  Result<DecideCounts> decide(std::vector<EventId> events, Deadline deadline);

 private:
  // A decision for each event, in order, without its body.
  Result<std::vector<Decision>> find_receivers(std::span<const EventRecord> events, Deadline deadline);
  Result<std::vector<Decision>> make_decisions(std::span<const EventRecord> events, Deadline deadline);

  const PayloadConfig config_;
  DeliveryStore& store_;
  JobStore& jobs_;
  IdMaker& ids_;
};

}  // namespace sluice::callback
