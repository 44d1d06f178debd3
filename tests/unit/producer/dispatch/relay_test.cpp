#include "producer/dispatch/relay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_job_store.h"
#include "tests/unit/producer/support/fake_broker.h"

namespace sluice::producer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::SizeIs;

class Quiet final : public LogSink {
 public:
  void write(std::string_view) override {}
};

class RelayTest : public ::testing::Test {
 protected:
  RelayTest() { EXPECT_TRUE(broker_.declare_topology(soon()).has_value()); }

  // Each ends with an event.
  void end_jobs(int count) {
    for (int i = 0; i < count; ++i) {
      std::vector<Submission> submissions(1);
      NewJob& fresh = submissions[0].jobs.emplace_back();
      fresh.job.id = ids_.make<JobId>(0);
      fresh.job.tenant.value = "t";
      fresh.job.model = "m";
      ASSERT_TRUE(store_.submit(submissions, soon())[0].has_value());
      ASSERT_TRUE(store_.cancel(TenantId{"t"}, submissions[0].jobs[0].job.id, soon()).has_value());
    }
  }
  Deadline soon() { return Deadline::in(clock_, seconds(5)); }
  std::size_t ready() { return broker_.ready_in(std::string(kCallbackQueue)); }
  void run_for(milliseconds time) {
    const SteadyTime until = clock_.steady_now() + time;
    while (clock_.steady_now() < until) {
      const Duration pause = std::max<Duration>(relay_.run_once(), milliseconds(1));
      clock_.advance(std::min<Duration>(pause, until - clock_.steady_now()));
    }
  }

  ManualClock clock_;
  SeededRng rng_{7};
  IdMaker ids_{clock_, rng_};
  testing::FakeJobStore store_{clock_, ids_};
  FakeBroker broker_;
  std::vector<int> shards_{0};
  std::vector<std::string> told_;
  Relay relay_{store_,
               broker_,
               [this] { return shards_; },
               [this](const EventRef& event) { told_.push_back(event.job_id.value); },
               {.batch_max = 8},
               clock_,
               rng_,
               Log("test", LogLevel::kError, clock_, std::make_shared<Quiet>()),
               {}};
};

TEST_F(RelayTest, EventsGoOutUnderTheirType) {
  end_jobs(1);
  relay_.run_once();
  ASSERT_EQ(ready(), 1U);
  const Message& message = broker_.queues[std::string(kCallbackQueue)].front();
  EXPECT_EQ(message.exchange, kEventsExchange);
  EXPECT_EQ(message.routing_key, "job.cancelled");
  const auto event = event_ref_from_json(message.body);
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(*event, store_.events().front());
  EXPECT_EQ(message.message_id, event->id.value);
  EXPECT_THAT(told_, SizeIs(1));
}

TEST_F(RelayTest, ManyGoOutInTurnsWithoutAPause) {
  end_jobs(20);
  EXPECT_EQ(relay_.run_once(), Duration::zero());
  EXPECT_EQ(relay_.run_once(), Duration::zero());
  EXPECT_GT(relay_.run_once(), Duration::zero());
  EXPECT_EQ(ready(), 20U);
}

TEST_F(RelayTest, UndecidedEventsAreRepeatedOnlyWhenTheQueueIsEmpty) {
  end_jobs(3);
  run_for(seconds(20));
  EXPECT_EQ(ready(), 3U);  // The callback service is slow, not gone.
  EXPECT_THAT(broker_.attempts, SizeIs(3));
  end_jobs(20);  // More than one turn takes.
  run_for(seconds(1));
  broker_.purge();
  run_for(seconds(6));
  EXPECT_EQ(ready(), 23U);
  EXPECT_THAT(told_, SizeIs(23));  // Waiting requests were told once.
}

TEST_F(RelayTest, AWipedBrokerIsDeclaredAnew) {
  end_jobs(2);
  run_for(seconds(1));
  broker_.wipe();
  end_jobs(1);
  run_for(seconds(7));
  EXPECT_EQ(ready(), 3U);
}

TEST_F(RelayTest, WithTheBrokerDownEventsStay) {
  broker_.up = false;
  end_jobs(2);
  run_for(seconds(10));
  broker_.up = true;
  run_for(seconds(3));
  EXPECT_EQ(ready(), 2U);
}

TEST_F(RelayTest, AnUnknownOutcomeIsLookedAtLater) {
  end_jobs(1);
  broker_.failures = {{ErrorCode::kOutcomeUnknown, false}};
  run_for(seconds(4));
  EXPECT_EQ(ready(), 0U);
  run_for(seconds(2));
  EXPECT_EQ(ready(), 1U);
}

TEST_F(RelayTest, RefusedOnesAreTriedAgain) {
  end_jobs(2);
  broker_.failures = {{ErrorCode::kExhausted, false}};
  run_for(seconds(1));
  EXPECT_EQ(ready(), 2U);
}

TEST_F(RelayTest, WithoutShardsItRests) {
  shards_ = {};
  end_jobs(1);
  run_for(seconds(1));
  EXPECT_EQ(store_.calls("due_events"), 0);
}

}  // namespace
}  // namespace sluice::producer
