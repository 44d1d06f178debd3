// Equal requests share one result, against every store.
#include <gmock/gmock.h>

#include <algorithm>
#include <thread>

#include "tests/contract/store/store_world.h"

namespace sluice {
namespace {

using std::chrono::seconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using testing::FakeWorld;
using ::testing::IsEmpty;
using testing::kTenant;
using testing::kWorker;
using testing::MysqlWorld;

const std::string kKey(64, 'a');

template <class T>
class AnswerContract : public testing::StoreContract<T> {
 protected:
  NewJob equal(const std::string& key = kKey, Priority priority = Priority::kNormal) {
    NewJob fresh = this->new_job();
    fresh.answer_key = key;
    fresh.answer_keep_s = 60;
    fresh.job.priority = priority;
    return fresh;
  }
  // The job as submit() tells it.
  NewJob add(NewJob fresh) {
    std::vector<Submission> one(1);
    one[0].jobs.push_back(std::move(fresh));
    const auto answers = this->jobs().submit(one, this->soon());
    EXPECT_TRUE(answers[0].has_value()) << answers[0].error().message;
    return std::move(one[0].jobs[0]);
  }
  NewJob add() { return add(equal()); }
  TaskRef start(const JobId& id) {
    const auto claimed = this->claim(id);
    EXPECT_EQ(claimed.size(), 1U);
    return claimed.empty() ? TaskRef{id, 1, 1} : claimed.front().ref;
  }
  std::vector<JobId> due_ids(Priority priority = Priority::kNormal) {
    std::vector<JobId> ids;
    for (const DueTask& task : this->due(priority)) ids.push_back(task.ref.id);
    return ids;
  }
  std::int64_t rows_in(const std::string& table) {
    auto rows =
        testing::MysqlDatabase::instance()->pool().query(Sql("SELECT COUNT(*) FROM " + table), this->soon());
    return rows ? rows->front().int64(0) : -1;
  }
  int settle() { return this->jobs().settle_followers(100, this->soon()).value_or(-1); }
};

using Worlds = ::testing::Types<FakeWorld, MysqlWorld>;
TYPED_TEST_SUITE(AnswerContract, Worlds);

TYPED_TEST(AnswerContract, EqualJobsInFlightRunOnceAndEndTogether) {
  const NewJob leader = this->add();
  EXPECT_TRUE(leader.is_to_run());
  const NewJob second = this->add();
  EXPECT_EQ(second.job.leader_id, leader.job.id);
  EXPECT_FALSE(second.is_to_run());
  EXPECT_EQ(second.job.state, JobState::kQueued);
  const NewJob other = this->add(this->equal(std::string(64, 'b')));
  EXPECT_TRUE(other.is_to_run());
  EXPECT_THAT(this->due_ids(), ::testing::UnorderedElementsAre(leader.job.id, other.job.id));

  const TaskRef ref = this->start(leader.job.id);
  const NewJob third = this->add();  // While it runs.
  const EndingResult ended = this->succeed(ref, "shared");
  EXPECT_EQ(ended.answer_key, kKey);
  EXPECT_GT(ended.answer_until_us, ended.job->finished_us);
  for (const NewJob& follower : {second, third}) {
    const Job job = this->read(follower.job.id);
    EXPECT_EQ(job.state, JobState::kSucceeded);
    EXPECT_EQ(job.attempt, 0);
    EXPECT_EQ(job.leader_id, leader.job.id);
    ASSERT_TRUE(job.result.has_value());
    EXPECT_EQ(*job.result, *ended.job->result);
    EXPECT_THAT(this->event_types(job.id), ElementsAre("job.succeeded"));
  }
  EXPECT_EQ(this->read(other.job.id).state, JobState::kQueued);
  EXPECT_EQ(this->settle(), 0);
}

TYPED_TEST(AnswerContract, AResultIsGivenUntilItsTimeIsOver) {
  const NewJob leader = this->add();
  this->succeed(this->start(leader.job.id), "kept");
  const NewJob hit = this->add();
  EXPECT_EQ(hit.job.state, JobState::kSucceeded);
  EXPECT_EQ(hit.job.leader_id, leader.job.id);
  EXPECT_EQ(hit.job.result->text, "kept");
  EXPECT_EQ(hit.job.finished_us, hit.job.created_us);
  const Job read = this->read(hit.job.id);
  EXPECT_EQ(read.state, JobState::kSucceeded);
  EXPECT_EQ(read.result->text, "kept");
  EXPECT_EQ(read.finished_us, read.created_us);
  EXPECT_THAT(this->event_types(hit.job.id), ElementsAre("job.succeeded"));
  EXPECT_THAT(this->due_ids(), IsEmpty());

  this->advance(seconds(61));
  const NewJob late = this->add();
  EXPECT_TRUE(late.is_to_run());
  EXPECT_THAT(this->due_ids(), Contains(late.job.id));
  this->succeed(this->start(late.job.id), "anew");
  EXPECT_EQ(this->add().job.result->text, "anew");
}

TYPED_TEST(AnswerContract, AnotherTenantsJobsAreTheirOwn) {
  this->succeed(this->start(this->add().job.id));
  NewJob others = this->equal();
  others.job.tenant = TenantId{"other"};
  others.job.id = this->ids_.template make<JobId>(shard_of_tenant(others.job.tenant));
  EXPECT_TRUE(this->add(others).is_to_run());
  EXPECT_TRUE(this->add(this->new_job()).is_to_run());  // Without a key.
}

TYPED_TEST(AnswerContract, WhenTheLeaderIsCancelledAFollowerRunsForTheOthers) {
  const NewJob leader = this->add();
  const NewJob second = this->add();
  const NewJob third = this->add();
  ASSERT_TRUE(this->jobs().cancel(kTenant, leader.job.id, this->soon()).has_value());
  EXPECT_TRUE(this->read(second.job.id).leader_id.empty());
  EXPECT_EQ(this->read(third.job.id).leader_id, leader.job.id);  // Whom it was accepted behind.
  EXPECT_THAT(this->due_ids(), ElementsAre(second.job.id));
  const NewJob fourth = this->add();
  EXPECT_EQ(fourth.job.leader_id, second.job.id);
  this->succeed(this->start(second.job.id), "in its place");
  for (const NewJob& follower : {third, fourth}) {
    const Job job = this->read(follower.job.id);
    EXPECT_EQ(job.result->text, "in its place");
    EXPECT_EQ(job.leader_id, second.job.id);
  }
  EXPECT_EQ(this->add().job.result->text, "in its place");
}

TYPED_TEST(AnswerContract, ARequestThatCannotSucceedFailsForAll) {
  const NewJob leader = this->add();
  const NewJob second = this->add();
  const NewJob third = this->add();
  const EndingResult failed = this->fail_with(this->start(leader.job.id), true);
  EXPECT_EQ(failed.job->state, JobState::kFailed);
  EXPECT_TRUE(failed.answer_key.empty());
  for (const NewJob& follower : {second, third}) {
    const Job job = this->read(follower.job.id);
    EXPECT_EQ(job.state, JobState::kFailed);
    EXPECT_EQ(job.error->code, "engine_error");
    EXPECT_TRUE(job.leader_id.empty());
    EXPECT_THAT(this->event_types(job.id), ElementsAre("job.failed"));
    EXPECT_TRUE(this->world_->letters().show_letter(job.id, this->soon()).has_value());
  }
  EXPECT_TRUE(this->add().is_to_run());
}

TYPED_TEST(AnswerContract, WhereTheAttemptsAreUsedUpEachIsTriedForItself) {
  const NewJob leader = this->add();
  const NewJob second = this->add();
  const NewJob third = this->add();
  for (int attempt = 0; attempt < JobRules{}.attempts_max; ++attempt) {
    const auto claimed = this->claim(leader.job.id, attempt);
    ASSERT_EQ(claimed.size(), 1U);
    EXPECT_THAT(this->due_ids(), IsEmpty());  // The others wait while it is tried again.
    this->fail_with(claimed.front().ref, false);
    this->advance(seconds(60));
  }
  EXPECT_EQ(this->read(leader.job.id).state, JobState::kDead);
  EXPECT_THAT(this->due_ids(), ::testing::UnorderedElementsAre(second.job.id, third.job.id));
  EXPECT_TRUE(this->read(second.job.id).leader_id.empty());
  this->succeed(this->start(second.job.id), "well");
  EXPECT_EQ(this->read(third.job.id).state, JobState::kQueued);
  this->succeed(this->start(third.job.id), "well");
}

TYPED_TEST(AnswerContract, ALeaderThatEndsAloneLeavesNothing) {
  this->fail_with(this->start(this->add().job.id), true);
  EXPECT_TRUE(this->add().is_to_run());
  ASSERT_TRUE(this->jobs().expire_due(10, this->soon()).has_value());
  this->advance(seconds(4'000));
  EXPECT_EQ(*this->jobs().expire_due(10, this->soon()), 1);
  if constexpr (std::is_same_v<TypeParam, MysqlWorld>) {
    EXPECT_EQ(this->rows_in("answer"), 0);
  }
}

TYPED_TEST(AnswerContract, LeaderAndFollowersExpireTogether) {
  for (int i = 0; i < 5; ++i) this->add();
  this->advance(seconds(4'000));
  while (*this->jobs().expire_due(3, this->soon()) > 0) continue;
  EXPECT_THAT(this->due_ids(), IsEmpty());
  JobFilter all;
  all.tenant = kTenant;
  const auto jobs = this->jobs().list(all, this->soon());
  ASSERT_EQ(jobs->size(), 5U);
  for (const Job& job : *jobs) EXPECT_EQ(job.state, JobState::kExpired);
  this->settle();
  if constexpr (std::is_same_v<TypeParam, MysqlWorld>) {
    EXPECT_EQ(this->rows_in("answer"), 0);
    EXPECT_EQ(this->rows_in("follower"), 0);
  }
}

TYPED_TEST(AnswerContract, WhoFollowsDoesNotCountAsWaitingForAWorker) {
  for (int i = 0; i < 4; ++i) this->add();
  EXPECT_EQ(*this->jobs().count_queued("sluice-tiny", Priority::kNormal, 100, this->soon()), 1);
}

TYPED_TEST(AnswerContract, AFollowerHasItsOwnCancelAndItsOwnTime) {
  const NewJob leader = this->add();
  const NewJob cancelled = this->add();
  NewJob brief = this->equal();
  brief.expires_in_s = 2;
  const NewJob expired = this->add(brief);
  const NewJob patient = this->add();
  const auto gone = this->jobs().cancel(kTenant, cancelled.job.id, this->soon());
  ASSERT_TRUE(gone.has_value());
  EXPECT_EQ(gone->state, JobState::kCancelled);
  EXPECT_TRUE(gone->leader_id.empty());
  this->advance(seconds(3));
  EXPECT_EQ(*this->jobs().expire_due(10, this->soon()), 1);
  EXPECT_EQ(this->read(expired.job.id).state, JobState::kExpired);
  this->succeed(this->start(leader.job.id));
  EXPECT_EQ(this->read(cancelled.job.id).state, JobState::kCancelled);
  EXPECT_EQ(this->read(expired.job.id).state, JobState::kExpired);
  EXPECT_EQ(this->read(patient.job.id).state, JobState::kSucceeded);
  EXPECT_THAT(this->event_types(cancelled.job.id), ElementsAre("job.cancelled"));
}

TYPED_TEST(AnswerContract, AMoreUrgentJobTakesTheLead) {
  const NewJob low = this->add(this->equal(kKey, Priority::kLow));
  const NewJob behind = this->add(this->equal(kKey, Priority::kLow));
  EXPECT_EQ(behind.job.leader_id, low.job.id);
  const NewJob high = this->add(this->equal(kKey, Priority::kHigh));
  EXPECT_TRUE(high.is_to_run());
  const NewJob next = this->add(this->equal(kKey, Priority::kNormal));
  EXPECT_EQ(next.job.leader_id, high.job.id);
  this->succeed(this->start(high.job.id), "soon");
  EXPECT_EQ(this->read(next.job.id).result->text, "soon");
  EXPECT_EQ(this->read(behind.job.id).result->text, "soon");  // It profits.
  EXPECT_EQ(this->add().job.result->text, "soon");
  this->succeed(this->start(low.job.id), "later");
  EXPECT_EQ(this->add().job.result->text, "later");
}

TYPED_TEST(AnswerContract, WhoReadsAlongTakesAResultButWaitsForNone) {
  const NewJob leader = this->add();
  NewJob stream = this->equal();
  stream.may_follow = false;
  EXPECT_TRUE(this->add(stream).is_to_run());
  this->succeed(this->start(leader.job.id), "there");
  stream.job.id = this->new_job().job.id;
  EXPECT_EQ(this->add(stream).job.result->text, "there");
}

TYPED_TEST(AnswerContract, EqualJobsOfOneCallRunOnce) {
  std::vector<Submission> calls(2);
  for (int i = 0; i < 40; ++i) calls[i % 2].jobs.push_back(this->equal());
  calls[0].batch = NewBatch{this->ids_.template make<BatchId>(shard_of_tenant(kTenant)), 20};
  for (NewJob& fresh : calls[0].jobs) fresh.job.batch_id = calls[0].batch->id;
  for (const Status& answer : this->jobs().submit(calls, this->soon())) ASSERT_TRUE(answer.has_value());
  const auto ids = this->due_ids();
  ASSERT_EQ(ids.size(), 1U);
  this->succeed(this->start(ids.front()));
  for (const Submission& call : calls) {
    for (const NewJob& fresh : call.jobs) {
      EXPECT_EQ(this->read(fresh.job.id).state, JobState::kSucceeded);
    }
  }
}

TYPED_TEST(AnswerContract, AJobWhoseResultIsKnownEndsAsItIsAccepted) {
  NewJob fresh = this->equal();
  fresh.answer = Answer{JobId{"job_of_before"}, 1, JobResult{"from a cache", "", "stop", 7, 3, 0, 0, "", ""}};
  const NewJob done = this->add(fresh);
  EXPECT_EQ(done.job.state, JobState::kSucceeded);
  const Job read = this->read(done.job.id);
  EXPECT_EQ(read.result->text, "from a cache");
  EXPECT_EQ(read.leader_id.value, "job_of_before");
  EXPECT_THAT(this->event_types(read.id), ElementsAre("job.succeeded"));
  EXPECT_TRUE(this->add().is_to_run());  // What came from a cache isn't taken for computed.
}

TYPED_TEST(AnswerContract, WhatIsStaleIsFoundUntilItIsForgotten) {
  AnswerStore& answers = this->world_->answers();
  EXPECT_FALSE(answers.find_answer(kTenant, kKey, this->soon())->has_value());
  const NewJob leader = this->add();
  EXPECT_FALSE(answers.find_answer(kTenant, kKey, this->soon())->has_value());
  this->succeed(this->start(leader.job.id), "old");
  this->advance(seconds(3'600));
  const auto stale = answers.find_answer(kTenant, kKey, this->soon());
  ASSERT_TRUE(stale.has_value() && stale->has_value());
  EXPECT_EQ((*stale)->job, leader.job.id);
  EXPECT_EQ((*stale)->result.text, "old");
  EXPECT_LT((*stale)->until_us, unix_micros(this->world_->clock().wall_now()));
  EXPECT_FALSE(answers.find_answer(TenantId{"other"}, kKey, this->soon())->has_value());
  EXPECT_EQ(*answers.forget_answers(10, this->soon()), 0);
  this->advance(seconds(kStaleAnswerS));
  EXPECT_EQ(*answers.forget_answers(10, this->soon()), 1);
  EXPECT_FALSE(answers.find_answer(kTenant, kKey, this->soon())->has_value());
}

TYPED_TEST(AnswerContract, AnErasedJobsResultIsGivenToNobodyAnyMore) {
  const NewJob leader = this->add();
  this->succeed(this->start(leader.job.id), "private");
  const NewJob shared = this->add();
  ASSERT_TRUE(this->jobs().erase(kTenant, leader.job.id, this->soon()).has_value());
  EXPECT_TRUE(this->add().is_to_run());
  EXPECT_FALSE(this->world_->answers().find_answer(kTenant, kKey, this->soon())->has_value());
  EXPECT_EQ(this->read(shared.job.id).result->text, "private");  // Another job, and its own.
}

TYPED_TEST(AnswerContract, AnyNumberOfFollowersEnds) {
  for (const auto to : {JobState::kSucceeded, JobState::kFailed, JobState::kCancelled}) {
    const NewJob leader = this->add();
    std::vector<Submission> calls(1);
    for (int i = 0; i < 500; ++i) calls[0].jobs.push_back(this->equal());
    ASSERT_TRUE(this->jobs().submit(calls, this->soon())[0].has_value());
    if (to == JobState::kSucceeded) {
      this->succeed(this->start(leader.job.id), "for all");
    } else if (to == JobState::kFailed) {
      this->fail_with(this->start(leader.job.id), true);
    } else {
      ASSERT_TRUE(this->jobs().cancel(kTenant, leader.job.id, this->soon()).has_value());
      const auto due = this->due_ids();
      ASSERT_EQ(due.size(), 1U);
      this->succeed(this->start(due.front()), "for all");
    }
    while (this->settle() > 0) continue;
    for (const NewJob& fresh : calls[0].jobs) {
      const Job job = this->read(fresh.job.id);
      ASSERT_EQ(job.state, to == JobState::kFailed ? to : JobState::kSucceeded);
      if (job.result) {
        ASSERT_EQ(job.result->text, "for all");
      }
    }
    this->advance(seconds(61));
  }
}

TYPED_TEST(AnswerContract, AResultThatIsTooLargeForAllAtOnceReachesAll) {
  this->succeed(this->start(this->add().job.id), std::string(1'500'000, 'x'));
  std::vector<Submission> calls(1);
  for (int i = 0; i < 10; ++i) calls[0].jobs.push_back(this->equal());
  ASSERT_TRUE(this->jobs().submit(calls, this->soon())[0].has_value());
  if constexpr (std::is_same_v<TypeParam, MysqlWorld>) {
    EXPECT_EQ(calls[0].jobs[0].job.state, JobState::kSucceeded);
    EXPECT_EQ(calls[0].jobs[9].job.state, JobState::kQueued);
  }
  EXPECT_THAT(this->due_ids(), IsEmpty());
  while (this->settle() > 0) continue;
  for (const NewJob& fresh : calls[0].jobs) EXPECT_EQ(this->read(fresh.job.id).state, JobState::kSucceeded);
}

TYPED_TEST(AnswerContract, JobsThatComeWhileTheLeaderEndsAreNeverLeftWaiting) {
  constexpr int kRounds = 12;
  for (int round = 0; round < kRounds; ++round) {
    const std::string key(64, static_cast<char>('a' + round));
    const NewJob leader = this->add(this->equal(key));
    const TaskRef ref = this->start(leader.job.id);
    std::vector<NewJob> added;
    std::thread submitter([&] {
      for (int i = 0; i < 8; ++i) added.push_back(this->add(this->equal(key)));
    });
    const bool well = round % 2 == 0;
    if (well) {
      this->succeed(ref);
    } else {
      this->fail_with(ref, true);
    }
    submitter.join();
    // Those that came before the end share it; of those that came after, with no result, one leads.
    std::vector<JobId> left;
    for (const NewJob& one : added) {
      const Job job = this->read(one.job.id);
      if (!is_final(job.state)) {
        left.push_back(job.id);
      } else {
        EXPECT_EQ(job.state, well ? JobState::kSucceeded : JobState::kFailed) << round;
      }
    }
    const auto due = this->due_ids();
    EXPECT_EQ(due.size(), left.empty() ? 0U : 1U) << round;
    EXPECT_TRUE(left.empty() || !well) << round;
    if (!due.empty()) this->succeed(this->start(due.front()));
    for (const JobId& id : left) EXPECT_EQ(this->read(id).state, JobState::kSucceeded) << round;
  }
}

// --- what only the database has ---

class AnswerRows : public testing::StoreContract<MysqlWorld> {};

TEST_F(AnswerRows, FollowersOfALeaderThatIsGoneRunByThemselves) {
  NewJob fresh = new_job();
  fresh.answer_key = kKey;
  const JobId leader = submit(fresh);
  fresh.job.id = new_job().job.id;
  const JobId follower = submit(fresh);
  fresh.job.id = new_job().job.id;
  const JobId last = submit(fresh);
  ASSERT_EQ(read(follower).leader_id, leader);
  // By hand, as nothing of ours would.
  testing::MysqlDatabase::instance()->execute("DELETE FROM job WHERE id = '" + leader.value + "'");
  EXPECT_EQ(*jobs().settle_followers(10, soon()), 0);
  advance(seconds(601));
  EXPECT_EQ(*jobs().settle_followers(10, soon()), 1);
  EXPECT_TRUE(read(follower).leader_id.empty());
  succeed(claim(follower).front().ref);
  EXPECT_EQ(read(last).state, JobState::kSucceeded);
}

TEST_F(AnswerRows, WhoIsCancelledOrExpiresWhileItsLeaderEndsEndsOnce) {
  for (int round = 0; round < 10; ++round) {
    NewJob fresh = new_job();
    fresh.answer_key = std::string(64, static_cast<char>('a' + round));
    const JobId leader = submit(fresh);
    std::vector<JobId> followers;
    for (int i = 0; i < 6; ++i) {
      fresh.job.id = new_job().job.id;
      followers.push_back(submit(fresh));
    }
    const TaskRef ref = claim(leader).front().ref;
    std::thread canceller([&] {
      for (const JobId& id : followers) EXPECT_TRUE(jobs().cancel(kTenant, id, soon()).has_value());
    });
    std::thread settler([&] { EXPECT_TRUE(jobs().settle_followers(10, soon()).has_value()); });
    if (round % 2 == 0) {
      succeed(ref);
    } else {
      fail_with(ref, true);
    }
    canceller.join();
    settler.join();
    for (const JobId& id : followers) {
      EXPECT_TRUE(is_final(read(id).state));
      EXPECT_EQ(event_types(id).size(), 1U);
    }
  }
}

TEST_F(AnswerRows, ManyThreadsAgreeOnOneLeader) {
  constexpr int kThreads = 8;
  constexpr int kEach = 12;
  std::vector<std::vector<JobId>> ids(kThreads);
  std::vector<std::vector<Submission>> calls(kThreads);
  for (auto& own : calls) {
    for (int i = 0; i < kEach; ++i) {
      NewJob fresh = new_job();
      fresh.answer_key = std::string(64, static_cast<char>('a' + i % 3));
      own.emplace_back().jobs.push_back(std::move(fresh));
    }
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (const Status& answer : jobs().submit(calls[t], soon())) EXPECT_TRUE(answer.has_value());
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto tasks = due();
  EXPECT_EQ(tasks.size(), 3U);
  for (const DueTask& task : tasks) succeed(claim(task.ref.id).front().ref);
  for (const auto& own : calls) {
    for (const Submission& one : own) EXPECT_EQ(read(one.jobs[0].job.id).state, JobState::kSucceeded);
  }
}

}  // namespace
}  // namespace sluice
