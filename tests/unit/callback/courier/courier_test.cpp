#include "callback/courier/courier.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "tests/unit/callback/support/deliveries.h"
#include "tests/unit/callback/support/memory_delivery_store.h"

namespace sluice::callback {
namespace {

using namespace std::chrono_literals;

// Keeps every request until the test answers it.
class FakeSender final : public Sender {
 public:
  void send(SendRequest request, Done done) override {
    {
      std::lock_guard lock(mutex_);
      waiting_.emplace_back(std::move(request), std::move(done));
    }
    changed_.notify_all();
  }
  // Waits for a request and takes it.
  std::pair<SendRequest, Done> next() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, 60s, [this] { return !waiting_.empty(); })) return {};
    auto taken = std::move(waiting_.front());
    waiting_.erase(waiting_.begin());
    return taken;
  }
  std::size_t waiting() {
    std::lock_guard lock(mutex_);
    return waiting_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::pair<SendRequest, Done>> waiting_;
};

AttemptReport answered(int status) {
  AttemptReport report;
  report.status = status;
  if (status >= 300) report.error = "HTTP status " + std::to_string(status);
  return report;
}

AttemptReport failed(AttemptFailure failure) {
  AttemptReport report;
  report.failure = failure;
  report.error = "failed";
  return report;
}

class CourierTest : public ::testing::Test {
 protected:
  static CourierConfig config() {
    CourierConfig config;
    config.poll = 5ms;
    return config;
  }
  static RetryConfig retry() {
    RetryConfig config;
    config.jitter = 0;
    return config;
  }
  void TearDown() override { stop(); }
  void stop() {
    courier_.stop_claiming();
    while (sender_.waiting() > 0) sender_.next().second(failed(AttemptFailure::kCancelled));
    courier_.stop(Deadline::in(clock_, 60s));
  }
  Deadline soon() { return Deadline::in(clock_, 60s); }
  EventId add(const std::string& endpoint = "http://a:80", const std::string& body = "{}") {
    const auto prepared = testing::prepare(ids_, endpoint + "/hook", endpoint, body);
    store_.put_event(prepared.event);
    EXPECT_TRUE(store_.decide(std::span(&prepared.decision, 1), soon()));
    return prepared.event.id;
  }
  MemoryDeliveryStore::Delivery only() {
    const auto all = store_.deliveries();
    EXPECT_EQ(all.size(), 1u);
    return all.front();
  }
  bool settled() { return courier_.drain(soon()); }
  double metric(const std::string& line_start) {
    const std::string text = registry_.expose();
    const std::size_t at = text.find("\n" + line_start + " ");
    return at == std::string::npos ? -1 : std::stod(text.substr(at + line_start.size() + 2));
  }

  SystemClock clock_;
  SeededRng rng_{5};
  IdMaker ids_{clock_, rng_};
  Log log_{"test", LogLevel::kError, clock_};
  metrics::Registry registry_;
  MemoryDeliveryStore store_{clock_};
  testing::FakeAccounts accounts_;
  testing::FakeEndpoints endpoints_;
  KeyCache keys_{accounts_, endpoints_, clock_, 0ms};
  FakeSender sender_;
  RetrySchedule schedule_{retry(), clock_, rng_};
  EndpointGate gate_{GateConfig{}, clock_, rng_};
  Courier courier_{config(), store_,    keys_,
                   sender_,  schedule_, gate_,
                   clock_,   log_,      make_callback_metrics(registry_).courier};
};

TEST_F(CourierTest, DeliversOnceAndRecordsTheAttempt) {
  const EventId event = add("http://a:80", R"({"x":1})");
  courier_.start();
  auto [request, done] = sender_.next();
  EXPECT_EQ(request.url, "http://a:80/hook");
  EXPECT_EQ(request.body, R"({"x":1})");
  EXPECT_EQ(request.headers[1], "webhook-id: " + event.value);
  AttemptReport report = answered(204);
  report.response = "thanks";
  report.duration = 12ms;
  done(report);
  ASSERT_TRUE(settled());
  EXPECT_EQ(only().state, "delivered");
  EXPECT_EQ(only().last_status, 204);
  ASSERT_EQ(only().attempts.size(), 1u);
  EXPECT_EQ(only().attempts[0].report.response, "thanks");
  EXPECT_EQ(metric("sluice_webhook_deliveries_total{outcome=\"delivered\"}"), 1);
  EXPECT_EQ(metric("sluice_webhook_attempts_total{outcome=\"success\"}"), 1);
  EXPECT_EQ(metric("sluice_webhook_under_way"), 0);
  EXPECT_EQ(sender_.waiting(), 0u);
}

TEST_F(CourierTest, AFailureIsTriedAgainByTheScheduleWithTheSameBodyAndId) {
  add("http://a:80", R"({"x":1})");
  courier_.start();
  auto first = sender_.next();
  first.second(answered(500));
  ASSERT_TRUE(settled());
  EXPECT_EQ(only().state, "pending");
  EXPECT_EQ(only().last_status, 500);
  const auto wait = only().due - clock_.wall_now();
  EXPECT_GT(wait, 3s);
  EXPECT_LE(wait, 5s);
  store_.make_due(only().what.ref.id);
  auto second = sender_.next();
  EXPECT_EQ(second.first.body, first.first.body);
  EXPECT_EQ(second.first.headers[1], first.first.headers[1]);
  second.second(answered(200));
  ASSERT_TRUE(settled());
  EXPECT_EQ(only().state, "delivered");
  EXPECT_EQ(only().attempts.size(), 2u);
  EXPECT_EQ(only().last_error, "");
}

