#include "callback/intake/intake.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <set>

#include "common/store/event_store.h"
#include "tests/support/fake_job_store.h"
#include "tests/unit/callback/support/deliveries.h"
#include "tests/unit/callback/support/memory_delivery_store.h"

namespace sluice::callback {
namespace {

using namespace std::chrono_literals;

class IntakeTest : public ::testing::Test {
 protected:
  static IntakeConfig config() {
    IntakeConfig config;
    config.prefetch = 4;
    config.retry = {1ms, 2ms, 0};
    return config;
  }
  IntakeBroker broker() {
    return {[this](std::span<const DeliveryTag> tags) {
              std::lock_guard lock(mutex_);
              for (const DeliveryTag& tag : tags) acked_.insert(tag.number);
              changed_.notify_all();
            },
            [this](const DeliveryTag& tag) {
              std::lock_guard lock(mutex_);
              returned_.insert(tag.number);
            }};
  }
  void TearDown() override { intake_.stop(); }
  bool wait_acked(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 60s, [&] { return acked_.size() >= count; });
  }
  EventId add_event(const std::string& url) {
    const auto prepared = testing::prepare(ids_, url, "e");
    store_.put_event(prepared.event);
    return prepared.event.id;
  }
  void offer(std::uint64_t number, std::string body) {
    Delivery message;
    message.tag.number = number;
    message.body = std::move(body);
    intake_.offer(std::move(message));
  }
  std::string message_for(const EventId& event) {
    return event_ref_to_json({event, ids_.make<JobId>(1), TenantId{"t"}, 1, "job.succeeded"});
  }
  double events(const std::string& outcome) {
    const std::string text = registry_.expose();
    const std::string start = "sluice_callback_events_total{outcome=\"" + outcome + "\"} ";
    const std::size_t at = text.find(start);
    return at == std::string::npos ? 0 : std::stod(text.substr(at + start.size()));
  }

  SystemClock clock_;
  SeededRng rng_{2};
  IdMaker ids_{clock_, rng_};
  Log log_{"test", LogLevel::kError, clock_, std::make_shared<Quiet>()};
  struct Quiet final : LogSink {
    void write(std::string_view) override {}
  };
  metrics::Registry registry_;
  ::sluice::testing::FakeJobStore jobs_{clock_, ids_};
  MemoryDeliveryStore store_{clock_};
  Decider decider_{PayloadConfig{}, store_, jobs_, ids_};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::uint64_t> acked_;
  std::set<std::uint64_t> returned_;
  std::atomic<int> woken_{0};
  Intake intake_{config(), decider_, broker(), [this] { ++woken_; },
                 clock_,   rng_,     log_,     make_callback_metrics(registry_).intake};
};

TEST_F(IntakeTest, AcksAfterTheDecision) {
  offer(1, message_for(add_event("http://a/")));
  offer(2, message_for(add_event("")));
  intake_.start();
  ASSERT_TRUE(wait_acked(2));
  intake_.stop();
  EXPECT_EQ(store_.deliveries().size(), 1u);
  EXPECT_EQ(events("delivery"), 1);
  EXPECT_EQ(events("no_receiver"), 1);
  EXPECT_EQ(woken_, 1);
}

TEST_F(IntakeTest, MalformedMessagesAreAckedAndHarmNobody) {
  offer(1, "not json");
  offer(2, R"({"event_id":"evt_'; DROP TABLE event","job_id":"x"})");
  offer(3, message_for(add_event("http://a/")));
  offer(4, std::string("\xff\x00", 2));
  intake_.start();
  ASSERT_TRUE(wait_acked(4));
  intake_.stop();
  EXPECT_EQ(events("malformed"), 3);
  EXPECT_EQ(store_.deliveries().size(), 1u);
}

TEST_F(IntakeTest, HoldsMessagesWhileTheDatabaseIsDown) {
  store_.fail_with(Error{ErrorCode::kUnavailable, "down"});
  offer(1, message_for(add_event("http://a/")));
  intake_.start();
  const auto errors = [this] {
    const std::string text = registry_.expose();
    const std::string name = "\nsluice_callback_decide_errors_total ";
    return std::stod(text.substr(text.find(name) + name.size()));
  };
  while (errors() < 3) std::this_thread::yield();
  {
    std::lock_guard lock(mutex_);
    EXPECT_TRUE(acked_.empty());
  }
  store_.fail_with(std::nullopt);
  ASSERT_TRUE(wait_acked(1));
  EXPECT_EQ(store_.deliveries().size(), 1u);
}

TEST_F(IntakeTest, WhatTheDatabaseRefusesIsAckedAlone) {
  store_.fail_with(Error{ErrorCode::kInvalid, "refused"});
  offer(1, message_for(add_event("http://a/")));
  offer(2, message_for(add_event("http://a/")));
  intake_.start();
  ASSERT_TRUE(wait_acked(2));
  intake_.stop();
  EXPECT_EQ(events("refused"), 2);
}

TEST_F(IntakeTest, TooManyAreGivenBack) {
  for (std::uint64_t i = 1; i <= 10; ++i) offer(i, message_for(add_event("")));
  EXPECT_EQ(returned_, (std::set<std::uint64_t>{9, 10}));
}

TEST_F(IntakeTest, StopsWithMessagesLeftUnacked) {
  store_.fail_with(Error{ErrorCode::kUnavailable, "down"});
  offer(1, message_for(add_event("")));
  intake_.start();
  intake_.stop();
  intake_.stop();
  EXPECT_TRUE(acked_.empty());
}

}  // namespace
}  // namespace sluice::callback
