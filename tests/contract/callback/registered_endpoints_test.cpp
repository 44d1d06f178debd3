// What only the real store does: registered endpoints get the events that they chose, and are disabled.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "callback/courier/endpoint_gate.h"
#include "callback/store/mysql_delivery_store.h"
#include "callback/store/mysql_rows.h"
#include "common/store/webhook_delivery_log.h"
#include "common/store/webhook_events.h"
#include "tests/contract/callback/store_under_test.h"
#include "tests/support/mysql_test.h"
#include "tests/unit/callback/support/deliveries.h"

namespace sluice::callback {
namespace {

using namespace std::chrono_literals;

class RegisteredEndpoints : public ::sluice::testing::MysqlTest {
 protected:
  using Kind = Verdict::Kind;
  using Prepared = testing::Prepared;

  void prepare() override {
    under_test_ = testing::mysql_under_test();
    ids_ = std::make_unique<IdMaker>(database_->clock(), database_->rng());
    store_ = std::make_unique<MysqlDeliveryStore>(database_->pool(), *ids_, 1h);
  }
  WebhookEndpointId endpoint(const std::string& events = "*", const std::string& tenant = "t") {
    const auto id = ids_->make<WebhookEndpointId>(1);
    database_->execute(
        "INSERT INTO webhook_endpoint (id, shard, tenant_id, url, description, events, state, secret_sealed, "
        "created_at) "
        "VALUES ('" +
        id.value + "', 1, '" + tenant + "', 'https://a.example/', '', '" + events +
        "', 'enabled', 'x', UTC_TIMESTAMP(6))");
    return id;
  }
  void disable(const WebhookEndpointId& id) {
    database_->execute(
        "UPDATE webhook_endpoint SET state = 'disabled', disabled_reason = 'request', disabled_at = "
        "UTC_TIMESTAMP(6) WHERE id = '" +
        id.value + "'");
  }
  // Deliveries of one event, all due: to each endpoint.
  std::vector<DeliveryId> pending(std::vector<WebhookEndpointId> to) {
    Prepared prepared = testing::prepare(*ids_, "", "");
    under_test_->put_event(prepared.event);
    std::vector<DeliveryId> made;
    for (const WebhookEndpointId& id : to) {
      made.push_back(ids_->make<DeliveryId>(1));
      prepared.decision.deliveries.push_back({made.back(), id, "https://a.example/", id.value});
    }
    EXPECT_TRUE(store_->decide(std::span(&prepared.decision, 1), soon()));
    return made;
  }
  std::vector<ClaimedDelivery> claim(const WebhookEndpointId& id, int max = 100) {
    const ClaimWish wish{id.value, max};
    auto claimed = store_->claim(std::span(&wish, 1), 60s, soon());
    EXPECT_TRUE(claimed) << claimed.error().message;
    return claimed ? *claimed : std::vector<ClaimedDelivery>{};
  }
  // One more attempt of what is due to `id`, which ends so.
  void attempt(const WebhookEndpointId& id, AttemptFailure failure, std::optional<int> status,
               Verdict::Kind kind) {
    const auto claimed = claim(id, 1);
    ASSERT_EQ(claimed.size(), 1U);
    AttemptRecord record{claimed[0].ref, claimed[0].endpoint_id, {}, {kind, 0ms}};
    record.report.failure = failure;
    record.report.status = status;
    record.url = claimed[0].url;
    const auto outcomes = store_->record(std::span(&record, 1), soon());
    ASSERT_TRUE(outcomes) << outcomes.error().message;
    ASSERT_EQ(outcomes->front(), RecordOutcome::kRecorded);
  }
  void want_order(const WebhookEndpointId& id) {
    database_->execute("UPDATE webhook_endpoint SET ordered = 1 WHERE id = '" + id.value + "'");
  }
  // An undecided event of `job`, and the decision to send it to `id`.
  Prepared event_of(const JobId& job, int generation, const WebhookEndpointId& id) {
    Prepared prepared = testing::prepare(*ids_, "", "");
    under_test_->put_event(prepared.event);
    database_->execute("UPDATE event SET job_id = '" + job.value + "', generation = " +
                       std::to_string(generation) + " WHERE id = '" + prepared.event.id.value + "'");
    prepared.decision.deliveries = {{ids_->make<DeliveryId>(1), id, "https://a.example/", id.value}};
    return prepared;
  }
  void decide(const Prepared& prepared) {
    EXPECT_TRUE(store_->decide(std::span(&prepared.decision, 1), soon()));
  }
  // The deliveries of one job's first two events, both due.
  std::pair<DeliveryId, DeliveryId> two_of_a_job(const WebhookEndpointId& id) {
    const JobId job = ids_->make<JobId>(1);
    const Prepared first = event_of(job, 1, id);
    const Prepared second = event_of(job, 2, id);
    decide(second);  // Messages come in any order.
    decide(first);
    return {first.decision.deliveries[0].id, second.decision.deliveries[0].id};
  }
  std::string text(const std::string& column, const WebhookEndpointId& id) {
    const auto rows = database_->pool().query(
        Sql("SELECT COALESCE(" + column + ", '') FROM webhook_endpoint WHERE id = ?").bind(id.value), soon());
    return rows->front().str(0);
  }
  void move(const WebhookEndpointId& id, const std::string& url) {
    database_->execute("UPDATE webhook_endpoint SET url = '" + url + "' WHERE id = '" + id.value + "'");
  }
  std::int64_t number(const std::string& question) {
    const auto rows = database_->pool().query(Sql(question), soon());
    EXPECT_TRUE(rows) << rows.error().message;
    return rows->front().int64(0);
  }
  // Makes `count` deliveries of those that there are.
  void multiply(int count) {
    for (int made = static_cast<int>(number("SELECT COUNT(*) FROM delivery")); made < count; made *= 2) {
      const std::string from = std::to_string(made);
      database_->execute(
          "INSERT INTO delivery (id, shard, tenant_id, event_id, job_id, endpoint_id, url, endpoint, state, "
          "attempt_due, created_at) SELECT CONCAT('dlv_', n + " +
          from + "), 1, 't', CONCAT('evt_', n + " + from +
          "), '', endpoint_id, url, endpoint, 'pending', attempt_due, created_at FROM (SELECT *, "
          "ROW_NUMBER() OVER (ORDER BY id) - 1 AS n FROM delivery) AS d WHERE n + " +
          from + " < " + std::to_string(count));
    }
  }
  void failing_for(const WebhookEndpointId& id, int minutes) {
    database_->execute("UPDATE webhook_endpoint SET failing_since = UTC_TIMESTAMP(6) - INTERVAL " +
                       std::to_string(minutes) + " MINUTE WHERE id = '" + id.value + "'");
  }
  std::unique_ptr<testing::StoreUnderTest> under_test_;
  std::unique_ptr<IdMaker> ids_;
  std::unique_ptr<MysqlDeliveryStore> store_;
};

TEST_F(RegisteredEndpoints, OnlyEnabledOnesOfTheTenantSubscribe) {
  const auto mine = endpoint("job.dead");
  disable(endpoint());
  endpoint("*", "other");
  const std::vector<TenantId> tenants = {{"t"}, {"nobody"}};
  const auto found = store_->subscribers(tenants, soon());
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_EQ(found->size(), 1U);
  EXPECT_EQ(found->front().id, mine);
  EXPECT_EQ(found->front().tenant.value, "t");
  EXPECT_EQ(found->front().events, "job.dead");
}

TEST_F(RegisteredEndpoints, OneEventGoesToSeveralWithTheSameBody) {
  const auto first = endpoint();
  const auto second = endpoint();
  pending({first, second});
  const auto one = claim(first);
  const auto two = claim(second);
  ASSERT_EQ(one.size(), 1U);
  ASSERT_EQ(two.size(), 1U);
  EXPECT_EQ(one[0].endpoint_id, first);
  EXPECT_EQ(one[0].event_id, two[0].event_id);
  EXPECT_EQ(one[0].body, two[0].body);
  EXPECT_NE(one[0].ref.id, two[0].ref.id);
}

TEST_F(RegisteredEndpoints, ANewUrlIsWhereWaitingAndReplayedOnesGo) {
  const auto id = endpoint();
  const auto waits = pending({id}).front();
  const auto failed = pending({id}).front();
  const auto over = pending({id}).front();
  database_->execute(
      "UPDATE delivery SET state = 'failed', attempt_due = NULL, finished_at = UTC_TIMESTAMP(6) WHERE id IN "
      "('" +
      failed.value + "', '" + over.value + "')");
  move(id, "https://b.example/hook");
  WebhookDeliveryLog log(database_->pool());
  ASSERT_TRUE(log.replay(TenantId{"t"}, failed, soon()));
  // Decided by somebody who had looked before it moved.
  const auto late = pending({id}).front();
  const auto claimed = claim(id);
  ASSERT_EQ(claimed.size(), 3U);
  for (const ClaimedDelivery& one : claimed) EXPECT_EQ(one.url, "https://b.example/hook");
  for (const DeliveryId& one : {waits, failed, late}) {
    EXPECT_EQ(log.get(TenantId{"t"}, one, soon())->url, "https://b.example/hook");
  }
  EXPECT_EQ(log.get(TenantId{"t"}, over, soon())->url, "https://a.example/");  // Where it was sent.
}

TEST_F(RegisteredEndpoints, OneThatIsDisabledBetweenLookAndDecisionGetsNothing) {
  const auto gone = endpoint();
  const auto stays = endpoint();
  disable(gone);
  const auto made = pending({gone, stays, ids_->make<WebhookEndpointId>(1)});
  const auto rows = database_->pool().query(Sql("SELECT id FROM delivery"), soon());
  ASSERT_EQ(rows->size(), 1U);
  EXPECT_EQ(rows->front().str(0), made[1].value);
}

TEST_F(RegisteredEndpoints, WhatIsDueToADisabledOneFailsAndWhatIsHeldStays) {
  const auto id = endpoint();
  const auto held = pending({id}).front();
  const auto refs = claim(id);
  const auto due = pending({id}).front();
  disable(id);
  EXPECT_TRUE(claim(id).empty());
  EXPECT_EQ(under_test_->look(due).state, "failed");
  EXPECT_NE(under_test_->look(due).last_error.find("disabled"), std::string::npos);
  EXPECT_EQ(under_test_->look(held).state, "pending");
  AttemptRecord record{refs[0].ref, id, {}, {Kind::kDelivered, 0ms}};
  record.report.status = 200;
  EXPECT_EQ(store_->record(std::span(&record, 1), soon())->front(), RecordOutcome::kRecorded);
  EXPECT_EQ(under_test_->look(held).state, "delivered");
}

TEST_F(RegisteredEndpoints, GoneDisablesAtOnceAndTellsTheOthersOnce) {
  const auto gone = endpoint();
  const auto watches = endpoint("webhook_endpoint.disabled");
  endpoint("job.dead");
  endpoint("*", "other");
  pending({gone});
  pending({gone});
  const auto claimed = claim(gone);
  ASSERT_EQ(claimed.size(), 2U);
  std::vector<AttemptRecord> records;
  for (const ClaimedDelivery& one : claimed) {
    records.push_back({one.ref, one.endpoint_id, {}, {Kind::kFailed, 0ms}});
    records.back().report.status = 410;
    records.back().url = one.url;
  }
  ASSERT_TRUE(store_->record(records, soon()));
  EXPECT_EQ(text("state", gone), "disabled");
  EXPECT_EQ(text("disabled_reason", gone), "gone");
  disable(endpoint());  // By request: nothing that anybody has to look at.
  EXPECT_EQ(store_->backlog(100, soon())->disabled_endpoints, 1);
  const auto due = store_->due_endpoints(100, soon());
  ASSERT_EQ(due->size(), 1U);
  EXPECT_EQ(due->front().endpoint, watches.value);
  const auto told = claim(watches);
  ASSERT_EQ(told.size(), 1U);
  const auto event = nlohmann::json::parse(told[0].body);
  EXPECT_EQ(event["id"], told[0].event_id.value);
  EXPECT_EQ(event["type"], kEndpointDisabledEvent);
  EXPECT_EQ(event["data"]["id"], gone.value);
  EXPECT_EQ(event["data"]["disabled_reason"], "gone");
  EXPECT_EQ(told[0].tenant.value, "t");
}

TEST_F(RegisteredEndpoints, FailingForLongDisablesAndForLessDoesNot) {
  const auto id = endpoint();
  pending({id});
  attempt(id, AttemptFailure::kTimeout, std::nullopt, Kind::kRetry);
  EXPECT_NE(text("failing_since", id), "");
  failing_for(id, 59);
  attempt(id, AttemptFailure::kNone, 500, Kind::kRetry);
  EXPECT_EQ(text("state", id), "enabled");
  failing_for(id, 61);
  attempt(id, AttemptFailure::kNone, 500, Kind::kRetry);
  EXPECT_EQ(text("state", id), "disabled");
  EXPECT_EQ(text("disabled_reason", id), "failing");
}

TEST_F(RegisteredEndpoints, DaysWithoutAnAttemptAreNoFailing) {
  const auto id = endpoint();
  pending({id});
  attempt(id, AttemptFailure::kNone, 500, Kind::kRetry);
  failing_for(id, 120);
  database_->execute("UPDATE webhook_endpoint SET failed_at = UTC_TIMESTAMP(6) - INTERVAL 49 HOUR");
  attempt(id, AttemptFailure::kNone, 500, Kind::kRetry);
  EXPECT_EQ(text("state", id), "enabled");
  failing_for(id, 120);
  database_->execute("UPDATE webhook_endpoint SET failed_at = UTC_TIMESTAMP(6) - INTERVAL 47 HOUR");
  attempt(id, AttemptFailure::kNone, 500, Kind::kRetry);
  EXPECT_EQ(text("state", id), "disabled");
}

TEST_F(RegisteredEndpoints, WhatTheOldUrlAnswersSaysNothingOfTheNewOne) {
  for (const int status : {410, 500}) {
    const auto id = endpoint();
    pending({id});
    const auto claimed = claim(id);
    ASSERT_EQ(claimed.size(), 1U);
    move(id, "https://b.example/hook");
    AttemptRecord record{claimed[0].ref, id, {}, {Kind::kFailed, 0ms}, claimed[0].url};
    record.report.status = status;
    ASSERT_TRUE(store_->record(std::span(&record, 1), soon()));
    EXPECT_EQ(text("state", id), "enabled");
    EXPECT_EQ(text("failing_since", id), "");
  }
}

TEST_F(RegisteredEndpoints, OneSuccessEndsTheFailing) {
  const auto id = endpoint();
  pending({id});
  attempt(id, AttemptFailure::kNone, 500, Kind::kRetry);
  failing_for(id, 120);
  attempt(id, AttemptFailure::kNone, 204, Kind::kDelivered);
  EXPECT_EQ(text("failing_since", id), "");
  EXPECT_EQ(text("state", id), "enabled");
}

TEST_F(RegisteredEndpoints, WhatWeCouldNotSendSaysNothingOfIt) {
  const auto id = endpoint();
  pending({id});
  attempt(id, AttemptFailure::kNoSecret, std::nullopt, Kind::kRetry);
  attempt(id, AttemptFailure::kUnsendable, std::nullopt, Kind::kRetry);
  attempt(id, AttemptFailure::kRefused, std::nullopt, Kind::kRetry);
  EXPECT_EQ(text("failing_since", id), "");
}

TEST_F(RegisteredEndpoints, ThousandsDueToADeadOneComeNotBeforeAnothersFirst) {
  const auto dead = endpoint();
  const auto live = endpoint();
  pending({dead});
  multiply(10'000);
  const auto wanted = pending({live}).front();  // Due after all of them.
  EndpointGate gate(GateConfig{}, database_->clock(), database_->rng());
  const auto due = store_->due_endpoints(100, soon());
  ASSERT_TRUE(due) << due.error().message;
  ASSERT_EQ(due->size(), 2U);
  auto claimed = store_->claim(gate.wishes(*due), 60s, soon());
  ASSERT_TRUE(claimed) << claimed.error().message;
  const auto is_wanted = [&](const ClaimedDelivery& one) { return one.ref.id == wanted; };
  EXPECT_EQ(std::count_if(claimed->begin(), claimed->end(), is_wanted), 1);
  // Every place that the dead one may have is taken, and stays so: the next of the other's is still claimed
  // at once.
  for (const ClaimedDelivery& one : *claimed) gate.begin(one.endpoint);
  const auto next = pending({live}).front();
  claimed = store_->claim(gate.wishes(*store_->due_endpoints(100, soon())), 60s, soon());
  ASSERT_EQ(claimed->size(), 1U);
  EXPECT_EQ(claimed->front().ref.id, next);
}

TEST_F(RegisteredEndpoints, ABacklogOfManyDisabledOnesIsFailedInPartsAndStopsNoClaim) {
  std::vector<WebhookEndpointId> dead;
  std::vector<ClaimWish> wishes;
  for (int i = 0; i < 4; ++i) {
    dead.push_back(endpoint());
    wishes.push_back({dead.back().value, 16});
  }
  pending(dead);
  multiply(12'000);
  for (const WebhookEndpointId& id : dead) disable(id);
  const auto live = endpoint();
  const auto wanted = pending({live}).front();
  wishes.push_back({live.value, 16});
  const auto failed = [&] { return number("SELECT COUNT(*) FROM delivery WHERE state = 'failed'"); };
  const auto claimed = store_->claim(wishes, 60s, soon());
  ASSERT_TRUE(claimed) << claimed.error().message;
  ASSERT_EQ(claimed->size(), 1U);
  EXPECT_EQ(claimed->front().ref.id, wanted);
  EXPECT_EQ(failed(), 5'000);
  for (const int left : {10'000, 12'000, 12'000}) {
    ASSERT_TRUE(store_->claim(wishes, 60s, soon()));
    EXPECT_EQ(failed(), left);
  }
}

TEST_F(RegisteredEndpoints, WithOrderALaterEventWaitsUntilTheEarlierOneIsOver) {
  for (const Kind end : {Kind::kDelivered, Kind::kFailed}) {
    const auto id = endpoint();
    want_order(id);
    const auto [first, second] = two_of_a_job(id);
    const auto other = pending({id}).front();
    auto claimed = claim(id);
    ASSERT_EQ(claimed.size(), 2U);  // Another job's waits for nothing.
    for (const ClaimedDelivery& one : claimed) EXPECT_TRUE(one.ref.id == first || one.ref.id == other);
    under_test_->make_due(second, 0ms);  // Under way is not over.
    EXPECT_TRUE(claim(id).empty());
    EXPECT_GT(under_test_->look(second).due_in_ms, 0);
    // Nor is one that waits for another attempt.
    for (const ClaimedDelivery& one : claimed) {
      AttemptRecord record{one.ref, id, {}, {Kind::kRetry, 1h}, one.url};
      record.report.status = 500;
      ASSERT_EQ(store_->record(std::span(&record, 1), soon())->front(), RecordOutcome::kRecorded);
    }
    under_test_->make_due(second, 0ms);
    EXPECT_TRUE(claim(id).empty());
    EXPECT_GT(under_test_->look(second).due_in_ms, 20 * 60'000);
    under_test_->make_due(first, 0ms);
    attempt(id, AttemptFailure::kNone, end == Kind::kDelivered ? 200 : 500, end);
    claimed = claim(id);  // At once, however far it was put off.
    ASSERT_EQ(claimed.size(), 1U);
    EXPECT_EQ(claimed[0].ref.id, second);
  }
}

TEST_F(RegisteredEndpoints, WithOrderAnEarlierEventThatIsUndecidedIsWaitedFor) {
  const auto id = endpoint();
  want_order(id);
  const JobId job = ids_->make<JobId>(1);
  const Prepared first = event_of(job, 1, id);
  const Prepared second = event_of(job, 2, id);
  const DeliveryId waits = second.decision.deliveries[0].id;
  decide(second);
  EXPECT_TRUE(claim(id).empty());
  EXPECT_LE(under_test_->look(waits).due_in_ms, 5'000);
  Prepared nobody = first;  // The endpoint did not choose it.
  nobody.decision.deliveries.clear();
  decide(nobody);
  under_test_->make_due(waits, 0ms);
  EXPECT_EQ(claim(id).size(), 1U);
}

TEST_F(RegisteredEndpoints, TheEndOfOneThatWasClaimedBeforeOrderWasAskedForWakesTheNext) {
  const auto id = endpoint();
  const JobId job = ids_->make<JobId>(1);
  decide(event_of(job, 1, id));
  const auto claimed = claim(id);
  ASSERT_EQ(claimed.size(), 1U);
  want_order(id);
  const Prepared second = event_of(job, 2, id);
  decide(second);
  EXPECT_TRUE(claim(id).empty());
  EXPECT_GT(under_test_->look(second.decision.deliveries[0].id).due_in_ms, 0);
  AttemptRecord record{claimed[0].ref, id, {}, {Kind::kDelivered, 0ms}, claimed[0].url};
  record.report.status = 200;
  ASSERT_EQ(store_->record(std::span(&record, 1), soon())->front(), RecordOutcome::kRecorded);
  EXPECT_EQ(claim(id).size(), 1U);
}

TEST_F(RegisteredEndpoints, WithOrderOneThatIsGivenUpWakesTheNext) {
  const auto id = endpoint();
  want_order(id);
  const auto [first, second] = two_of_a_job(id);
  const auto claimed = claim(id);
  ASSERT_EQ(claimed.size(), 1U);
  ASSERT_TRUE(store_->release(std::vector{claimed[0].ref}, 0ms, soon()));
  EXPECT_GT(under_test_->look(second).due_in_ms, 0);
  under_test_->make_due(first, 2h);
  EXPECT_EQ(*store_->give_up(id.value, 1h, "given up", 100, soon()), 1);
  EXPECT_EQ(under_test_->look(first).state, "failed");
  EXPECT_LE(under_test_->look(second).due_in_ms, 0);
}

TEST_F(RegisteredEndpoints, WithoutOrderAndAtAnotherEndpointNothingWaits) {
  const auto any = endpoint();
  const auto ordered = endpoint();
  want_order(ordered);
  two_of_a_job(any);
  EXPECT_EQ(claim(any).size(), 2U);
  // The first event is still on its way elsewhere.
  const JobId job = ids_->make<JobId>(1);
  decide(event_of(job, 1, any));
  decide(event_of(job, 2, ordered));
  EXPECT_EQ(claim(ordered).size(), 1U);
}

TEST_F(RegisteredEndpoints, HundredsThatWaitForTheirTurnHideNoOtherJob) {
  const auto id = endpoint();
  want_order(id);
  for (int i = 0; i < 250; ++i) {
    const auto [first, second] = two_of_a_job(id);
    under_test_->make_due(first, -1h);
  }
  const auto other = pending({id}).front();
  EXPECT_TRUE(claim(id, 16).empty());  // So many are looked at in one go.
  const auto claimed = claim(id, 16);
  ASSERT_EQ(claimed.size(), 1U);
  EXPECT_EQ(claimed[0].ref.id, other);
}

TEST_F(RegisteredEndpoints, WhatCannotBeFailedNowStopsNoClaim) {
  const auto dead = endpoint();
  const auto live = endpoint();
  const auto waits = pending({dead, live});
  disable(dead);
  const std::vector<ClaimWish> wishes = {{dead.value, 16}, {live.value, 16}};
  const auto done = database_->pool().transaction(soon(), [&](MysqlConnection& db) -> Result<bool> {
    Sql lock("SELECT id FROM delivery WHERE id = ? FOR UPDATE");
    SLUICE_TRY(db.query(lock.bind(waits[0].value), soon()));
    const auto claimed = store_->claim(wishes, 60s, Deadline::in(database_->clock(), 2s));
    EXPECT_TRUE(claimed) << claimed.error().message;
    EXPECT_EQ(claimed ? claimed->size() : 0, 1U);
    // With nothing else to show it is an error, so that somebody sees it.
    EXPECT_FALSE(store_->claim(wishes, 60s, Deadline::in(database_->clock(), 500ms)));
    return true;
  });
  ASSERT_TRUE(done) << done.error().message;
  ASSERT_TRUE(store_->claim(wishes, 60s, soon()));
  EXPECT_EQ(under_test_->look(waits[0]).state, "failed");
}

TEST_F(RegisteredEndpoints, OneThatIsEnabledAgainKeepsWhatIsDue) {
  const auto id = endpoint();
  const auto waits = pending({id}).front();
  const std::string_view seen[] = {id.value};  // As disabled, by a claim that then paused.
  ASSERT_TRUE(store::pass_over(database_->pool(), seen, soon()));
  EXPECT_EQ(under_test_->look(waits).state, "pending");
  disable(id);
  ASSERT_TRUE(store::pass_over(database_->pool(), seen, soon()));
  EXPECT_EQ(under_test_->look(waits).state, "failed");
}

}  // namespace
}  // namespace sluice::callback
