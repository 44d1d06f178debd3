#include "callback/courier/courier.h"

namespace sluice::callback {

CourierMetrics::CourierMetrics(metrics::Registry& registry)
    : deliveries(registry.counter_family(
          "sluice_webhook_deliveries_total",
          "Deliveries that ended: delivered, failed (by an attempt) or given_up (waited too "
          "long behind a dead endpoint)",
          {"outcome"})),
      attempts(registry.counter_family("sluice_webhook_attempts_total", "Recorded attempts, by how they went",
                                       {"outcome"})),
      attempt_seconds(registry.histogram("sluice_webhook_attempt_seconds",
                                         "From the start of an attempt to its end",
                                         metrics::request_seconds_buckets())),
      claimed(
          registry.counter("sluice_webhook_claimed_total", "Deliveries taken from the database to be sent")),
      lost(registry.counter(
          "sluice_webhook_claims_lost_total",
          "Attempts that were not recorded because the claim had lapsed: they are made again")),
      put_back(registry.counter("sluice_webhook_put_back_total", "Claims given back without an attempt")),
      store_errors(
          registry.counter("sluice_webhook_store_errors_total", "Calls to the database that failed")),
      under_way(registry.gauge("sluice_webhook_under_way", "Deliveries being sent or recorded now")),
      resting(registry.gauge("sluice_webhook_resting_endpoints",
                             "Endpoints that only fail and are tried seldom")) {}

}  // namespace sluice::callback
