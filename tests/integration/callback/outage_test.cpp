// A server goes away and comes back.
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/integration/callback/world.h"

namespace sluice::testing {
namespace {

using namespace std::chrono_literals;

class Outage : public CallbackWorld {
 protected:
  void SetUp() override {
    SLUICE_REQUIRE_OWN_STACK();
    CallbackWorld::SetUp();
  }
};

TEST_F(Outage, TheDatabaseIsDownWhileEventsComeAndAnAttemptIsUnderWay) {
  Receiver receiver([](const Receiver::Request& request) {
    return Receiver::Reply{.delay = request.target == "/slow" ? 3000ms : 0ms};
  });
  start({{"SLUICE_WEBHOOK_TIMEOUT", "20s"}, {"SLUICE_WEBHOOK_HOLD", "60s"}});
  const JobId slow = end_job(receiver.url("/slow"));
  publish();
  ASSERT_TRUE(receiver.wait_for(1));
  const JobId quick = end_job(receiver.url("/quick"));
  ServerOutage outage("mysql");
  // The message of an event whose row the service can't look at now.
  publish_text(
      R"({"event_id":"evt_01890000-0000-7000-8000-000000000001","job_id":"job_01890000-0000-7000-8000-000000000001",)"
      R"("tenant":"x","generation":1,"type":"job.failed"})");
  ASSERT_TRUE(eventually([this] { return service_->metric("sluice_callback_decide_errors_total") > 0; }));
  EXPECT_EQ(service_->get("/ready").first, 503);
  EXPECT_EQ(service_->get("/health").first, 200);
  ASSERT_TRUE(outage.end());
  ASSERT_TRUE(eventually([&] { return database_->pool().query(Sql("SELECT 1"), soon()).has_value(); }, 60s));
  ASSERT_TRUE(wait_state(slow, "delivered", 60s));
  EXPECT_EQ(receiver.requests().size(), 1u);  // Recorded once the database was back, not sent again.
  publish();
  ASSERT_TRUE(wait_state(quick, "delivered", 60s));
  EXPECT_EQ(messages_ready(), 0u);
}

TEST_F(Outage, TheBrokerRestarts) {
  Receiver receiver;
  start();
  const JobId before = end_job(receiver.url());
  publish();
  ASSERT_TRUE(wait_state(before, "delivered"));
  ASSERT_TRUE(stack("restart rabbitmq"));
  const JobId after = end_job(receiver.url());
  // The relay publishes until somebody has decided.
  ASSERT_TRUE(eventually(
      [&] {
        if (!publisher_->ready()) return false;
        publish();
        return wait_state(after, "delivered", 1s);
      },
      60s));
  EXPECT_EQ(receiver.requests().size(), 2u);
}

}  // namespace
}  // namespace sluice::testing
