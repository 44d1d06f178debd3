// Takes due deliveries, signs and sends them, and records what came of it.
//
//   claim (rows are held for a while) → sign → POST → record the attempt and what follows
//
// A crash anywhere in it leaves a held row that becomes due again: the receiver may get the same event twice,
// with the same id and body, and never not at all. Two threads: one claims and sends, one records.
//
// start() and stop() are for one owner; wake() is safe from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "callback/courier/endpoint_gate.h"
#include "callback/metrics/callback_metrics.h"
#include "callback/schedule/retry_schedule.h"
#include "callback/sender/sender.h"
#include "callback/signature/key_cache.h"
#include "callback/store/delivery_store.h"
#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/mutex.h"
#include "common/log/log.h"

namespace sluice::callback {

struct CourierConfig {
  // How long a claim holds a row: longer than an attempt with its recording can take, or a receiver gets it
  // twice.
  std::chrono::milliseconds hold{60'000};
  std::chrono::milliseconds poll{500};            // How often to look for what became due.
  std::chrono::milliseconds call_timeout{5'000};  // Of each call to the database.
  // A delivery that waited this long behind an endpoint which only fails is failed itself.
  std::chrono::milliseconds give_up_after = std::chrono::hours(72);
  std::chrono::milliseconds put_back_delay{
      5'000};                  // Before another try of what could not be sent for a lack of ours.
  int endpoints_max = 20'000;  // Looked at in one round: dead ones must not hide the others.
};

class Courier {
 public:
  // Everything must outlive the courier.
  Courier(CourierConfig config, DeliveryStore& store, KeyCache& keys, Sender& sender,
          const RetrySchedule& schedule, EndpointGate& gate, Clock& clock, Log log, CourierMetrics metrics);
  ~Courier();
  Courier(const Courier&) = delete;
  Courier& operator=(const Courier&) = delete;

  void start();
  // Something may be due sooner than the next look.
  void wake();
  // Claims no more; what is under way goes on.
  void stop_claiming();
  // Waits until nothing is under way and all is recorded. False: the deadline came first.
  bool drain(Deadline deadline);
  // Call after the sender has stopped: records or gives back what it left, as far as the deadline allows, and
  // joins.
  void stop(Deadline deadline);

 private:
  struct Finished {
    ClaimedDelivery delivery;
    AttemptReport report;
    Verdict verdict;  // Made once, so that recording it again records the same.
    SteadyTime held_until;
  };

  Duration claim_round();
  Duration record_round();
  void give_up_waiting(std::span<const DueEndpoint> due);
  void send(ClaimedDelivery delivery, SteadyTime held_until);
  void finish(ClaimedDelivery delivery, AttemptReport report, SteadyTime held_until);
  // Settle what they can of `finished` and take it out; the error is why the rest has to wait.
  Status record(std::vector<Finished>& finished);
  Status put_back(std::vector<Finished>& finished);
  Result<std::vector<RecordOutcome>> record_batch(std::span<const Finished> batch);
  void tell(const Finished& finished, RecordOutcome outcome);
  void drop_lapsed(std::vector<Finished>& finished);
  Deadline soon() const { return Deadline::in(clock_, config_.call_timeout); }

  const CourierConfig config_;
  DeliveryStore& store_;
  KeyCache& keys_;
  Sender& sender_;
  const RetrySchedule& schedule_;
  EndpointGate& gate_;
  Clock& clock_;
  const Log log_;
  const CourierMetrics metrics_;
  std::atomic<bool> stopping_{false};
  Mutex mutex_;
  std::condition_variable settled_;
  std::vector<Finished> finished_ GUARDED_BY(mutex_);  // Bounded by the gate's places.
  std::vector<Finished> unsettled_;                    // The recording thread's own.
  std::vector<Finished> unsettled_returns_;            // The same, to be put back.
  Loop claiming_;
  Loop recording_;
};

}  // namespace sluice::callback
