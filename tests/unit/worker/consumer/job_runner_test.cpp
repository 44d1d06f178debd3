// The way of a start from message to ack.
#include <gmock/gmock.h>

#include "tests/unit/worker/consumer/harness.h"

namespace sluice::worker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;

class JobRunnerTest : public RunnerTest {};

TEST_F(JobRunnerTest, CommitThenRedisThenAck) {
  const JobId id = submit("hello");
  start(config());
  const auto tag = deliver(id);
  ASSERT_TRUE(engine_.wait_added(1));
  EXPECT_EQ(state(id), JobState::kRunning);
  engine_.finish(key(id), Generation{"the answer", {}, FinishReason::kStop, {5, 2}});
  ASSERT_TRUE(journal_.wait_for("ack:" + std::to_string(tag)));
  EXPECT_THAT(journal_.entries(), ElementsAre("put:" + id.value, "ack:" + std::to_string(tag)));
  const Job done = job(id);
  EXPECT_EQ(done.state, JobState::kSucceeded);
  EXPECT_EQ(*done.result, (JobResult{"the answer", "", "stop", 5, 2}));
  EXPECT_EQ(store_.events().size(), 1U);
  EXPECT_EQ(runner_->held(), 0U);
  EXPECT_EQ(metric("sluice_worker_jobs_total{outcome=\"succeeded\"}"), 1);
}

TEST_F(JobRunnerTest, AFullEngineHasPlacesForJobsThatAreNotLow) {
  std::vector<JobId> low;
  for (int i = 0; i < 3; ++i) low.push_back(submit("a line", Priority::kLow));
  const JobId normal = submit("a question");
  const JobId second = submit("another");
  start(config(2, 0, 1));
  for (const JobId& id : low) deliver(id, Priority::kLow);
  ASSERT_TRUE(engine_.wait_added(2));
  deliver(normal);
  ASSERT_TRUE(engine_.wait_added(3));
  EXPECT_EQ(state(normal), JobState::kRunning);
  // The one place beside is taken, and a low one that ends leaves its own to whoever has its turn.
  deliver(second);
  engine_.finish(key(normal));
  ASSERT_TRUE(engine_.wait_added(4));
  EXPECT_EQ(state(second), JobState::kRunning);
  EXPECT_EQ(state(low[2]), JobState::kQueued);
  engine_.finish(key(low[0]));
  ASSERT_TRUE(engine_.wait_added(5));
  EXPECT_EQ(state(low[2]), JobState::kRunning);
  for (const JobId& id : {low[1], low[2], second}) engine_.finish(key(id));
  ASSERT_TRUE(journal_.wait_count("ack:", 5));
}

TEST_F(JobRunnerTest, DuplicateMessagesRunOnce) {
  engine_.answer_all();
  const JobId id = submit("hello");
  make(config());
  const TaskRef ref{id, 1, 0};
  deliver(ref);  // Twice in one claim …
  deliver(ref);
  runner_->start();
  ASSERT_TRUE(journal_.wait_count("ack:", 2));
  deliver(ref);  // … and once more when all is over.
  ASSERT_TRUE(journal_.wait_count("ack:", 3));
  EXPECT_EQ(engine_.added().size(), 1U);
  EXPECT_EQ(store_.events().size(), 1U);
  EXPECT_EQ(metric("sluice_worker_duplicates_total"), 2);
}

TEST_F(JobRunnerTest, AMessageThatComesAgainWhileItsJobRunsIsDropped) {
  const JobId id = submit("hello");
  start(config());
  deliver(TaskRef{id, 1, 0});
  ASSERT_TRUE(engine_.wait_added(1));
  const auto again = deliver(TaskRef{id, 1, 0}, Priority::kNormal, 2);  // Redelivered on a new connection.
  ASSERT_TRUE(journal_.wait_for("ack:" + std::to_string(again)));
  engine_.finish(key(id));
  ASSERT_TRUE(journal_.wait_count("ack:", 2));
  EXPECT_EQ(engine_.added().size(), 1U);
  EXPECT_EQ(state(id), JobState::kSucceeded);
}

TEST_F(JobRunnerTest, AMessageForAJobThatIsNoMoreIsDropped) {
  start(config());
  const auto tag = deliver(TaskRef{ids_.make<JobId>(1), 1, 0});
  EXPECT_TRUE(journal_.wait_for("ack:" + std::to_string(tag)));
}

