// How the real store asks: what must stay cheap however much waits, or is over.
#include <gtest/gtest.h>

#include "callback/store/line_groups.h"
#include "callback/store/mysql_delivery_store.h"
#include "callback/store/mysql_rows.h"
#include "common/store/webhook_endpoint_store.h"
#include "tests/contract/callback/store_under_test.h"
#include "tests/support/mysql_reads.h"
#include "tests/support/mysql_test.h"
#include "tests/unit/callback/support/deliveries.h"

namespace sluice::callback {
namespace {

using namespace std::chrono_literals;

class MysqlPlans : public ::sluice::testing::MysqlTest {
 protected:
  using Kind = Verdict::Kind;

  void prepare() override {
    under_test_ = testing::mysql_under_test();
    reads_ = std::make_unique<sluice::testing::MysqlReads>(*database_);
    store_ = std::make_unique<MysqlDeliveryStore>(reads_->pool(), ids_);
  }
  WebhookEndpointId ordered_endpoint() {
    const auto id = ids_.make<WebhookEndpointId>(1);
    database_->execute(
        "INSERT INTO webhook_endpoint (id, shard, tenant_id, url, description, events, state, secret_sealed, "
        "ordered, created_at) VALUES ('" +
        id.value + "', 1, 't', 'https://a.example/', '', '*', 'enabled', 'x', 1, UTC_TIMESTAMP(6))");
    return id;
  }
  // Deliveries to `id`, each of a job's first event, or (`about_jobs` false) of events of the endpoint's own.
  void add_deliveries(const WebhookEndpointId& id, int count, bool about_jobs, bool over) {
    Sql events(
        "INSERT INTO event (id, shard, tenant_id, job_id, generation, type, created_at, publish_due) "
        "VALUES ");
    Sql deliveries(
        "INSERT INTO delivery (state, attempt_due, finished_at, id, shard, tenant_id, event_id, job_id, "
        "endpoint_id, url, endpoint, created_at) VALUES ");
    for (int i = 0; i < count; ++i) {
      const auto event = ids_.make<EventId>(1);
      const std::string job = about_jobs ? ids_.make<JobId>(1).value : "";
      events.row(event.value, 1, "t", job, 1, "job.succeeded", kThen, std::nullopt);
      const auto due = over ? std::nullopt : std::optional<std::string_view>(kMuchLater);
      const auto ended = over ? std::optional<std::string_view>(kThen) : std::nullopt;
      deliveries.row(over ? "delivered" : "pending", due, ended, ids_.make<DeliveryId>(1).value, 1, "t",
                     event.value, job, id.value, "https://a.example/", id.value, kThen);
    }
    if (about_jobs) {
      ASSERT_TRUE(database_->pool().execute(events, soon()));
    }
    ASSERT_TRUE(database_->pool().execute(deliveries, soon()));
  }
  // A delivery of the endpoint's own, and one of each of a job's first two events: sent one after the other.
  std::int64_t send_in_order(const WebhookEndpointId& id) {
    add_deliveries(id, 1, false, false);
    const JobId job = ids_.make<JobId>(1);
    for (int generation = 1; generation <= 2; ++generation) {
      auto prepared = testing::prepare(ids_, "", "");
      under_test_->put_event(prepared.event);
      database_->execute("UPDATE event SET job_id = '" + job.value + "', generation = " +
                         std::to_string(generation) + " WHERE id = '" + prepared.event.id.value + "'");
      prepared.decision.deliveries = {{ids_.make<DeliveryId>(1), id, "https://a.example/", id.value}};
      EXPECT_TRUE(store_->decide(std::span(&prepared.decision, 1), soon()));
    }
    database_->execute(
        "UPDATE delivery SET attempt_due = UTC_TIMESTAMP(6) WHERE job_id = '' AND state = 'pending' AND "
        "endpoint_id = '" +
        id.value + "'");
    return reads_->by([&] {
      std::size_t sent = 0;
      for (const std::size_t wanted : {2U, 1U}) {
        const ClaimWish wish{id.value, 100};
        const auto claimed = store_->claim(std::span(&wish, 1), 60s, soon());
        ASSERT_TRUE(claimed) << claimed.error().message;
        ASSERT_EQ(claimed->size(), wanted);
        for (const ClaimedDelivery& one : *claimed) {
          AttemptRecord record{one.ref, id, {}, {Kind::kDelivered, 0ms}, one.url};
          record.report.status = 200;
          ASSERT_EQ(store_->record(std::span(&record, 1), soon())->front(), RecordOutcome::kRecorded);
          ++sent;
        }
      }
      EXPECT_EQ(sent, 3U);
    });
  }
  // Ends of lines that wait: `count` of each of `batches`, all due or due much later.
  void add_waiting(const std::vector<BatchId>& batches, int count, int lines_max, bool due) {
    Sql sql(
        "INSERT INTO line_event (event_id, batch_id, tenant_id, url, url_key, endpoint, lines_max, bytes, "
        "due, body) VALUES ");
    for (const BatchId& batch : batches) {
      for (int i = 0; i < count; ++i) {
        sql.row(ids_.make<EventId>(1).value, batch.value, "t", kUrl, to_hex(sha256(kUrl)),
                "https://a.example:443", lines_max, 2, due ? kThen : kMuchLater, "{}");
      }
    }
    ASSERT_TRUE(database_->pool().execute(sql, soon()));
  }
  std::vector<BatchId> batches(int count) {
    std::vector<BatchId> made;
    for (int i = 0; i < count; ++i) made.push_back(ids_.make<BatchId>(1));
    return made;
  }

