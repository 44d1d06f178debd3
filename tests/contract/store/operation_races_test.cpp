// Operations where only the real store can show it: several at once, lost answers, migrations undone and
// redone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "common/migrations/migrator.h"
#include "tests/contract/store/store_world.h"
#include "tests/support/tcp_proxy.h"

namespace sluice {
namespace {

using testing::kWorker;
using testing::MysqlDatabase;
using testing::MysqlWorld;

const Actor kActor{TenantId{"ops"}, "night shift ...1234"};

class OperationRaces : public testing::StoreContract<MysqlWorld> {
 protected:
  static MysqlDatabase& database() { return *MysqlDatabase::instance(); }
  static std::string text(const std::string& query) {
    const auto rows = database().pool().query(Sql(query), database().soon());
    return rows->front().str(0);
  }
  static std::int64_t number(const std::string& query) { return std::stoll(text(query)); }
  static MysqlOperationStore store_on(MysqlPool& pool, IdMaker& ids, int step_max) {
    return MysqlOperationStore(pool, ids, JobRules{}, OperationRules{3, step_max});
  }
  void fail_start(const JobId& id, std::int64_t generation = 1) {
    fail_with(claim(id, 0, kWorker, generation)[0].ref, true);
  }
  std::vector<JobId> fail_jobs(int count) {
    std::vector<JobId> ids;
    for (int i = 0; i < count; ++i) {
      ids.push_back(submit());
      fail_start(ids.back());
    }
    return ids;
  }
  OperationId start(OperationKind kind) {
    NewOperation asked;
    asked.kind = kind;
    return world_->operations().start_operation(asked, kActor, soon())->id;
  }
  Operation get(const OperationId& id) { return *world_->operations().get_operation(id, soon()); }
};

TEST_F(OperationRaces, SeveralProcessesMoveEachLetterOnce) {
  fail_jobs(60);
  const OperationId redrive = start(OperationKind::kRedrive);
  const OperationId discard = start(OperationKind::kDiscard);
  auto store = store_on(database().pool(), ids_, 7);
  std::atomic<int> redriven{0};
  std::atomic<int> discarded{0};
  std::vector<std::thread> processes;
  for (int i = 0; i < 4; ++i) {
    processes.emplace_back([&] {
      for (;;) {
        const auto made = store.step_operation(soon());
        if (!made) continue;
        redriven += made->redriven;
        discarded += made->discarded;
        // None may be due only because the others hold them.
        if (!made->worked && get(redrive).finished_us != 0 && get(discard).finished_us != 0) return;
      }
    });
  }
  for (auto& process : processes) process.join();
  EXPECT_EQ(redriven + discarded, 60);
  EXPECT_EQ(get(redrive).handled, redriven);
  EXPECT_EQ(get(discard).handled, discarded);
  EXPECT_EQ(number("SELECT COUNT(*) FROM job WHERE generation = 2 AND state = 'queued'"), redriven);
  EXPECT_EQ(number("SELECT COUNT(*) FROM job WHERE generation = 1 AND state = 'failed'"), discarded);
  EXPECT_EQ(number("SELECT COUNT(*) FROM dead_letter WHERE state = 'redriven'"), redriven);
}

TEST_F(OperationRaces, WhatIsHandledBetweenAStepsChoiceAndItsLocksIsSkipped) {
  const auto ids = fail_jobs(2);
  const OperationId redrive = start(OperationKind::kRedrive);
  auto holder = database().pool().acquire(soon());
  ASSERT_TRUE((*holder)->begin(soon()).has_value());
  Sql hold("SELECT id FROM job WHERE id = ? FOR UPDATE");
  hold.bind(ids[0].value);
  ASSERT_TRUE((*holder)->query(hold, soon()).has_value());
  auto step = std::async(std::launch::async, [&] { return world_->operations().step_operation(soon()); });
  // The step has chosen both letters once it asks for their jobs' locks.
  while (
      number("SELECT COUNT(*) FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND info LIKE "
             "'%FROM job WHERE id IN%FOR UPDATE%'") == 0) {
    std::this_thread::yield();
  }
  Sql discard("UPDATE dead_letter SET state = 'discarded' WHERE job_id = ?");
  discard.bind(ids[0].value);
  ASSERT_TRUE((*holder)->execute(discard, soon()).has_value());
  ASSERT_TRUE((*holder)->commit(soon()).has_value());
  EXPECT_EQ(step.get()->redriven, 1);
  EXPECT_EQ(get(redrive).handled, 1);
  EXPECT_EQ(get(redrive).skipped, 1);
  EXPECT_EQ(read(ids[0]).generation, 1);
  EXPECT_EQ(read(ids[1]).generation, 2);
}

TEST_F(OperationRaces, WhatACommitDidIsToldThoughItsAnswerWasLost) {
  fail_jobs(2);
  MysqlConfig config = database().config();
  testing::TcpProxy proxy(config.host, config.port);
  config.host = "127.0.0.1";
  config.port = proxy.port();
  MysqlPool pool(config, real_clock_, real_rng_, Log("test", LogLevel::kError, real_clock_));
  auto far = store_on(pool, ids_, 200);
  NewOperation asked;
  asked.canary = 1;
  proxy.swallow_answer("INSERT INTO operation", "COMMIT", false);
  const auto started = far.start_operation(asked, kActor, soon());
  EXPECT_TRUE(proxy.swallowed());
  ASSERT_TRUE(started.has_value()) << started.error().message;
  ASSERT_TRUE(world_->operations().step_operation(soon())->worked);
  ASSERT_EQ(get(started->id).state, OperationState::kCanary);

  proxy.swallow_answer("SET state = 'running'", "COMMIT", false);
  const auto continued = far.continue_operation(started->id, kActor, soon());
  EXPECT_TRUE(proxy.swallowed());
  ASSERT_TRUE(continued.has_value()) << continued.error().message;
  EXPECT_EQ(continued->state, OperationState::kRunning);
  proxy.swallow_answer("SET state = 'cancelled'", "COMMIT", false);
  const auto cancelled = far.cancel_operation(started->id, kActor, soon());
  EXPECT_TRUE(proxy.swallowed());
  ASSERT_TRUE(cancelled.has_value()) << cancelled.error().message;
  EXPECT_EQ(cancelled->state, OperationState::kCancelled);
  EXPECT_EQ(number("SELECT COUNT(*) FROM operation"), 1);
  EXPECT_EQ(number("SELECT COUNT(*) FROM audit"), 3) << "each is written once";

  proxy.swallow_answer("INSERT INTO operation", "COMMIT", true);
  const auto unknown = far.start_operation(asked, kActor, soon());
  EXPECT_TRUE(proxy.swallowed());
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code, ErrorCode::kOutcomeUnknown) << "it can't be read back";
  EXPECT_EQ(number("SELECT COUNT(*) FROM operation"), 2);
}

TEST_F(OperationRaces, ARedrivenLetterStaysSoWhenTheMigrationsAreUndoneAndDoneAgain) {
  const JobId id = fail_jobs(1)[0];
  start(OperationKind::kRedrive);
  while (world_->operations().step_operation(soon())->worked) {
  }
  fail_start(id, 2);
  Migrator migrator(database().pool());
  const auto applied = migrator.status(soon());
  ASSERT_TRUE(applied.has_value());
  const int back = static_cast<int>(applied->size()) - 14;
  ASSERT_GT(back, 0);
  ASSERT_TRUE(migrator.down(back, soon()).has_value());
  const auto again = migrator.up(soon());
  ASSERT_TRUE(again.has_value()) << again.error().message;
  EXPECT_EQ(text("SELECT GROUP_CONCAT(state ORDER BY generation) FROM dead_letter"), "redriven,dead");
  start(OperationKind::kRedrive);
  EXPECT_EQ(world_->operations().step_operation(soon())->redriven, 1);
  EXPECT_EQ(read(id).generation, 3);
}

}  // namespace
}  // namespace sluice