TEST_F(JobRunnerTest, UnreadableMessagesAreRejectedAndTheOthersGoOn) {
  engine_.answer_all();
  const JobId id = submit("hello");
  start(config());
  for (const char* body : {"", "nonsense", "{}", R"({"job_id":"job_1","generation":1,"attempt":0})",
                           R"({"job_id":7,"generation":1,"attempt":0})"}) {
    const auto tag = deliver_body(body);
    EXPECT_TRUE(journal_.wait_for("reject:" + std::to_string(tag))) << body;
  }
  const auto tag = deliver(id);
  EXPECT_TRUE(journal_.wait_for("ack:" + std::to_string(tag)));
  EXPECT_EQ(metric("sluice_worker_malformed_total"), 5);
  EXPECT_EQ(journal_.starting("reject:"), 5U);
}

TEST_F(JobRunnerTest, WithoutTheDatabaseMessagesStayUnackedUntilItIsBack) {
  engine_.answer_all();
  store_.fail_next("claim", ErrorCode::kUnavailable, 4);
  const JobId id = submit("hello");
  start(config());
  const auto tag = deliver(id);
  ASSERT_TRUE(pass_time_until([&] { return store_.calls("claim") == 4; }));
  EXPECT_TRUE(journal_.entries().empty());
  ASSERT_TRUE(pass_time_until([&] { return journal_.count("ack:" + std::to_string(tag)) == 1; }));
  EXPECT_EQ(state(id), JobState::kSucceeded);
}

TEST_F(JobRunnerTest, ClaimsAreNotRepeatedWithoutPausesHoweverManyMessagesCome) {
  store_.fail_next("claim", ErrorCode::kUnavailable, 1000);
  start(config());
  for (int i = 0; i < 50; ++i) deliver(submit("x"));
  // Nobody moves the clock: after the first failure there is no second claim.
  ASSERT_TRUE(pass_time_until([&] { return store_.calls("claim") >= 1; }));
  const int calls = store_.calls("claim");
  for (int i = 0; i < 50; ++i) deliver(submit("y"));
  std::unique_lock lock(pause_mutex_);
  pause_.wait_for(lock, milliseconds(30));
  EXPECT_LE(store_.calls("claim"), calls + 1);
}

TEST_F(JobRunnerTest, AnEndingIsRepeatedUntilItIsAnswered) {
  engine_.answer_all();
  const JobId id = submit("hello");
  start(config());
  store_.fail_next("finish", ErrorCode::kUnavailable, 2);
  store_.fail_next("finish", ErrorCode::kDeadline, 1);
  store_.fail_next("finish", ErrorCode::kOutcomeUnknown, 1, false);
  const auto tag = deliver(id);
  ASSERT_TRUE(pass_time_until([&] { return journal_.count("ack:" + std::to_string(tag)) == 1; }));
  EXPECT_EQ(store_.calls("finish"), 5);
  EXPECT_EQ(state(id), JobState::kSucceeded);
  EXPECT_EQ(store_.events().size(), 1U);
}

TEST_F(JobRunnerTest, AnEndingThatWasCommittedUnseenCountsOnce) {
  engine_.answer_all();
  const JobId id = submit("hello");
  start(config());
  store_.fail_next("finish", ErrorCode::kOutcomeUnknown, 1, true);
  const auto tag = deliver(id);
  ASSERT_TRUE(pass_time_until([&] { return journal_.count("ack:" + std::to_string(tag)) == 1; }));
  EXPECT_EQ(state(id), JobState::kSucceeded);
  EXPECT_EQ(store_.events().size(), 1U);
}

TEST_F(JobRunnerTest, EndingsThatWaitAreWrittenTogether) {
  std::vector<JobId> ids;
  for (int i = 0; i < 8; ++i) ids.push_back(submit("p"));
  start(config());
  dispatch();
  ASSERT_TRUE(engine_.wait_added(8));
  store_.fail_next("finish", ErrorCode::kUnavailable, 1);
  engine_.finish(key(ids[0]));
  ASSERT_TRUE(pass_time_until([&] { return store_.calls("finish") == 1; }));
  for (int i = 1; i < 8; ++i) engine_.finish(key(ids[static_cast<std::size_t>(i)]));
  ASSERT_TRUE(engine_.wait_active(0));
  ASSERT_TRUE(pass_time_until([&] { return journal_.starting("ack:") == 8; }));
  EXPECT_LE(store_.calls("finish"), 4);  // Not one for each.
}

TEST_F(JobRunnerTest, MessagesThatWaitAreClaimedTogether) {
  for (int i = 0; i < 20; ++i) submit("p");
  make(config());
  dispatch();
  runner_->start();
  ASSERT_TRUE(engine_.wait_added(20));
  EXPECT_EQ(store_.calls("claim"), 1);
}

TEST_F(JobRunnerTest, ClaimsOnlyWhatCanStartSoon) {
  for (int i = 0; i < 10; ++i) submit("p");
  make(config(2, 1));
  dispatch();
  runner_->start();
  ASSERT_TRUE(engine_.wait_added(2));
  EXPECT_EQ(running(), 3U);  // Two run, one is ready to follow.
  engine_.finish(engine_.added().front());
  ASSERT_TRUE(engine_.wait_added(3));
  ASSERT_TRUE(journal_.wait_count("ack:", 1));
  ASSERT_TRUE(pass_time_until([&] { return running() == 3; }));
}

