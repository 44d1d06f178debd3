// Deliveries and their attempts: what the callback service keeps in the database of record.
//
// Safe for concurrent use, by several processes too. All times are the database's clock. Errors of every
// method: kUnavailable, kDeadline, kExhausted: nothing was done. kOutcomeUnknown: a COMMIT's fate could not
// be read; repeat the call, each is idempotent. kInvalid: the database refused the data. kInternal: a defect.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "callback/delivery/delivery.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/ids/ids.h"

namespace sluice::callback {

inline constexpr std::size_t kResponseBytesKept = 4096;
// Longer than the whole schedule of one delivery, so that no single bad one decides; nor do two with days
// between them in which nothing was tried.
inline constexpr std::chrono::hours kEndpointDisableAfter{120};

struct NewDelivery {
  DeliveryId id;
  WebhookEndpointId endpoint_id;  // Empty: the job's own callback_url.
  std::string url;
  std::string endpoint;
};

// The end of a batch's line that is told together with others, by the batch's own deliveries.
struct WaitingLine {
  Together all;  // Once all lines have ended there is nothing to wait for.
  std::string url;
  std::string endpoint;
  TenantId tenant;
};

// Who receives an event, and what they are sent.
struct Decision {
  EventId event_id;
  std::vector<NewDelivery> deliveries;  // Of different endpoints.
  std::string body;                     // Counts only if somebody receives it.
  std::optional<WaitingLine> waiting;   // Beside the deliveries: told to its URL with others.
};

enum class DecideOutcome {
  kDecided,         // This call did it.
  kAlreadyDecided,  // Somebody did before; nothing changed.
  kUnknown,         // There is no such event.
};

struct DueEndpoint {
  std::string endpoint;
  std::chrono::milliseconds waited{0};  // Since its longest waiting delivery became due.
};

struct ClaimWish {
  std::string endpoint;
  int deliveries_max = 0;
};

struct AttemptRecord {
  DeliveryRef ref;
  WebhookEndpointId endpoint_id;
  AttemptReport report;
  Verdict verdict;
  std::string url;  // Where it went: an answer from there says nothing of an endpoint that has moved.
};

enum class RecordOutcome {
  kRecorded,
  kLost,  // The claim lapsed and the row is somebody else's now, or this was recorded before: nothing
          // changed.
};

struct Backlog {
  std::int64_t pending = 0;                 // Counted up to the limit that was asked for.
  std::chrono::milliseconds oldest_due{0};  // How long the longest waiting one has been due; 0: none is.
  std::int64_t disabled_endpoints = 0;      // Registered ones that were gone or only failed.
};

class DeliveryStore {
 public:
  virtual ~DeliveryStore() = default;

  // The events among `ids`, in any order; unknown ones are absent. Takes no locks.
  virtual Result<std::vector<EventRecord>> find_events(std::span<const EventId> ids, Deadline deadline) = 0;
  // The tenants' enabled endpoints. Takes no locks.
  virtual Result<std::vector<Subscriber>> subscribers(std::span<const TenantId> tenants,
                                                      Deadline deadline) = 0;
  // All decisions in one transaction: the deliveries, due now, with their payload, and the mark that the
  // event is decided. What waits to be told together is kept; of a batch whose own end is decided it is told
  // first. An endpoint that was disabled meanwhile gets none. One answer for each, in order. An
  // event may be named once only.
  virtual Result<std::vector<DecideOutcome>> decide(std::span<const Decision> decisions,
                                                    Deadline deadline) = 0;

  // Endpoints that have deliveries due now, longest waiting first.
  virtual Result<std::vector<DueEndpoint>> due_endpoints(int limit, Deadline deadline) = 0;
  // Takes due deliveries, of each endpoint the longest due. For `hold` nobody else gets them; then they are
  // due again by themselves, so that a lost sender's work comes back. What is due to an endpoint that is
  // disabled or gone is failed instead. Of one job's events an ordered endpoint's later ones are passed over
  // while an earlier one is undecided or pending there.
  virtual Result<std::vector<ClaimedDelivery>> claim(std::span<const ClaimWish> wishes,
                                                     std::chrono::milliseconds hold, Deadline deadline) = 0;
  // The attempt and what follows from it, all in one transaction: a registered endpoint that says that it is
  // gone (410), or that has only failed for too long, is disabled, and the tenant's other endpoints are told.
  // One answer for each, in order.
  virtual Result<std::vector<RecordOutcome>> record(std::span<const AttemptRecord> records,
                                                    Deadline deadline) = 0;
  // Gives claims back as if they had never been made, due after `delay`. Lost claims are passed over.
  virtual Status release(std::span<const DeliveryRef> claims, std::chrono::milliseconds delay,
                         Deadline deadline) = 0;
  // Fails deliveries of `endpoint` that have been due for longer than `waited`; at most `limit`. Answers how
  // many. What waited behind them is due.
  virtual Result<int> give_up(const std::string& endpoint, std::chrono::milliseconds waited,
                              const std::string& reason, int limit, Deadline deadline) = 0;

  virtual Result<Backlog> backlog(std::int64_t count_max, Deadline deadline) = 0;
};

// Text that fits a column of `bytes_max` characters whatever it holds: cut, and '?' for all but visible
// ASCII.
std::string plain_text(const std::string& text, std::size_t bytes_max);

}  // namespace sluice::callback
