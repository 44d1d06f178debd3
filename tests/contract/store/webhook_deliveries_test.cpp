#include <gtest/gtest.h>

#include "common/store/webhook_delivery_log.h"
#include "common/store/webhook_endpoint_store.h"
#include "tests/support/mysql_test.h"

namespace sluice {
namespace {

class WebhookDeliveries : public testing::MysqlTest {
 protected:
  void prepare() override {
    database_->clear_jobs();
    ids_ = std::make_unique<IdMaker>(database_->clock(), database_->rng());
    log_ = std::make_unique<WebhookDeliveryLog>(database_->pool());
    endpoint_ = endpoint("t", "enabled");
  }
  WebhookEndpointId endpoint(const std::string& tenant, const std::string& state) {
    const auto id = ids_->make<WebhookEndpointId>(1);
    const std::string why = state == "enabled" ? "NULL, NULL" : "'gone', UTC_TIMESTAMP(6)";
    database_->execute(
        "INSERT INTO webhook_endpoint (id, shard, tenant_id, url, description, events, state, "
        "disabled_reason, "
        "disabled_at, secret_sealed, created_at) VALUES ('" +
        id.value + "', 1, '" + tenant + "', 'https://a.example/', '', '*', '" + state + "', " + why +
        ", 'x', UTC_TIMESTAMP(6))");
    return id;
  }
  // `ago_s`: how long ago it was made. Pending ones are due now.
  DeliveryId delivery(const std::string& state, const WebhookEndpointId& to, int ago_s = 0,
                      const std::string& tenant = "t") {
    const auto id = ids_->make<DeliveryId>(1);
    job_ = ids_->make<JobId>(1);
    event_ = ids_->make<EventId>(1);
    const bool pending = state == "pending";
    const std::string at = "UTC_TIMESTAMP(6) - INTERVAL " + std::to_string(ago_s) + " SECOND";
    database_->execute(
        "INSERT INTO delivery (id, shard, tenant_id, event_id, job_id, endpoint_id, url, endpoint, state, "
        "attempts, "
        "attempt_due, created_at, finished_at, last_status, last_error) VALUES ('" +
        id.value + "', 1, '" + tenant + "', '" + event_.value + "', '" + job_.value + "', '" + to.value +
        "', 'https://a.example/', 'e', '" + state + "', 10, " + (pending ? "UTC_TIMESTAMP(6)" : "NULL") +
        ", " + at + ", " + (pending ? "NULL" : "UTC_TIMESTAMP(6)") + ", 500, 'HTTP status 500')");
    return id;
  }
  std::vector<DeliveryId> listed(const DeliveryFilter& filter) {
    const auto found = log_->list(filter, soon());
    EXPECT_TRUE(found) << found.error().message;
    std::vector<DeliveryId> ids;
    for (const LoggedDelivery& one : *found) ids.push_back(one.id);
    return ids;
  }
  DeliveryFilter all(int limit = 20) {
    DeliveryFilter filter;
    filter.tenant = tenant_;
    filter.limit = limit;
    return filter;
  }
  ReplayFilter since(int ago_s) {
    ReplayFilter filter;
    filter.tenant = tenant_;
    const auto rows = database_->pool().query(Sql("SELECT UNIX_TIMESTAMP() - ?").bind(ago_s), soon());
    filter.since_s = rows->front().int64(0);
    return filter;
  }
  std::string state(const DeliveryId& id) { return log_->get(tenant_, id, soon())->state; }
  std::int64_t number(const std::string& question, const DeliveryId& id) {
    const auto rows = database_->pool().query(
        Sql("SELECT " + question + " FROM delivery WHERE id = ?").bind(id.value), soon());
    EXPECT_TRUE(rows) << rows.error().message;
    return rows->front().int64(0);
  }

