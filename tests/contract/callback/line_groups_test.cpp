// Ends of a batch's lines that are told together: each in one delivery, full groups at once, the others in
// time.
#include "callback/store/line_groups.h"

#include <gtest/gtest.h>

#include <future>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "callback/store/mysql_delivery_store.h"
#include "callback/store/mysql_rows.h"
#include "common/store/batch_store.h"
#include "tests/contract/callback/store_under_test.h"
#include "tests/support/mysql_test.h"
#include "tests/unit/callback/support/deliveries.h"

namespace sluice::callback {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

class LineGroupsTest : public ::sluice::testing::MysqlTest {
 protected:
  void prepare() override {
    under_test_ = testing::mysql_under_test();
    ids_ = std::make_unique<IdMaker>(database_->clock(), database_->rng());
    store_ = std::make_unique<MysqlDeliveryStore>(database_->pool(), *ids_);
    batch_ = ids_->make<BatchId>(1);
  }
  // A decided end of a line; its event's id.
  EventId ended(int lines_max, std::chrono::seconds wait, const std::string& url = "https://a.example/x",
                std::size_t bytes = 0) {
    auto prepared = testing::prepare(*ids_, "", "");
    under_test_->put_event(prepared.event);
    prepared.decision.body = json{{"id", prepared.event.id.value}, {"text", std::string(bytes, 'x')}}.dump();
    prepared.decision.waiting = WaitingLine{{batch_, lines_max, wait}, url, "https://a.example:443", {"t"}};
    const auto decided = store_->decide(std::span(&prepared.decision, 1), soon());
    EXPECT_TRUE(decided) << decided.error().message;
    return prepared.event.id;
  }
  int tell(int limit = 100) {
    const auto told = LineGroups(database_->pool(), *ids_).tell_due(limit, soon());
    EXPECT_TRUE(told) << told.error().message;
    if (!told) return -1;
    EXPECT_FALSE(told->failed) << told->failed->message;
    return told->deliveries;
  }
  // Of `batch_`, which has so many lines that have still to end.
  void put_batch(int open_lines) {
    database_->execute(
        "INSERT INTO file_batch (id, shard, tenant_id, endpoint, input_file_id, completion_window, "
        "window_s, priority, status, lines_total, lines_in, open_lines, created_at, expires_at) VALUES ('" +
        batch_.value + "', 1, 't', '/v1/chat/completions', 'file-x', '1h', 3600, 1, 'in_progress', 9, 9, " +
        std::to_string(open_lines) + ", UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) + INTERVAL 1 HOUR)");
  }
  // An undecided end of a line.
  testing::Prepared undecided(int lines_max, std::chrono::seconds wait) {
    auto prepared = testing::prepare(*ids_, "", "");
    under_test_->put_event(prepared.event);
    prepared.decision.body = json{{"id", prepared.event.id.value}}.dump();
    prepared.decision.waiting =
        WaitingLine{{batch_, lines_max, wait}, "https://a.example/x", "https://a.example:443", {"t"}};
    return prepared;
  }
  // The undecided end of the batch itself.
  testing::Prepared undecided_batch() {
    auto end = testing::prepare(*ids_, "https://a.example/batch", "https://a.example:443");
    under_test_->put_event(end.event);
    database_->execute("UPDATE event SET job_id = '" + batch_.value +
                       "', type = 'batch.completed' WHERE id = '" + end.event.id.value + "'");
    end.decision.body = json{{"id", end.event.id.value}, {"type", "batch.completed"}}.dump();
    return end;
  }
  std::int64_t waiting() {
    return database_->pool().query(Sql("SELECT COUNT(*) FROM line_event"), soon())->front().int64(0);
  }
  // What the deliveries tell, in the order in which they were made.
  std::vector<json> told() {
    const auto rows = database_->pool().query(Sql("SELECT p.body, d.event_id, d.job_id, d.url, d.endpoint, "
                                                  "d.state FROM delivery d JOIN event_payload p ON "
                                                  "p.event_id = d.event_id ORDER BY d.id"),
                                              soon());
    std::vector<json> events;
    for (const Row row : *rows) {
      events.push_back(json::parse(row.text(0)));
      EXPECT_EQ(events.back()["id"], row.text(1));
      EXPECT_EQ(row.text(2), batch_.value);
      EXPECT_EQ(row.text(4), "https://a.example:443");
      EXPECT_EQ(row.text(5), "pending");
      events.back()["url"] = row.text(3);
    }
    return events;
  }