  static constexpr const char* kThen = "2001-01-01 00:00:00";
  static constexpr const char* kMuchLater = "2101-01-01 00:00:00";
  static constexpr const char* kUrl = "https://a.example/x";
  std::unique_ptr<testing::StoreUnderTest> under_test_;
  SystemClock clock_;
  SystemRng rng_;
  IdMaker ids_{clock_, rng_};
  std::unique_ptr<sluice::testing::MysqlReads> reads_;
  std::unique_ptr<MysqlDeliveryStore> store_;
};

TEST_F(MysqlPlans, ADeadEndpointsBacklogIsNotReadToFindTheOthers) {
  IdMaker ids(database_->clock(), database_->rng());
  std::vector<Decision> decisions;
  for (int i = 0; i < 600; ++i) {
    const std::string endpoint = i < 590 ? "http://dead:80" : "http://live" + std::to_string(i) + ":80";
    const auto prepared = testing::prepare(ids, endpoint + "/", endpoint);
    under_test_->put_event(prepared.event);
    decisions.push_back(prepared.decision);
  }
  ASSERT_TRUE(under_test_->store().decide(decisions, database_->soon()));
  database_->execute("ANALYZE TABLE delivery");

  // Eleven endpoints, a few dives for each.
  const std::int64_t read = reads_->by([&] {
    const auto due = store_->due_endpoints(100, soon());
    ASSERT_TRUE(due) << due.error().message;
    EXPECT_EQ(due->size(), 11u);
  });
  EXPECT_LT(read, 200);
}

TEST_F(MysqlPlans, OrderCostsTheSameWhateverElseTheEndpointWasSentOrWaits) {
  const auto id = ordered_endpoint();
  const auto other = ordered_endpoint();
  send_in_order(id);  // Its answers are not remembered by the session.
  const std::int64_t before = send_in_order(id);
  add_deliveries(id, 1'500, false, true);
  add_deliveries(id, 1'500, true, true);
  add_deliveries(id, 1'500, true, false);
  add_deliveries(other, 1'500, false, false);
  database_->execute(
      "UPDATE delivery SET attempt_due = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR WHERE state = 'pending'");
  // Without fresh statistics, as after any flood, and with them.
  EXPECT_LE(send_in_order(id), before + 10);
  database_->execute("ANALYZE TABLE delivery, event");
  EXPECT_LE(send_in_order(id), before + 10);
}

TEST_F(MysqlPlans, WhatWaitsForTheOrderIsWokenWithoutReadingOtherEndpointsDeliveriesOrThoseThatAreOver) {
  const auto id = ordered_endpoint();
  const auto other = ordered_endpoint();
  add_deliveries(id, 3, true, false);
  WebhookEndpointStore endpoints(reads_->pool(), ids_, rng_, std::nullopt);
  const auto wake = [&] {
    database_->execute(
        "UPDATE delivery SET behind = 1, attempt_due = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR "
        "WHERE state = 'pending'");
    return reads_->by([&] {
      EndpointChanges changes;
      changes.ordered = false;
      EXPECT_TRUE(endpoints.update(TenantId{"t"}, id, changes, soon()));
    });
  };
  const std::int64_t before = wake();
  add_deliveries(id, 1'500, true, true);
  add_deliveries(other, 1'500, true, false);
  EXPECT_LE(wake(), before + 10);
  database_->execute("ANALYZE TABLE delivery");
  EXPECT_LE(wake(), before + 10);
}

TEST_F(MysqlPlans, ALookForGroupsThatAreDueReadsNothingOfThoseThatWait) {
  LineGroups groups(reads_->pool(), ids_);
  const auto look = [&](int due) {
    return reads_->by([&] {
      const auto told = groups.tell_due(due + 1, soon());
      ASSERT_TRUE(told) << told.error().message;
      EXPECT_FALSE(told->failed);
      EXPECT_EQ(told->deliveries, due);
    });
  };
  add_waiting(batches(1), 1, 1'000, false);
  const std::int64_t idle = look(0);
  add_waiting(batches(2), 1, 1'000, true);
  const std::int64_t busy = look(2);
  for (int i = 0; i < 3; ++i) add_waiting(batches(500), 2, 1'000, false);
  EXPECT_LE(look(0), idle + 10);
  add_waiting(batches(2), 1, 1'000, true);
  EXPECT_LE(look(2), busy + 10);
  database_->execute("ANALYZE TABLE line_event");
  EXPECT_LE(look(0), idle + 10);
}

TEST_F(MysqlPlans, ATurnReadsNoMoreOfWhatIsDueThanItTells) {
  LineGroups groups(reads_->pool(), ids_);
  const auto turn = [&] {
    return reads_->by([&] {
      const auto told = groups.tell_due(5, soon());
      ASSERT_TRUE(told) << told.error().message;
      EXPECT_EQ(told->deliveries, 5);
    });
  };
  add_waiting(batches(20), 1, 10, true);
  const std::int64_t before = turn();
  add_waiting(batches(1'500), 1, 10, true);
  EXPECT_LE(turn(), before + 10);
  database_->execute("ANALYZE TABLE line_event");
  EXPECT_LE(turn(), before + 10);
}

TEST_F(MysqlPlans, AGroupReadsNoMoreOfWhatWaitsThanItHolds) {
  const auto batch = batches(1);
  const auto tell = [&] {
    return reads_->by([&] {
      const auto lines = reads_->pool().transaction(soon(), [&](MysqlConnection& db) {
        return store::group_lines(db, ids_, {batch[0].value, to_hex(sha256(kUrl)), 3}, false, soon());
      });
      ASSERT_TRUE(lines) << lines.error().message;
      EXPECT_EQ(*lines, 3);
    });
  };
  add_waiting(batch, 10, 3, false);
  const std::int64_t before = tell();
  add_waiting(batch, 1'500, 3, false);
  EXPECT_LE(tell(), before + 10);
  database_->execute("ANALYZE TABLE line_event");
  EXPECT_LE(tell(), before + 10);
}

TEST_F(MysqlPlans, ADecisionAboutALineOrABatchReadsNothingOfOthersThatWait) {
  const auto own = batches(1);
  const auto line = [&] {
    auto prepared = testing::prepare(ids_, "", "");
    under_test_->put_event(prepared.event);
    prepared.decision.waiting = WaitingLine{{own[0], 4, 1h}, kUrl, "https://a.example:443", {"t"}};
    return reads_->by([&] { EXPECT_TRUE(store_->decide(std::span(&prepared.decision, 1), soon())); });
  };
  const auto end = [&] {
    const auto ended = batches(1);
    add_waiting(ended, 3, 1'000, false);
    auto prepared = testing::prepare(ids_, kUrl, "https://a.example:443");
    under_test_->put_event(prepared.event);
    database_->execute("UPDATE event SET job_id = '" + ended[0].value +
                       "', type = 'batch.completed' WHERE id = '" + prepared.event.id.value + "'");
    return reads_->by([&] { EXPECT_TRUE(store_->decide(std::span(&prepared.decision, 1), soon())); });
  };
  add_waiting(own, 10, 4, false);
  const std::int64_t before_line = line();
  const std::int64_t before_end = end();
  add_waiting(own, 1'500, 4, false);
  for (int i = 0; i < 3; ++i) add_waiting(batches(500), 2, 1'000, false);
  EXPECT_LE(line(), before_line + 10);
  EXPECT_LE(end(), before_end + 10);
  database_->execute("ANALYZE TABLE line_event");
  EXPECT_LE(line(), before_line + 10);
  EXPECT_LE(end(), before_end + 10);
}

}  // namespace
}  // namespace sluice::callback
