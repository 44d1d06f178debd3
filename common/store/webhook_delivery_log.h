// What tenants see of their deliveries, and may have sent again. Safe for concurrent use. Errors as in
// job_store.h, and kNotFound: there is no such delivery, or it is another tenant's.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/ids/ids.h"
#include "common/ids/webhook_endpoint_id.h"
#include "common/mysql/mysql.h"

namespace sluice {

struct LoggedDelivery {
  DeliveryId id;
  EventId event_id;
  WebhookEndpointId endpoint_id;  // Empty: the job's own callback_url.
  JobId job_id;                   // Empty: the event is about no job.
  std::string url;
  std::string state;  // "pending", "delivered", "failed"
  int attempts = 0;
  std::optional<int> last_status;
  std::string last_error;
  // Microseconds since 1970; 0: not.
  std::int64_t created_us = 0;
  std::int64_t next_attempt_us = 0;
  std::int64_t finished_us = 0;
};

struct LoggedAttempt {
  int attempt = 0;
  std::int64_t started_us = 0;
  std::int64_t duration_ms = 0;
  std::optional<int> status;  // Empty: no answer came.
  std::string error;
  std::string response;  // The first bytes of the answer, whatever they are.
};

struct DeliveryFilter {
  TenantId tenant;
  std::optional<WebhookEndpointId> endpoint_id;  // An empty id: those to callback_urls.
  JobId job_id;
  EventId event_id;
  std::string state;  // Empty: any.
  DeliveryId after;
  int limit = 20;
};

struct ReplayFilter {
  TenantId tenant;
  std::optional<WebhookEndpointId> endpoint_id;
  std::int64_t since_s = 0;  // Created at or after this.
  bool failed_only = true;   // Otherwise also those that were delivered.
  DeliveryId after;          // Go on after this one.
};

struct Replayed {
  int count = 0;
  DeliveryId last;    // Of those that are sent again; empty: there was none.
  bool more = false;  // There are more after `last`.
};

// The longest that a sender may hold a delivery: one that is due sooner may be under way and is not replayed.
inline constexpr std::chrono::minutes kDeliveryHoldMax{1};
inline constexpr int kReplayMax = 10'000;  // In one call.

class WebhookDeliveryLog {
 public:
  // `pool` must outlive the log.
  explicit WebhookDeliveryLog(MysqlPool& pool) : pool_(pool) {}

  // Newest first.
  Result<std::vector<LoggedDelivery>> list(const DeliveryFilter& filter, Deadline deadline);
  Result<LoggedDelivery> get(const TenantId& tenant, const DeliveryId& id, Deadline deadline);
  // Of a delivery that the caller knows to be the tenant's: the last `limit`, in their order.
  Result<std::vector<LoggedAttempt>> attempts(const DeliveryId& id, int limit, Deadline deadline);
  // Due now, with the whole schedule before it; the id of the event and its body stay. One that waits is due
  // now. kConflict: its endpoint is disabled or gone.
  Result<LoggedDelivery> replay(const TenantId& tenant, const DeliveryId& id, Deadline deadline);
  // The same for many that are over, oldest first, at most kReplayMax; those of disabled endpoints are passed
  // over. If it breaks off after some, these are answered, with `more`.
  Result<Replayed> replay_since(const ReplayFilter& filter, Deadline deadline);

 private:
  MysqlPool& pool_;
};

}  // namespace sluice