  const TenantId tenant_{"t"};
  const TenantId other_{"other"};
  std::unique_ptr<IdMaker> ids_;
  std::unique_ptr<WebhookDeliveryLog> log_;
  WebhookEndpointId endpoint_;
  JobId job_;      // Of the delivery that was made last.
  EventId event_;  // The same.
};

TEST_F(WebhookDeliveries, AreListedNewestFirstAndByWhatIsAsked) {
  const DeliveryId own = delivery("failed", {});
  const JobId owns_job = job_;
  const DeliveryId waits = delivery("pending", endpoint_);
  const DeliveryId done = delivery("delivered", endpoint_);
  delivery("failed", {}, 0, "other");
  EXPECT_EQ(listed(all()), (std::vector{done, waits, own}));
  DeliveryFilter filter = all();
  filter.endpoint_id = endpoint_;
  EXPECT_EQ(listed(filter), (std::vector{done, waits}));
  filter.state = "pending";
  EXPECT_EQ(listed(filter), std::vector{waits});
  filter = all();
  filter.endpoint_id = WebhookEndpointId{};
  EXPECT_EQ(listed(filter), std::vector{own});
  filter = all();
  filter.job_id = owns_job;
  EXPECT_EQ(listed(filter), std::vector{own});
  filter = all();
  filter.event_id = event_;  // The other tenant's.
  EXPECT_EQ(listed(filter), std::vector<DeliveryId>{});
  filter = all(1);
  filter.after = done;
  EXPECT_EQ(listed(filter), std::vector{waits});
}

TEST_F(WebhookDeliveries, SayHowTheyStand) {
  const DeliveryId id = delivery("pending", endpoint_);
  const auto one = log_->get(tenant_, id, soon());
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_EQ(one->job_id, job_);
  EXPECT_EQ(one->event_id, event_);
  EXPECT_EQ(one->endpoint_id, endpoint_);
  EXPECT_EQ(one->attempts, 10);
  EXPECT_EQ(one->last_status, 500);
  EXPECT_EQ(one->last_error, "HTTP status 500");
  EXPECT_GT(one->next_attempt_us, 0);
  EXPECT_EQ(one->finished_us, 0);
  EXPECT_EQ(log_->get(other_, id, soon()).error().code, ErrorCode::kNotFound);
}

TEST_F(WebhookDeliveries, AttemptsAreListedInOrderWithTheirBytes) {
  const DeliveryId id = delivery("failed", endpoint_);
  database_->execute("INSERT INTO delivery_attempt VALUES ('" + id.value +
                     "', 2, '2026-01-02 00:00:00.5', 7, NULL, 'timeout', NULL), ('" + id.value +
                     "', 1, '2026-01-01 00:00:00', 20000, 503, 'HTTP status 503', x'ff00fe')");
  const auto made = log_->attempts(id, 100, soon());
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_EQ(made->size(), 2U);
  EXPECT_EQ(made->at(0).attempt, 1);
  EXPECT_EQ(made->at(0).duration_ms, 20'000);
  EXPECT_EQ(made->at(0).status, 503);
  EXPECT_EQ(made->at(0).response, std::string("\xff\0\xfe", 3));
  EXPECT_EQ(made->at(1).started_us, 1'767'312'000'500'000);
  EXPECT_FALSE(made->at(1).status.has_value());
  EXPECT_EQ(made->at(1).error, "timeout");
  const auto last = log_->attempts(id, 1, soon());
  ASSERT_EQ(last->size(), 1U);
  EXPECT_EQ(last->front().attempt, 2);
}

TEST_F(WebhookDeliveries, AReplayIsDueNowWithTheWholeScheduleBeforeIt) {
  for (const char* before : {"failed", "delivered"}) {
    const DeliveryId id = delivery(before, endpoint_);
    const auto replayed = log_->replay(tenant_, id, soon());
    ASSERT_TRUE(replayed) << replayed.error().message;
    EXPECT_EQ(replayed->state, "pending");
    EXPECT_EQ(replayed->event_id, event_);
    EXPECT_EQ(replayed->attempts, 10);  // The record of what was made stays.
    EXPECT_EQ(number("attempts_base", id), 10);
    EXPECT_EQ(number("attempt_due <= UTC_TIMESTAMP(6)", id), 1);
  }
}

TEST_F(WebhookDeliveries, AReplayOfAWaitingOneBringsItForwardUnlessSomebodyMayHoldIt) {
  const DeliveryId id = delivery("pending", endpoint_);
  database_->execute("UPDATE delivery SET attempt_due = UTC_TIMESTAMP(6) + INTERVAL 5 HOUR");
  ASSERT_TRUE(log_->replay(tenant_, id, soon()));
  EXPECT_EQ(number("attempt_due <= UTC_TIMESTAMP(6)", id), 1);
  EXPECT_EQ(number("attempts_base", id), 0);
  database_->execute("UPDATE delivery SET attempt_due = UTC_TIMESTAMP(6) + INTERVAL 50 SECOND");
  ASSERT_TRUE(log_->replay(tenant_, id, soon()));
  EXPECT_EQ(number("attempt_due <= UTC_TIMESTAMP(6)", id), 0);
}

TEST_F(WebhookDeliveries, NobodyReplaysAnothersOrToADisabledEndpoint) {
  const DeliveryId id = delivery("failed", endpoint_);
  EXPECT_EQ(log_->replay(other_, id, soon()).error().code, ErrorCode::kNotFound);
  for (const WebhookEndpointId& to :
       {endpoint("t", "disabled"), ids_->make<WebhookEndpointId>(1), endpoint("other", "enabled")}) {
    const DeliveryId lost = delivery("failed", to);
    EXPECT_EQ(log_->replay(tenant_, lost, soon()).error().code, ErrorCode::kConflict);
    EXPECT_EQ(state(lost), "failed");
  }
  ReplayFilter filter = since(3600);
  filter.tenant = other_;
  filter.failed_only = false;
  EXPECT_EQ(log_->replay_since(filter, soon())->count, 0);
  EXPECT_EQ(state(id), "failed");
  EXPECT_EQ(log_->replay_since(since(3600), soon())->count, 1);  // Only that of the enabled endpoint.
}

TEST_F(WebhookDeliveries, AllThatFailedSinceATimeIsReplayed) {
  const DeliveryId old = delivery("failed", endpoint_, 7200);
  const DeliveryId failed = delivery("failed", endpoint_, 60);
  const DeliveryId own = delivery("failed", {}, 60);
  const DeliveryId delivered = delivery("delivered", endpoint_, 60);
  const DeliveryId waits = delivery("pending", endpoint_, 60);
  ReplayFilter filter = since(3600);
  filter.endpoint_id = endpoint_;
  auto replayed = log_->replay_since(filter, soon());
  ASSERT_TRUE(replayed) << replayed.error().message;
  EXPECT_EQ(replayed->count, 1);
  EXPECT_FALSE(replayed->more);
  EXPECT_EQ(replayed->last, failed);
  EXPECT_EQ(state(failed), "pending");
  EXPECT_EQ(state(own), "failed");
  EXPECT_EQ(state(delivered), "delivered");
  filter.endpoint_id.reset();
  filter.failed_only = false;
  EXPECT_EQ(log_->replay_since(filter, soon())->count, 2);
  EXPECT_EQ(state(old), "failed");
  EXPECT_EQ(number("attempts_base", waits), 0);
}

TEST_F(WebhookDeliveries, AnIdMadeByAClockThatIsSlowIsReplayedToo) {
  ManualClock clock;
  clock.set_wall(database_->clock().wall_now() - std::chrono::hours(20));
  ids_ = std::make_unique<IdMaker>(clock, database_->rng());
  const DeliveryId slow = delivery("failed", endpoint_, 60);
  EXPECT_EQ(log_->replay_since(since(3600), soon())->count, 1);
  EXPECT_EQ(state(slow), "pending");
  ReplayFilter all = since(0);
  all.since_s = 0;
  all.failed_only = false;
  delivery("delivered", endpoint_, 7200);
  EXPECT_EQ(log_->replay_since(all, soon())->count, 1);
}

TEST_F(WebhookDeliveries, ManyAreReplayedInPartsThatGoOnWhereTheLastEnded) {
  const DeliveryId one = delivery("failed", endpoint_, 60);
  // The same one 12,000 times, under ids after its own.
  for (int made = 1; made < 12'000; made *= 2) {
    database_->execute(
        "INSERT INTO delivery (id, shard, tenant_id, event_id, job_id, endpoint_id, url, endpoint, state, "
        "attempts, created_at, "
        "finished_at) SELECT CONCAT('dlv_', LPAD(n + " +
        std::to_string(made) + ", 36, 'z')), 1, 't', CONCAT('evt_', n + " + std::to_string(made) +
        "), '', endpoint_id, url, endpoint, 'failed', 0, created_at, finished_at FROM (SELECT *, "
        "ROW_NUMBER() OVER (ORDER BY id) - 1 AS n FROM delivery) AS d WHERE n + " +
        std::to_string(made) + " < 12000");
  }
  ReplayFilter filter = since(3600);
  // Somebody holds the 2,500th: what came before it is not forgotten.
  const auto held = database_->pool().transaction(soon(), [&](MysqlConnection& db) -> Result<bool> {
    SLUICE_TRY(db.query(
        Sql("SELECT id FROM delivery WHERE id = CONCAT('dlv_', LPAD(2500, 36, 'z')) FOR UPDATE"), soon()));
    const auto some = log_->replay_since(filter, Deadline::in(database_->clock(), std::chrono::seconds(4)));
    EXPECT_TRUE(some) << some.error().message;
    if (!some) return false;
    EXPECT_GT(some->count, 0);
    EXPECT_LE(some->count, 3'000);
    EXPECT_TRUE(some->more);
    EXPECT_FALSE(some->last.empty());
    return true;
  });
  ASSERT_TRUE(held) << held.error().message;
  database_->execute(
      "UPDATE delivery SET state = 'failed', attempt_due = NULL, finished_at = UTC_TIMESTAMP(6) WHERE state "
      "= "
      "'pending'");
  const auto first = log_->replay_since(filter, soon());
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->count, kReplayMax);
  EXPECT_TRUE(first->more);
  EXPECT_EQ(state(one), "pending");
  filter.after = first->last;
  const auto rest = log_->replay_since(filter, soon());
  ASSERT_TRUE(rest) << rest.error().message;
  EXPECT_EQ(rest->count, 2'000);
  EXPECT_FALSE(rest->more);
}

}  // namespace
}  // namespace sluice
