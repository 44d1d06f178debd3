// The words of the callback service: a delivery is one event on its way to one receiver, an attempt is one
// POST of it, a verdict is what follows from an attempt. Plain data.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "common/ids/ids.h"
#include "common/ids/webhook_endpoint_id.h"

namespace sluice::callback {

// Why an attempt has no whole answer.
enum class AttemptFailure {
  kNone,        // An answer came: its status decides.
  kTimeout,     // No whole answer in time.
  kResolve,     // The host's name leads nowhere.
  kConnect,     // Nobody listens there, or the connection broke.
  kTls,         // No trusted TLS session.
  kProtocol,    // What came back is no HTTP.
  kRefused,     // Every address of the host is one that webhooks must not reach.
  kUnsendable,  // There is nothing to send or nowhere to send it: the URL is none, or the payload is gone.
  kNoSecret,    // The tenant has nothing to sign with.
  kCancelled,   // We stop, or lack something: says nothing about the receiver, and is no attempt.
};

struct AttemptReport {
  AttemptFailure failure = AttemptFailure::kNone;
  std::optional<int> status;  // Of the answer, if its header came.
  std::string error;          // For people; ASCII, no URL's path or query in it. Empty with kNone.
  std::string response;       // The first bytes of the answer's body.
  std::string retry_after;    // The header as it came; empty: none.
  std::chrono::milliseconds duration{0};
};

// 2xx, wholly received.
inline bool is_success(const AttemptReport& report) {
  return report.failure == AttemptFailure::kNone && report.status && *report.status >= 200 &&
         *report.status < 300;
}

// That a batch wants its lines' ends told together: so many, or those of so long.
struct Together {
  BatchId batch;
  int lines_max = 1;
  std::chrono::seconds wait{0};
};

// An event row, and where its job or batch wants to hear of it.
struct EventRecord {
  EventId id;
  JobId job_id;  // Or a batch's: whose end it is.
  TenantId tenant;
  std::int64_t generation = 1;  // Of a batch: its revision.
  std::string type;             // "job.succeeded" …
  std::int64_t created_us = 0;
  bool decided = false;              // Somebody has committed who receives it.
  std::string callback_url;          // Empty: nobody asked.
  std::optional<Together> together;  // It is the end of a line of such a batch.
};

// A registered endpoint that chose its tenant's events.
struct Subscriber {
  WebhookEndpointId id;
  TenantId tenant;
  std::string url;
  std::string events;  // Types parted by commas, or "*".
};

struct Verdict {
  enum class Kind { kDelivered, kRetry, kFailed };
  Kind kind = Kind::kFailed;
  std::chrono::milliseconds delay{0};  // kRetry: from now.
};

// Names one claim of one delivery. Whoever lost the claim (it lapsed and somebody else took the row) can't
// record with it any more.
struct DeliveryRef {
  DeliveryId id;
  int attempts = 0;   // Made before this claim.
  std::string claim;  // Opaque; from the store.
  bool operator==(const DeliveryRef&) const = default;
};

struct ClaimedDelivery {
  DeliveryRef ref;
  int attempts_base = 0;  // Of ref.attempts, those before it was replayed: the schedule counts from there.
  EventId event_id;
  JobId job_id;
  TenantId tenant;
  WebhookEndpointId endpoint_id;  // Empty: the job's own callback_url.
  std::string url;
  std::string
      endpoint;      // What is slow or dead together: scheme, host and port, or a registered endpoint's id.
  std::string body;  // The same bytes at each attempt.
};

}  // namespace sluice::callback