TEST_F(CourierTest, GoneIsFinal) {
  add();
  courier_.start();
  sender_.next().second(answered(410));
  ASSERT_TRUE(settled());
  EXPECT_EQ(only().state, "failed");
  EXPECT_EQ(metric("sluice_webhook_deliveries_total{outcome=\"failed\"}"), 1);
}

TEST_F(CourierTest, WithoutASecretNothingIsSentAndTheAttemptCounts) {
  accounts_.error = Error{ErrorCode::kNotFound, "none"};
  add();
  courier_.start();
  while (only().attempts.empty()) courier_.wake();
  EXPECT_EQ(sender_.waiting(), 0u);
  EXPECT_EQ(only().attempts[0].report.failure, AttemptFailure::kNoSecret);
  EXPECT_EQ(only().state, "pending");
}

TEST_F(CourierTest, AnUnreadableSecretIsNoAttempt) {
  accounts_.error = Error{ErrorCode::kUnavailable, "down"};
  add();
  courier_.start();
  while (metric("sluice_webhook_put_back_total") < 1) courier_.wake();
  EXPECT_TRUE(only().attempts.empty());
  EXPECT_EQ(only().what.ref.attempts, 0);
  EXPECT_GT(only().due, clock_.wall_now());
}

TEST_F(CourierTest, AMissingPayloadFailsForGood) {
  add("http://a:80", "");
  courier_.start();
  while (only().attempts.empty()) courier_.wake();
  EXPECT_EQ(only().state, "failed");
}

TEST_F(CourierTest, WhatCanNotBeRecordedNowIsRecordedLater) {
  add();
  courier_.start();
  auto [request, done] = sender_.next();
  store_.fail_with(Error{ErrorCode::kUnavailable, "down"});
  done(answered(200));
  while (metric("sluice_webhook_store_errors_total{call=\"record\"}") < 1) courier_.wake();
  EXPECT_EQ(only().state, "pending");
  store_.fail_with(std::nullopt);
  ASSERT_TRUE(settled());
  EXPECT_EQ(only().state, "delivered");
  EXPECT_EQ(only().attempts.size(), 1u);
}

TEST_F(CourierTest, AClaimThatLapsedChangesNothing) {
  add();
  courier_.start();
  auto first = sender_.next();
  store_.make_due(only().what.ref.id);  // As if the hold had run out: somebody takes it.
  auto second = sender_.next();
  second.second(answered(500));
  while (only().attempts.empty()) courier_.wake();
  first.second(answered(200));
  ASSERT_TRUE(settled());
  EXPECT_EQ(only().attempts.size(), 1u);
  EXPECT_EQ(only().state, "pending");
  EXPECT_EQ(metric("sluice_webhook_claims_lost_total"), 1);
}

TEST_F(CourierTest, StoppingGivesBackWhatWasNotSent) {
  add();
  courier_.start();
  auto [request, done] = sender_.next();
  courier_.stop_claiming();
  done(failed(AttemptFailure::kCancelled));
  courier_.stop(soon());
  EXPECT_EQ(gate_.under_way(), 0);
  EXPECT_TRUE(only().attempts.empty());
  EXPECT_LE(only().due, clock_.wall_now());
}

TEST_F(CourierTest, ADeadEndpointRestsAndTheOthersGoOn) {
  for (int i = 0; i < 20; ++i) add("http://dead:80");
  courier_.start();
  while (!gate_.resting("http://dead:80")) {
    if (sender_.waiting() > 0) sender_.next().second(failed(AttemptFailure::kConnect));
  }
  add("http://live:80");
  // What was under way before it rested, and now and then another try of it, may come first.
  auto [request, done] = sender_.next();
  while (request.url == "http://dead:80/hook") {
    done(failed(AttemptFailure::kConnect));
    std::tie(request, done) = sender_.next();
  }
  EXPECT_EQ(request.url, "http://live:80/hook");
  done(answered(200));
  while (metric("sluice_webhook_deliveries_total{outcome=\"delivered\"}") < 1) courier_.wake();
  EXPECT_TRUE(gate_.resting("http://dead:80"));
}

TEST_F(CourierTest, ASlowEndpointHoldsItsShareAndNoMore) {
  for (int i = 0; i < 100; ++i) add("http://slow:80");
  courier_.start();
  std::vector<Sender::Done> held;
  for (int i = 0; i < 16; ++i) held.push_back(sender_.next().second);
  add("http://quick:80");
  auto [request, done] = sender_.next();
  EXPECT_EQ(request.url, "http://quick:80/hook");
  done(answered(200));
  for (auto& one : held) one(answered(200));
}

}  // namespace
}  // namespace sluice::callback
