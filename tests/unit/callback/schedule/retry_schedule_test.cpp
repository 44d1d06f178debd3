#include "callback/schedule/retry_schedule.h"

#include <gtest/gtest.h>

namespace sluice::callback {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using Kind = Verdict::Kind;

AttemptReport answered(int status, std::string retry_after = "") {
  AttemptReport report;
  report.status = status;
  report.retry_after = std::move(retry_after);
  return report;
}

AttemptReport failed(AttemptFailure failure) {
  AttemptReport report;
  report.failure = failure;
  return report;
}

class Schedule : public testing::Test {
 protected:
  static RetryConfig without_jitter() {
    RetryConfig config;
    config.jitter = 0;
    return config;
  }
  ManualClock clock_;
  SeededRng rng_{3};
};

TEST_F(Schedule, IsThatOfStandardWebhooks) {
  const RetrySchedule schedule(without_jitter(), clock_, rng_);
  EXPECT_EQ(schedule.attempts_max(), 10);
  const milliseconds waits[] = {5s, 5min, 30min, 2h, 5h, 10h, 14h, 20h, 24h};
  for (int attempts = 1; attempts <= 9; ++attempts) {
    const Verdict verdict = schedule.verdict(answered(500), attempts);
    EXPECT_EQ(verdict.kind, Kind::kRetry);
    EXPECT_EQ(verdict.delay, waits[attempts - 1]) << attempts;
  }
  EXPECT_EQ(schedule.verdict(answered(500), 10).kind, Kind::kFailed);
}

TEST_F(Schedule, OnlyTwoHundredsAreSuccess) {
  const RetrySchedule schedule(without_jitter(), clock_, rng_);
  for (const int status : {200, 201, 202, 204, 299}) {
    EXPECT_EQ(schedule.verdict(answered(status), 1).kind, Kind::kDelivered) << status;
    EXPECT_EQ(schedule.verdict(answered(status), 10).kind, Kind::kDelivered) << status;
  }
  for (const int status :
       {300, 301, 302, 304, 307, 308, 400, 401, 404, 408, 409, 422, 429, 500, 502, 503, 599}) {
    EXPECT_EQ(schedule.verdict(answered(status), 1).kind, Kind::kRetry) << status;
  }
}

TEST_F(Schedule, GoneIsFinal) {
  const RetrySchedule schedule(without_jitter(), clock_, rng_);
  EXPECT_EQ(schedule.verdict(answered(410), 1).kind, Kind::kFailed);
  EXPECT_EQ(schedule.verdict(answered(410, "60"), 1).kind, Kind::kFailed);
}

TEST_F(Schedule, WhatWasRefusedOrCannotBeSentIsFinalAndTheRestIsNot) {
  const RetrySchedule schedule(without_jitter(), clock_, rng_);
  EXPECT_EQ(schedule.verdict(failed(AttemptFailure::kRefused), 1).kind, Kind::kFailed);
  EXPECT_EQ(schedule.verdict(failed(AttemptFailure::kUnsendable), 1).kind, Kind::kFailed);
  for (const AttemptFailure failure :
       {AttemptFailure::kTimeout, AttemptFailure::kResolve, AttemptFailure::kConnect, AttemptFailure::kTls,
        AttemptFailure::kProtocol, AttemptFailure::kNoSecret}) {
    EXPECT_EQ(schedule.verdict(failed(failure), 1).kind, Kind::kRetry);
    EXPECT_EQ(schedule.verdict(failed(failure), 10).kind, Kind::kFailed);
  }
}

TEST_F(Schedule, AStatusWithoutTheWholeAnswerIsNoSuccess) {
  const RetrySchedule schedule(without_jitter(), clock_, rng_);
  AttemptReport cut = failed(AttemptFailure::kTimeout);
  cut.status = 200;
  EXPECT_EQ(schedule.verdict(cut, 1).kind, Kind::kRetry);
}

TEST_F(Schedule, JitterStaysWithinAFifthAndIsSpread) {
  const RetrySchedule schedule(RetryConfig{}, clock_, rng_);
  milliseconds least = 24h;
  milliseconds most = 0h;
  for (int i = 0; i < 1000; ++i) {
    const milliseconds delay = schedule.verdict(answered(500), 2).delay;
    least = std::min(least, delay);
    most = std::max(most, delay);
  }
  EXPECT_GE(least, 240s);
  EXPECT_LE(least, 246s);
  EXPECT_LE(most, 360s);
  EXPECT_GE(most, 354s);
}

TEST_F(Schedule, RetryAfterMayOnlyLengthenTheWaitAndIsBounded) {
  const RetrySchedule schedule(without_jitter(), clock_, rng_);
  EXPECT_EQ(schedule.verdict(answered(429, "60"), 1).delay, 60s);
  EXPECT_EQ(schedule.verdict(answered(503, "60"), 1).delay, 60s);
  EXPECT_EQ(schedule.verdict(answered(429, "1"), 1).delay, 5s);
  EXPECT_EQ(schedule.verdict(answered(429, "60"), 3).delay, 30min);
  EXPECT_EQ(schedule.verdict(answered(429, "99999999999999999999"), 1).delay, 24h);
  EXPECT_EQ(schedule.verdict(answered(429, "soon"), 1).delay, 5s);
  EXPECT_EQ(schedule.verdict(answered(429, "60"), 10).kind, Kind::kFailed);
}

TEST_F(Schedule, RetryAfterAsADateIsReadByTheWallClock) {
  clock_.set_wall(WallTime(std::chrono::seconds(784'111'777)));  // Sun, 06 Nov 1994 08:49:37 GMT
  const RetrySchedule schedule(without_jitter(), clock_, rng_);
  EXPECT_EQ(schedule.verdict(answered(503, "Sun, 06 Nov 1994 08:51:37 GMT"), 1).delay, 120s);
  EXPECT_EQ(schedule.verdict(answered(503, "Sun, 06 Nov 1994 07:49:37 GMT"), 1).delay, 5s);
  EXPECT_EQ(schedule.verdict(answered(503, "Sun, 06 Nov 2094 08:49:37 GMT"), 1).delay, 24h);
}

TEST(RetryAfter, SecondsDatesAndNothingElse) {
  const WallTime now{std::chrono::seconds(784'111'777)};
  EXPECT_EQ(parse_retry_after("0", now), 0s);
  EXPECT_EQ(parse_retry_after(" 120 ", now), 120s);
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:39 GMT", now), 2s);
  EXPECT_EQ(parse_retry_after("Sunday, 06-Nov-94 08:49:39 GMT", now), 2s);
  EXPECT_EQ(parse_retry_after("Sun Nov  6 08:49:39 1994", now), 2s);
  for (const char* text :
       {"", " ", "-1", "1.5", "1e3", "+5", "10s", "08:49:37", "tomorrow", "Sun, 99 Nov 1994 08:49:37 GMT"}) {
    EXPECT_EQ(parse_retry_after(text, now), std::nullopt) << text;
  }
  EXPECT_EQ(parse_retry_after(std::string(100, '9'), now), std::nullopt);
}

}  // namespace
}  // namespace sluice::callback