TEST_F(JobRunnerTest, ResultsThatCannotBeWrittenBoundWhatIsClaimed) {
  engine_.answer_all();
  store_.fail_next("finish", ErrorCode::kUnavailable, 1'000'000);
  for (int i = 0; i < 40; ++i) submit("p");
  JobRunnerConfig c = config(4, 0);
  c.intake.held_max = 10;
  start(c);
  dispatch();
  ASSERT_TRUE(pass_time_until([&] { return runner_->held() == 10; }));
  pass_time_until([] { return false; }, seconds(5));
  EXPECT_EQ(runner_->held(), 10U);
  EXPECT_EQ(running(), 10U);
}

TEST_F(JobRunnerTest, PrefetchedLowJobsDoNotHoldTheBatch) {
  std::vector<JobId> low;
  for (int i = 0; i < 20; ++i) low.push_back(submit("low", Priority::kLow));
  make(config(9, 0));
  for (const JobId& id : low) deliver(id, Priority::kLow);
  std::vector<JobId> high;
  for (int i = 0; i < 20; ++i) high.push_back(submit("high", Priority::kHigh));
  for (const JobId& id : high) deliver(id, Priority::kHigh);
  runner_->start();
  ASSERT_TRUE(engine_.wait_added(9));
  const auto running_of = [&](const std::vector<JobId>& ids) {
    return std::count_if(ids.begin(), ids.end(),
                         [&](const JobId& id) { return state(id) == JobState::kRunning; });
  };
  EXPECT_EQ(running_of(high), 8);
  EXPECT_EQ(running_of(low), 1);
}

TEST_F(JobRunnerTest, ARequestThatCanNeverSucceedFailsForGoodAndItsMatesAreUnharmed) {
  engine_.answer_all();
  engine_.refuse("bad parameter", ErrorCode::kInvalid, 100);
  const JobId bad = submit("bad parameter");
  const JobId broken = submit("", Priority::kNormal, "{broken");
  const JobId longer = submit(std::string(1000, 'x'));
  const JobId good = submit("good");
  make(config());
  dispatch();
  runner_->start();
  ASSERT_TRUE(journal_.wait_count("ack:", 4));
  EXPECT_EQ(state(good), JobState::kSucceeded);
  EXPECT_EQ(state(bad), JobState::kFailed);
  EXPECT_EQ(job(bad).error->code, "invalid_request");
  EXPECT_EQ(state(broken), JobState::kFailed);
  EXPECT_EQ(job(broken).error->code, "invalid_request");
  EXPECT_EQ(state(longer), JobState::kFailed);
  EXPECT_EQ(job(longer).error->code, "context_length_exceeded");
  EXPECT_EQ(job(longer).attempt, 1);
}

TEST_F(JobRunnerTest, ATransientFailureIsTriedAgainAndInTheEndTheJobIsDead) {
  engine_.refuse("flaky", ErrorCode::kUnavailable, 100);
  const JobId id = submit("flaky");
  start(config());
  for (int attempt = 1; attempt <= 5; ++attempt) {
    ASSERT_TRUE(pass_time_until([&] { return dispatch() == 1; })) << attempt;
    ASSERT_TRUE(journal_.wait_count("ack:", static_cast<std::size_t>(attempt)));
    EXPECT_EQ(state(id), attempt < 5 ? JobState::kQueued : JobState::kDead);
  }
  EXPECT_EQ(job(id).error->code, "engine_unavailable");
  EXPECT_EQ(job(id).error->type, "server_error");
  EXPECT_EQ(metric("sluice_worker_jobs_total{outcome=\"retried\"}"), 4);
  EXPECT_EQ(metric("sluice_worker_jobs_total{outcome=\"dead\"}"), 1);
}

TEST_F(JobRunnerTest, AResultThatTheDatabaseRefusesDoesNotHarmItsNeighbours) {
  store_.fail_next("finish", ErrorCode::kInvalid, 2);  // The whole, and its first half.
  std::vector<JobId> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(submit("p" + std::to_string(i)));
  make(config());
  dispatch();
  runner_->start();
  ASSERT_TRUE(engine_.wait_active(4));
  engine_.answer_all();
  ASSERT_TRUE(journal_.wait_count("ack:", 4));
  for (const JobId& id : ids) EXPECT_EQ(state(id), JobState::kSucceeded);
}

