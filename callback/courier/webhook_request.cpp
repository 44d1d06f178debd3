#include "callback/courier/webhook_request.h"

namespace sluice::callback {

SendRequest webhook_request(ClaimedDelivery& delivery, std::span<const SigningKey> keys, WallTime now) {
  const std::int64_t timestamp_s = unix_seconds(now);
  const std::string& id = delivery.event_id.value;
  SendRequest request;
  request.url = delivery.url;
  request.headers = {"Content-Type: application/json", "webhook-id: " + id,
                     "webhook-timestamp: " + std::to_string(timestamp_s),
                     "webhook-signature: " + signature_header(keys, id, timestamp_s, delivery.body)};
  request.body = std::move(delivery.body);
  return request;
}

}  // namespace sluice::callback