  std::unique_ptr<testing::StoreUnderTest> under_test_;
  std::unique_ptr<IdMaker> ids_;
  std::unique_ptr<MysqlDeliveryStore> store_;
  BatchId batch_;
};

TEST_F(LineGroupsTest, AFullGroupIsToldAtOnceAndTheRestWaits) {
  std::vector<std::string> wanted;
  for (int i = 0; i < 7; ++i) wanted.push_back(ended(3, 1h).value);
  EXPECT_EQ(told().size(), 0U);
  EXPECT_EQ(tell(), 2);
  EXPECT_EQ(tell(), 0);
  EXPECT_EQ(waiting(), 1);
  std::vector<std::string> seen;
  std::set<std::string> ids;
  for (const json& event : told()) {
    EXPECT_EQ(event["type"], "batch.lines");
    EXPECT_EQ(event["object"], "event");
    EXPECT_EQ(event["sequence"], 1);
    EXPECT_GT(event["created_at"], 1'700'000'000);
    EXPECT_EQ(event["data"]["batch_id"], batch_.value);
    EXPECT_EQ(event["data"]["revision"], 1);
    EXPECT_EQ(event["data"]["events"].size(), 3U);
    for (const json& one : event["data"]["events"]) seen.push_back(one["id"]);
    ids.insert(event["id"]);
  }
  EXPECT_EQ(ids.size(), 2U);
  EXPECT_EQ(seen, std::vector<std::string>(wanted.begin(), wanted.begin() + 6));
}

TEST_F(LineGroupsTest, TheFirstThatWaitedLongEnoughTakesTheOthersWithIt) {
  ended(1'000, 1h);
  ended(1'000, 1h);
  EXPECT_EQ(tell(), 0);
  ended(1'000, 0s);  // The last line of the batch, say.
  EXPECT_EQ(tell(), 1);
  EXPECT_EQ(waiting(), 0);
  ASSERT_EQ(told().size(), 1U);
  EXPECT_EQ(told()[0]["data"]["events"].size(), 3U);
}

TEST_F(LineGroupsTest, EachUrlHasGroupsOfItsOwn) {
  ended(2, 1h, "https://a.example/x");
  ended(2, 1h, "https://a.example/y");
  EXPECT_EQ(tell(), 0);
  ended(2, 1h, "https://a.example/y");
  EXPECT_EQ(tell(), 1);
  EXPECT_EQ(told()[0]["url"], "https://a.example/y");
  EXPECT_EQ(waiting(), 1);
}

TEST_F(LineGroupsTest, AGroupIsBoundedInBytesUnlessOneAloneIsLonger) {
  for (const std::size_t bytes : {400'000U, 400'000U, 400'000U, 2'000'000U}) {
    ended(1'000, 1h, "https://a.example/x", bytes);
  }
  EXPECT_EQ(tell(), 3);  // As much as fits is full, whatever the number.
  const auto events = told();
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0]["data"]["events"].size(), 2U);
  EXPECT_EQ(events[1]["data"]["events"].size(), 1U);
  EXPECT_EQ(events[2]["data"]["events"].size(), 1U);
  EXPECT_EQ(events[2]["data"]["events"][0]["text"].get<std::string>().size(), 2'000'000U);
}

TEST_F(LineGroupsTest, WhatWaitsIsToldBeforeTheBatchsOwnEndIs) {
  ended(1'000, 1h);
  ended(1'000, 1h, "https://a.example/y");
  const auto end = undecided_batch();
  ASSERT_TRUE(store_->decide(std::span(&end.decision, 1), soon()));
  EXPECT_EQ(waiting(), 0);
  const auto rows = database_->pool().query(
      Sql("SELECT event_id FROM delivery ORDER BY attempt_due, event_id = ?").bind(end.event.id.value),
      soon());
  ASSERT_EQ(rows->size(), 3U);
  EXPECT_EQ((*rows)[2].text(0), end.event.id.value);
}

TEST_F(LineGroupsTest, FullGroupsThatATurnLeavesAreToldByTheNext) {
  for (int i = 0; i < 10; ++i) ended(3, 1h);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(tell(1), 1);
  EXPECT_EQ(tell(1), 0);
  EXPECT_EQ(waiting(), 1);
}

TEST_F(LineGroupsTest, EndsThatAreDecidedAtTheSameTimeFillAGroupTogether) {
  constexpr int kLines = 8;
  for (int round = 1; round <= 5; ++round) {
    std::vector<testing::Prepared> prepared;
    for (int i = 0; i < kLines; ++i) prepared.push_back(undecided(kLines, 1h));
    std::vector<std::thread> deciders;
    for (const testing::Prepared& one : prepared) {
      deciders.emplace_back([&] { EXPECT_TRUE(store_->decide(std::span(&one.decision, 1), soon())); });
    }
    for (std::thread& decider : deciders) decider.join();
    ASSERT_EQ(tell(), 1);
    ASSERT_EQ(waiting(), 0);
  }
}

TEST_F(LineGroupsTest, AUrlWithManyGroupsKeepsNoOtherWaiting) {
  for (int i = 0; i < 5; ++i) ended(1, 1h, "https://a.example/x");
  ended(1, 1h, "https://a.example/y");
  EXPECT_EQ(tell(2), 2);
  ASSERT_EQ(told().size(), 2U);
  EXPECT_EQ(told()[0]["url"], "https://a.example/x");
  EXPECT_EQ(told()[1]["url"], "https://a.example/y");
  EXPECT_EQ(tell(), 4);
}

TEST_F(LineGroupsTest, AGroupThatFailsKeepsNoOtherWaitingAndComesAgain) {
  ended(1, 1h, "https://a.example/refused");
  ended(1, 1h);
  ended(1, 1h, "https://a.example/y");
  database_->execute(
      "ALTER TABLE delivery ADD CONSTRAINT refused CHECK (url <> 'https://a.example/refused')");
  LineGroups groups(database_->pool(), *ids_);
  const auto first = groups.tell_due(100, soon());
  const auto second = groups.tell_due(100, soon());
  database_->execute("ALTER TABLE delivery DROP CONSTRAINT refused");
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->deliveries, 2);
  EXPECT_TRUE(first->failed);
  EXPECT_EQ(second->deliveries, 0);
  EXPECT_FALSE(second->failed);  // Tried again in some seconds, not at every look.
  EXPECT_EQ(waiting(), 1);
  database_->execute("UPDATE line_event SET due = due - INTERVAL 10 SECOND");
  EXPECT_EQ(tell(), 1);
}

TEST_F(LineGroupsTest, AGroupThatSomebodyIsDecidingAboutKeepsNobodyWaiting) {
  ended(2, 0s);
  const auto late = undecided(2, 0s);
  const auto held = database_->pool().transaction(soon(), [&](MysqlConnection& db) -> Result<bool> {
    const Decision* one = &late.decision;
    SLUICE_TRY(store::keep_waiting_lines(db, std::span(&one, 1), soon()));
    EXPECT_EQ(tell(), 1);
    return true;
  });
  ASSERT_TRUE(held) << held.error().message;
  EXPECT_EQ(waiting(), 1);
  EXPECT_EQ(tell(), 1);
}

TEST_F(LineGroupsTest, ADecisionAndTheEndsOfTheBatchsLinesWaitForEachOtherNowhere) {
  put_batch(2);
  const auto line = undecided(10, 1h);
  const auto update = [&](MysqlConnection& db, Deadline deadline) {
    return db.execute(
        Sql("UPDATE file_batch SET open_lines = open_lines - 1 WHERE id = ?").bind(batch_.value), deadline);
  };
  const auto brief = [&] { return Deadline::in(database_->clock(), 2s); };
  // A line ends, and another's end is decided meanwhile.
  const auto ending = database_->pool().transaction(soon(), [&](MysqlConnection& db) -> Result<bool> {
    SLUICE_TRY(update(db, soon()));
    const auto decided = store_->decide(std::span(&line.decision, 1), brief());
    EXPECT_TRUE(decided) << decided.error().message;
    return true;
  });
  EXPECT_TRUE(ending) << ending.error().message;
  // The reverse.
  const auto other = undecided(10, 1h);
  const auto deciding = database_->pool().transaction(soon(), [&](MysqlConnection& db) -> Result<bool> {
    const Decision* one = &other.decision;
    SLUICE_TRY(store::keep_waiting_lines(db, std::span(&one, 1), soon()));
    const auto ended = database_->pool().transaction(
        brief(), [&](MysqlConnection& second) { return update(second, brief()); });
    EXPECT_TRUE(ended) << ended.error().message;
    return true;
  });
  EXPECT_TRUE(deciding) << deciding.error().message;
}

TEST_F(LineGroupsTest, TheBatchsOwnEndWaitsForLinesThatAreBeingDecided) {
  put_batch(1);
  const auto line = undecided(1'000, 1h);
  const auto end = undecided_batch();
  std::future<Result<std::vector<DecideOutcome>>> ended;
  const auto deciding = database_->pool().transaction(soon(), [&](MysqlConnection& db) -> Result<bool> {
    const Decision* one = &line.decision;
    SLUICE_TRY(store::keep_waiting_lines(db, std::span(&one, 1), soon()));
    database_->execute("UPDATE file_batch SET open_lines = 0");  // It was the last one.
    ended =
        std::async(std::launch::async, [&] { return store_->decide(std::span(&end.decision, 1), soon()); });
    EXPECT_EQ(ended.wait_for(500ms), std::future_status::timeout);
    return true;
  });
  ASSERT_TRUE(ended.valid());
  ASSERT_TRUE(ended.get());
  ASSERT_TRUE(deciding) << deciding.error().message;
  EXPECT_EQ(waiting(), 0);  // Rather than an hour later.
}

TEST_F(LineGroupsTest, AnEventThatIsDecidedTwiceWaitsOnce) {
  auto prepared = testing::prepare(*ids_, "", "");
  under_test_->put_event(prepared.event);
  prepared.decision.waiting =
      WaitingLine{{batch_, 2, 1h}, "https://a.example/x", "https://a.example:443", {"t"}};
  ASSERT_EQ(store_->decide(std::span(&prepared.decision, 1), soon())->front(), DecideOutcome::kDecided);
  EXPECT_EQ(store_->decide(std::span(&prepared.decision, 1), soon())->front(),
            DecideOutcome::kAlreadyDecided);
  database_->execute("UPDATE event SET publish_due = UTC_TIMESTAMP(6)");  // An operator's doing.
  EXPECT_EQ(store_->decide(std::span(&prepared.decision, 1), soon())->front(), DecideOutcome::kDecided);
  EXPECT_EQ(waiting(), 1);
}

TEST_F(LineGroupsTest, ALinesEventSaysThatItIsToldTogetherAndAsLongAsThereAreOthers) {
  const TenantId tenant{"t"};
  database_->execute("INSERT IGNORE INTO tenant (id, name, created_at) VALUES ('t', 'x', UTC_TIMESTAMP(6))");
  database_->execute(
      "INSERT INTO file (id, shard, tenant_id, purpose, filename, bytes, state, created_at) VALUES "
      "('file-x', 1, 't', "
      "'batch', 'x', 1, 'ready', UTC_TIMESTAMP(6))");
  NewFileBatch asked;
  asked.id = batch_;
  asked.tenant = tenant;
  asked.endpoint = "/v1/chat/completions";
  asked.input_file_id.value = "file-x";
  asked.window = "1h";
  asked.window_s = 3'600;
  asked.callback_url = "https://a.example/x";
  asked.callback_lines = 50;
  asked.callback_seconds = 30;
  const auto made = BatchStore(database_->pool()).create(asked, std::nullopt, soon());
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->asked.callback_lines, 50);
  EXPECT_EQ(made->asked.callback_seconds, 30);
  auto prepared = testing::prepare(*ids_, "https://a.example/x", "");
  under_test_->put_event(prepared.event);
  database_->execute("UPDATE job SET batch_id = '" + batch_.value + "'");
  database_->execute(
      "UPDATE file_batch SET status = 'in_progress', lines_total = 2, lines_in = 2, open_lines = 1");
  const auto find = [&] {
    const auto found = store_->find_events(std::span(&prepared.event.id, 1), soon());
    EXPECT_TRUE(found) << found.error().message;
    return found->front().together;
  };
  const auto together = find();
  ASSERT_TRUE(together.has_value());
  EXPECT_EQ(together->batch, batch_);
  EXPECT_EQ(together->lines_max, 50);
  EXPECT_EQ(together->wait, 30s);
  const auto due = [&] {
    const Sql sql("SELECT COUNT(*) FROM line_event WHERE due <= UTC_TIMESTAMP(6)");
    return database_->pool().query(sql, soon())->front().int64(0);
  };
  ended(50, 30s);
  EXPECT_EQ(due(), 0);
  database_->execute("UPDATE file_batch SET open_lines = 0");
  ended(50, 30s);
  EXPECT_EQ(due(), 1);  // Nothing comes any more that could be waited for.
  database_->execute("UPDATE file_batch SET callback_lines = NULL, callback_seconds = NULL");
  EXPECT_FALSE(find().has_value());
}

}  // namespace
}  // namespace sluice::callback
