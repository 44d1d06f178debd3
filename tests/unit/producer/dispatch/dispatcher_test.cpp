#include "producer/dispatch/dispatcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/store/task_message.h"
#include "tests/support/due_tasks.h"
#include "tests/support/fake_job_store.h"
#include "tests/unit/producer/support/fake_broker.h"

namespace sluice::producer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class Quiet final : public LogSink {
 public:
  void write(std::string_view) override {}
};

class DispatcherTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t kTokens = 100;

  DispatcherTest() {
    dispatcher_.run_once();  // Declares and measures, finds no backlog.
    broker_.attempts.clear();
  }

  std::vector<TaskRef> accept(int count, Priority priority = Priority::kNormal, bool reserved = false,
                              const std::string& tenant = "t", std::int64_t expires_in_s = 3600) {
    std::vector<Submission> submissions(1);
    std::vector<TaskRef> refs;
    for (int i = 0; i < count; ++i) {
      NewJob& fresh = submissions[0].jobs.emplace_back();
      fresh.job.tenant.value = tenant;
      fresh.job.id = ids_.make<JobId>(shard_of_tenant(fresh.job.tenant));
      fresh.job.model = "m";
      fresh.job.priority = priority;
      fresh.request_json = "{}";
      fresh.tokens_max = kTokens;
      fresh.expires_in_s = expires_in_s;
      fresh.publish_reserved = reserved;
      refs.push_back({fresh.job.id, 1, 0});
    }
    EXPECT_TRUE(count == 0 || store_.submit(submissions, soon())[0].has_value());
    return refs;
  }
  int reserve(int count, Priority priority = Priority::kNormal, const std::string& tenant = "t") {
    const std::vector<std::int64_t> tokens(static_cast<std::size_t>(count), kTokens);
    return dispatcher_.reserve("m", priority, TenantId{tenant}, tokens);
  }
  // What a submitter does around its commit.
  int submit(int count, Priority priority = Priority::kNormal, const std::string& tenant = "t") {
    const int granted = reserve(count, priority, tenant);
    if (granted > 0) dispatcher_.publish("m", priority, accept(granted, priority, true, tenant));
    if (granted < count) {
      accept(count - granted, priority, false, tenant);
      dispatcher_.wake();
    }
    return granted;
  }
  Deadline soon() { return Deadline::in(clock_, seconds(5)); }
  std::size_t ready(Priority priority = Priority::kNormal) {
    return broker_.ready_in(task_queue_name("m", priority));
  }
  // A worker takes `count` jobs and finishes them; answers their tenants.
  std::vector<std::string> work(std::size_t count, Priority priority = Priority::kNormal) {
    std::vector<TaskRef> tasks;
    for (const Message& message : broker_.take(task_queue_name("m", priority), count)) {
      tasks.push_back(task_from_json(message.body).value());
    }
    const auto claimed = store_.claim(tasks, "w", soon());
    EXPECT_TRUE(claimed.has_value());
    std::vector<Ending> endings;
    std::vector<std::string> tenants;
    for (const ClaimedJob& job : *claimed) {
      endings.push_back({job.ref, "w", Succeeded{}});
      tenants.push_back(job.tenant.value);
    }
    EXPECT_TRUE(store_.finish(endings, soon()).has_value());
    finished_ += endings.size();
    return tenants;
  }
  // A tenant whose shard is `shard`.
  static std::string tenant_in(int shard) {
    for (int i = 0;; ++i) {
      const TenantId tenant{"tenant-" + std::to_string(i)};
      if (shard_of_tenant(tenant) == shard) return tenant.value;
    }
  }
  // Turns of the loop as its own pauses ask for, until `time` has passed.
  void run_for(milliseconds time) {
    const SteadyTime until = clock_.steady_now() + time;
    while (clock_.steady_now() < until) {
      const Duration pause = std::max<Duration>(dispatcher_.run_once(), milliseconds(1));
      clock_.advance(std::min<Duration>(pause, until - clock_.steady_now()));
    }
  }

  ManualClock clock_;
  SeededRng rng_{7};
  IdMaker ids_{clock_, rng_};
  testing::FakeJobStore store_{clock_, ids_};
  FakeBroker broker_;
  std::vector<int> shards_ = testing::all_shards();
  Dispatcher dispatcher_{store_,
                         broker_,
                         {"m"},
                         [this] { return shards_; },
                         {.depth = 16},
                         clock_,
                         rng_,
                         Log("test", LogLevel::kError, clock_, std::make_shared<Quiet>()),
                         {}};
  std::size_t finished_ = 0;
};

