#include "callback/courier/webhook_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::callback {
namespace {

TEST(WebhookRequest, HasTheHeadersOfStandardWebhooks) {
  ClaimedDelivery delivery;
  delivery.event_id.value = "msg_p5jXN8AQM9LWM0D4loKWxJek";
  delivery.url = "https://example.com/hook";
  delivery.body = R"({"test": 2432232314})";
  const std::vector<SigningKey> keys = {*SigningKey::parse(Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))};
  const SendRequest request =
      webhook_request(delivery, keys, WallTime(std::chrono::milliseconds(1'614'265'330'999)));
  EXPECT_EQ(request.url, "https://example.com/hook");
  EXPECT_EQ(request.body, R"({"test": 2432232314})");
  EXPECT_THAT(request.headers,
              testing::UnorderedElementsAre(
                  "Content-Type: application/json", "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek",
                  "webhook-timestamp: 1614265330",
                  "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
}

}  // namespace
}  // namespace sluice::callback