TEST_F(JobRunnerTest, AnEndingThatIsRefusedByItselfEndsAsAFailure) {
  engine_.answer_all();
  store_.fail_next("finish", ErrorCode::kInvalid, 1);
  const JobId id = submit("p");
  start(config());
  deliver(id);
  ASSERT_TRUE(pass_time_until([&] { return journal_.starting("ack:") == 1; }));
  EXPECT_EQ(state(id), JobState::kFailed);
  EXPECT_EQ(job(id).error->code, "result_refused");
}

TEST_F(JobRunnerTest, AnEndingThatIsRefusedInEveryFormIsLeftToItsLease) {
  engine_.answer_all();
  store_.fail_next("finish", ErrorCode::kInvalid, 3);
  const JobId id = submit("p");
  start(config());
  deliver(id);
  ASSERT_TRUE(pass_time_until([&] { return journal_.starting("ack:") == 1; }));
  EXPECT_EQ(runner_->held(), 0U);
  EXPECT_EQ(state(id), JobState::kRunning);
  EXPECT_EQ(metric("sluice_worker_jobs_total{outcome=\"refused\"}"), 1);
}

TEST_F(JobRunnerTest, ADefectOfTheStoreHoldsBackOnlyTheEndingItIsAbout) {
  store_.fail_next("finish", ErrorCode::kInternal, 2);  // Both, then the first of them.
  const JobId first = submit("p");
  const JobId second = submit("p");
  make(config());
  dispatch();
  runner_->start();
  ASSERT_TRUE(engine_.wait_active(2));
  engine_.answer_all();
  ASSERT_TRUE(journal_.wait_count("ack:", 1));
  ASSERT_TRUE(pass_time_until([&] { return journal_.starting("ack:") == 2; }));
  EXPECT_EQ(state(first), JobState::kSucceeded);
  EXPECT_EQ(state(second), JobState::kSucceeded);
}

TEST_F(JobRunnerTest, RedisIsSpeedOnly) {
  cache_.failing = true;
  engine_.answer_all();
  const JobId id = submit("p");
  start(config());
  const auto tag = deliver(id);
  ASSERT_TRUE(journal_.wait_for("ack:" + std::to_string(tag)));
  EXPECT_EQ(state(id), JobState::kSucceeded);
  EXPECT_EQ(metric("sluice_worker_redis_errors_total"), 1);
}

TEST_F(JobRunnerTest, MessagesOfALostConnectionAreForgottenWhenANewOneDelivers) {
  store_.fail_next("claim", ErrorCode::kUnavailable, 1);
  engine_.answer_all();
  const JobId id = submit("p");
  start(config());
  const auto old = deliver(TaskRef{id, 1, 0}, Priority::kNormal, 1);
  ASSERT_TRUE(pass_time_until([&] { return store_.calls("claim") == 1; }));
  const auto fresh = deliver(TaskRef{id, 1, 0}, Priority::kNormal, 2);
  ASSERT_TRUE(pass_time_until([&] { return journal_.count("ack:" + std::to_string(fresh)) == 1; }));
  EXPECT_EQ(journal_.count("ack:" + std::to_string(old)), 0U);
  EXPECT_EQ(engine_.added().size(), 1U);
}

TEST_F(JobRunnerTest, UnclaimedMessagesGoBackBeforeTheBrokerLosesPatience) {
  store_.fail_next("claim", ErrorCode::kUnavailable, 1'000'000);
  JobRunnerConfig c = config();
  EXPECT_EQ(c.intake.message_age_max, std::chrono::minutes(10));
  c.intake.message_age_max = seconds(30);
  start(c);
  const auto tag = deliver(submit("p"));
  ASSERT_TRUE(pass_time_until([&] { return journal_.count("give_back:" + std::to_string(tag)) == 1; }));
}

TEST_F(JobRunnerTest, AnotherModelsJobIsNotRunHere) {
  Submission submission;
  NewJob fresh;
  fresh.job.id = ids_.make<JobId>(3);
  fresh.job.tenant = TenantId{"t"};
  fresh.job.model = "other";
  fresh.request_json = R"({"prompt":"p"})";
  const JobId id = fresh.job.id;
  submission.jobs.push_back(std::move(fresh));
  ASSERT_TRUE(store_.submit({&submission, 1}, soon()).front().has_value());
  start(config());
  deliver(id);
  ASSERT_TRUE(journal_.wait_count("ack:", 1));
  EXPECT_EQ(state(id), JobState::kQueued);
  EXPECT_TRUE(engine_.added().empty());
}

TEST(WorkerId, FitsItsColumnAndIsNeverTheSame) {
  SystemRng rng;
  const std::string a = make_worker_id(rng);
  EXPECT_LE(a.size(), 100U);
  EXPECT_NE(a, make_worker_id(rng));
  EXPECT_EQ(a.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"),
            std::string::npos);
}

}  // namespace
}  // namespace sluice::worker