TEST_F(DispatcherTest, FreshTasksAreOnTheirWayAtOnce) {
  EXPECT_EQ(submit(3), 3);
  EXPECT_EQ(store_.calls("mark_tasks"), 0);
  dispatcher_.run_once();
  EXPECT_EQ(ready(), 3U);
  const Message message = broker_.queues[task_queue_name("m", Priority::kNormal)].front();
  EXPECT_EQ(message.exchange, kTasksExchange);
  EXPECT_TRUE(message.persistent);
  EXPECT_TRUE(message.mandatory);
  EXPECT_EQ(message.message_id, task_from_json(message.body)->id.value);
  EXPECT_EQ(store_.calls("mark_tasks"), 0);  // The row said already when to look again.
}

TEST_F(DispatcherTest, QueuesStayShortAndNothingIsForgotten) {
  EXPECT_EQ(submit(100), 8);  // So many don't fit, and take long to commit: half the room is left to others.
  run_for(milliseconds(200));
  EXPECT_EQ(ready(), 16U);
  while (finished_ < 100) {
    work(5);
    run_for(milliseconds(20));
    ASSERT_LE(ready(), 16U);
    ASSERT_LT(clock_.steady_now().time_since_epoch(), std::chrono::hours(1000));
  }
  EXPECT_EQ(finished_, 100U);
}

TEST_F(DispatcherTest, NothingNewOvertakesItsTenantsBacklog) {
  submit(40);
  run_for(milliseconds(50));
  work(16);
  EXPECT_EQ(submit(1), 0);  // There is room, but older jobs wait.
  while (finished_ < 41 && ready() + finished_ > 0) {
    run_for(milliseconds(50));
    work(8);
  }
  run_for(milliseconds(200));
  EXPECT_EQ(submit(1), 1);
}

TEST_F(DispatcherTest, ReservationsThatAreGivenBackMakeRoom) {
  EXPECT_EQ(reserve(16), 16);
  EXPECT_EQ(reserve(16, Priority::kHigh), 16);  // Each class has its own queue.
  dispatcher_.release("m", Priority::kNormal, 16);
  EXPECT_EQ(reserve(16), 16);
  EXPECT_EQ(dispatcher_.reserve("unknown", Priority::kNormal, TenantId{"t"}, {kTokens}), 0);
}

TEST_F(DispatcherTest, WhatWaitsInTheQueueIsNotPublishedTwice) {
  submit(10);
  dispatcher_.run_once();
  const std::size_t before = broker_.attempts.size();
  run_for(seconds(55));
  EXPECT_EQ(broker_.attempts.size(), before);
  EXPECT_EQ(ready(), 10U);
}

TEST_F(DispatcherTest, APurgedQueueHealsAfterTheRepublishTime) {
  const auto refs = submit(10);
  EXPECT_EQ(refs, 10);
  dispatcher_.run_once();
  broker_.purge();
  run_for(milliseconds(4'800));
  EXPECT_EQ(ready(), 0U);
  run_for(milliseconds(400));
  EXPECT_EQ(ready(), 10U);
  work(16);
  EXPECT_EQ(finished_, 10U);
}

TEST_F(DispatcherTest, AWipedBrokerIsDeclaredAnew) {
  submit(10);
  dispatcher_.run_once();
  broker_.wipe();
  run_for(milliseconds(5'300));
  EXPECT_EQ(ready(), 10U);
  EXPECT_EQ(submit(3), 3);
  broker_.wipe();  // Between reservation and publish.
  run_for(milliseconds(300));
  EXPECT_GE(ready(), 3U);
}

TEST_F(DispatcherTest, OneLostMessageIsFoundAfterAMinuteInABusyQueue) {
  submit(10);
  dispatcher_.run_once();
  broker_.queues[task_queue_name("m", Priority::kNormal)].pop_front();
  run_for(seconds(58));
  EXPECT_EQ(ready(), 9U);
  run_for(seconds(8));
  EXPECT_EQ(ready(), 16U);  // Nobody can tell which one was lost: as many as there is room for.
  work(16);
  run_for(seconds(1));
  work(16);
  EXPECT_EQ(finished_, 10U);  // The second messages started nothing.
}

TEST_F(DispatcherTest, RetriesArePublishedWhenTheyAreDue) {
  submit(1);
  dispatcher_.run_once();
  const auto message = broker_.take(task_queue_name("m", Priority::kNormal), 1);
  const auto claimed = store_.claim({{task_from_json(message[0].body).value()}}, "w", soon());
  ASSERT_EQ(claimed->size(), 1U);
  const std::vector<Ending> failed = {{(*claimed)[0].ref, "w", Failed{JobError{"x", "y", "z", ""}}}};
  ASSERT_TRUE(store_.finish(failed, soon()).has_value());
  run_for(milliseconds(900));
  EXPECT_EQ(ready(), 0U);
  run_for(milliseconds(250));
  ASSERT_EQ(ready(), 1U);
  EXPECT_EQ(task_from_json(broker_.queues[task_queue_name("m", Priority::kNormal)].front().body)->attempt, 1);
  work(1);
  EXPECT_EQ(finished_, 1U);
}

TEST_F(DispatcherTest, WithTheBrokerDownJobsWaitInTheDatabase) {
  broker_.up = false;
  EXPECT_EQ(submit(5), 0);
  run_for(seconds(10));
  EXPECT_THAT(broker_.attempts, IsEmpty());
  broker_.up = true;
  run_for(seconds(3));
  EXPECT_EQ(ready(), 5U);
  run_for(milliseconds(500));
  EXPECT_EQ(submit(2), 2);
}

TEST_F(DispatcherTest, WhatCouldNotBeSentIsTriedAgainWhileItIsFresh) {
  EXPECT_EQ(submit(4), 4);
  broker_.failures = {{ErrorCode::kExhausted, false}, {ErrorCode::kUnavailable, false}};
  dispatcher_.run_once();
  EXPECT_EQ(ready(), 2U);
  EXPECT_EQ(submit(1), 1);
  run_for(milliseconds(500));
  EXPECT_EQ(ready(), 5U);
  const std::string last = broker_.queues[task_queue_name("m", Priority::kNormal)].back().message_id;
  EXPECT_EQ(last, *std::max_element(broker_.attempts.begin(), broker_.attempts.end()));  // None overtook.
  work(16);
  EXPECT_EQ(finished_, 5U);
}

TEST_F(DispatcherTest, OldFreshTasksAreLeftToTheScan) {
  EXPECT_EQ(submit(4), 4);
  broker_.up = false;
  run_for(seconds(7));
  broker_.up = true;
  run_for(seconds(8));
  EXPECT_EQ(ready(), 4U);  // Once each.
  work(4);
  run_for(milliseconds(300));
  EXPECT_EQ(reserve(16), 16);  // No reservation leaked.
}

TEST_F(DispatcherTest, AnUnknownOutcomeIsLookedAtLater) {
  EXPECT_EQ(submit(2), 2);
  broker_.failures = {{ErrorCode::kOutcomeUnknown, true}, {ErrorCode::kOutcomeUnknown, false}};
  dispatcher_.run_once();
  EXPECT_EQ(ready(), 1U);
  run_for(seconds(4));
  EXPECT_EQ(ready(), 1U);
  work(1);
  run_for(seconds(2));
  EXPECT_EQ(ready(), 1U);
  work(1);
  EXPECT_EQ(finished_, 2U);

  accept(1);  // The same on the scan's path.
  broker_.failures = {{ErrorCode::kOutcomeUnknown, false}};
  run_for(milliseconds(300));
  EXPECT_EQ(ready(), 0U);
  run_for(seconds(6));
  EXPECT_EQ(ready(), 1U);
}

TEST_F(DispatcherTest, AFailedMarkOnlyRepeatsAMessage) {
  accept(3);
  store_.fail_next("mark_tasks", ErrorCode::kUnavailable);
  run_for(seconds(1));
  EXPECT_GE(ready(), 3U);
  work(16);
  EXPECT_EQ(finished_, 3U);
}

TEST_F(DispatcherTest, EveryClassGetsItsTurn) {
  accept(100, Priority::kLow);
  accept(100, Priority::kHigh);
  accept(100, Priority::kNormal);
  clock_.advance(milliseconds(100));
  dispatcher_.run_once();
  EXPECT_EQ(ready(Priority::kHigh), 16U);
  EXPECT_EQ(ready(Priority::kNormal), 8U);
  EXPECT_EQ(ready(Priority::kLow), 4U);
  run_for(milliseconds(100));
  EXPECT_EQ(ready(Priority::kLow), 16U);
}

TEST_F(DispatcherTest, OnlyOwnShardsAreScanned) {
  shards_ = {1, 2};
  accept(1, Priority::kNormal, false, tenant_in(1));
  accept(1, Priority::kNormal, false, tenant_in(3));
  run_for(milliseconds(300));
  EXPECT_EQ(ready(), 1U);
  // The other one waits for its owner, and nothing may overtake it meanwhile.
  EXPECT_EQ(submit(1, Priority::kNormal, tenant_in(2)), 0);
  shards_ = {1, 2, 3, 0};
  run_for(milliseconds(300));
  EXPECT_EQ(ready(), 3U);
  run_for(milliseconds(300));
  EXPECT_EQ(submit(1), 1);
}

TEST_F(DispatcherTest, AFloodDelaysAnotherTenantsJobByNoMoreThanWhatIsInTheQueue) {
  submit(2'000, Priority::kNormal, "flood");
  run_for(milliseconds(50));
  for (int single = 0; single < 20; ++single) {
    submit(1, Priority::kNormal, "small");
    std::size_t before = 0;
    for (bool mine = false; !mine; ++before) {
      ASSERT_LT(before, 100U);
      run_for(milliseconds(20));
      mine = work(1) == std::vector<std::string>{"small"};
    }
    EXPECT_LE(before, 16U + 11U);  // The queue's depth, and one turn of the other.
  }
  EXPECT_LE(finished_, 20U * 27U);
}

TEST_F(DispatcherTest, TenantsThatWaitShareByTokens) {
  accept(300, Priority::kNormal, false, "flood");
  accept(30, Priority::kNormal, false, "second");
  run_for(milliseconds(150));
  std::map<std::string, int> done;
  while (done["second"] < 30) {
    ASSERT_LT(done["flood"], 300);
    run_for(milliseconds(20));
    for (const std::string& tenant : work(4)) ++done[tenant];
  }
  EXPECT_LE(done["flood"], 30 + 2 * 11);  // As much as the other, and a turn more at either end.
}

TEST_F(DispatcherTest, WhoHadItsShareWaitsForItsTurn) {
  accept(300, Priority::kNormal, false, "flood");
  store_.fail_next("due_tasks", ErrorCode::kUnavailable);
  clock_.advance(milliseconds(100));
  dispatcher_.run_once();
  // There is room, and another may have it without a detour, until it had a turn's worth.
  int passed = 0;
  for (int i = 0; i < 30; ++i) {
    const int granted = reserve(1, Priority::kNormal, "small");
    dispatcher_.release("m", Priority::kNormal, granted);
    passed += granted;
  }
  EXPECT_EQ(passed, 11);
  EXPECT_EQ(reserve(1, Priority::kNormal, "third"), 1);
}

TEST_F(DispatcherTest, ARetryThatIsDueGoesBeforeItsTenantsBacklog) {
  submit(1);
  dispatcher_.run_once();
  const auto message = broker_.take(task_queue_name("m", Priority::kNormal), 1);
  const auto claimed = store_.claim({{task_from_json(message[0].body).value()}}, "w", soon());
  accept(200);
  const std::vector<Ending> failed = {{(*claimed)[0].ref, "w", Failed{JobError{"x", "y", "z", ""}}}};
  ASSERT_TRUE(store_.finish(failed, soon()).has_value());
  run_for(milliseconds(1'100));
  ASSERT_EQ(ready(), 16U);
  work(16);
  run_for(milliseconds(20));
  EXPECT_EQ(broker_.queues[task_queue_name("m", Priority::kNormal)].front().message_id,
            claimed->front().ref.id.value);
}

TEST_F(DispatcherTest, OfATenantsFirstJobsTheUrgentGoFirst) {
  accept(3);
  const auto urgent = accept(1, Priority::kNormal, false, "t", 30);
  accept(3);
  run_for(milliseconds(150));
  EXPECT_EQ(broker_.queues[task_queue_name("m", Priority::kNormal)].front().message_id,
            urgent.front().id.value);
}

TEST_F(DispatcherTest, APausedTenantsBacklogIsNotLookedAt) {
  accept(500, Priority::kNormal, false, "paused");
  ASSERT_TRUE(store_.set_pause({PauseKind::kTenant, "paused", "", 0, {}}, soon()).has_value());
  run_for(milliseconds(300));
  EXPECT_EQ(ready(), 0U);
  EXPECT_EQ(submit(3, Priority::kNormal, "other"), 3);  // Nobody waits for anything.
}

TEST_F(DispatcherTest, TheQueueIsDeepOnlyForWorkersThatEmptyIt) {
  Dispatcher deep(store_, broker_, {"m"}, [this] { return shards_; }, {.depth = 512, .depth_min = 8}, clock_,
                  rng_, Log("test", LogLevel::kError, clock_, std::make_shared<Quiet>()), {});
  accept(3'000);
  const auto turn = [&](std::size_t take) {
    deep.run_once();
    const std::size_t seen = ready();
    broker_.take(task_queue_name("m", Priority::kNormal), take);
    clock_.advance(milliseconds(10));
    return seen;
  };
  EXPECT_EQ(turn(0), 8U);
  std::size_t most = 0;
  for (int i = 0; i < 12; ++i) most = std::max(most, turn(1000));
  EXPECT_GE(most, 256U);
  for (int i = 0; i < 1000; ++i) turn(1);
  EXPECT_LE(ready(), 8U);
}

TEST_F(DispatcherTest, WithoutShardsFreshTasksStillGoOut) {
  shards_ = {};
  run_for(milliseconds(300));
  EXPECT_EQ(submit(2), 2);
  dispatcher_.run_once();
  EXPECT_EQ(ready(), 2U);
}

TEST_F(DispatcherTest, StoppingFlushesWhatWasHandedOver) {
  EXPECT_EQ(submit(3), 3);
  dispatcher_.stop();
  EXPECT_EQ(ready(), 3U);
  dispatcher_.stop();
}

TEST_F(DispatcherTest, TheLoopRunsByItself) {
  dispatcher_.start();
  const auto refs = accept(1, Priority::kNormal, true);
  ASSERT_EQ(reserve(1), 1);
  dispatcher_.publish("m", Priority::kNormal, refs);
  dispatcher_.stop();
  EXPECT_EQ(ready(), 1U);
}

TEST_F(DispatcherTest, AFailingDatabaseIsLeftInPeace) {
  accept(1);
  store_.fail_next("due_tasks", ErrorCode::kUnavailable, 1000);
  clock_.advance(milliseconds(100));
  const int before = store_.calls("due_tasks");
  run_for(seconds(10));
  EXPECT_LT(store_.calls("due_tasks") - before, 100);
}

}  // namespace
}  // namespace sluice::producer
