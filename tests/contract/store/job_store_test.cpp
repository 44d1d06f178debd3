// What every JobStore promises, asked of the real one and of the fake alike.
#include "common/store/job_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/contract/store/store_world.h"

namespace sluice {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using testing::FakeWorld;
using ::testing::IsEmpty;
using testing::kTenant;
using testing::kWorker;
using testing::MysqlWorld;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using testing::World;

template <class T>
class JobStoreContract : public testing::StoreContract<T> {};

using Worlds = ::testing::Types<FakeWorld, MysqlWorld>;
TYPED_TEST_SUITE(JobStoreContract, Worlds);

TYPED_TEST(JobStoreContract, AnAcceptedJobCanBeRead) {
  NewJob fresh = this->new_job();
  fresh.job.metadata_json = R"({"order":"42"})";
  fresh.job.callback_url = "https://example.org/hook";
  fresh.job.priority = Priority::kHigh;
  fresh.job.surface = Surface::kChat;
  fresh.expires_in_s = 60;
  const JobId id = this->submit(fresh);
  const Job job = this->read(id);
  EXPECT_EQ(job.state, JobState::kQueued);
  EXPECT_EQ(job.generation, 1);
  EXPECT_EQ(job.attempt, 0);
  EXPECT_EQ(job.priority, Priority::kHigh);
  EXPECT_EQ(job.surface, Surface::kChat);
  EXPECT_EQ(job.metadata_json, R"({"order":"42"})");
  EXPECT_EQ(job.callback_url, "https://example.org/hook");
  EXPECT_EQ(job.expires_us, job.created_us + 60'000'000);
  EXPECT_FALSE(job.result.has_value());
  EXPECT_FALSE(job.error.has_value());
}

TYPED_TEST(JobStoreContract, AnotherTenantsJobDoesNotExist) {
  const JobId id = this->submit();
  EXPECT_EQ(this->jobs().get(TenantId{"other"}, id, this->soon()).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(this->jobs().cancel(TenantId{"other"}, id, this->soon()).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(this->jobs().get_request(TenantId{"other"}, id, this->soon()).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(this->jobs().get(TenantId{}, id, this->soon()).has_value());
  EXPECT_EQ(this->jobs().get_request(kTenant, id, this->soon()), R"({"prompt":"hé 🎉 'quoted' \\ back"})");
}

TYPED_TEST(JobStoreContract, OneRefusedSubmissionLeavesItsNeighboursUnharmed) {
  std::vector<Submission> submissions(5);
  for (auto& submission : submissions) submission.jobs.push_back(this->new_job());
  submissions[2].jobs[0].job.model = std::string(500, 'm');
  const auto answers = this->jobs().submit(submissions, this->soon());
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(answers[i].has_value(), i != 2);
    const auto job = this->jobs().get(kTenant, submissions[i].jobs[0].job.id, this->soon());
    EXPECT_EQ(job.has_value(), i != 2);
  }
  EXPECT_EQ(answers[2].error().code, ErrorCode::kInvalid);
}

TYPED_TEST(JobStoreContract, AClaimStartsAJobOnceAndHandsOutItsRequest) {
  const JobId id = this->submit();
  const auto first = this->claim(id);
  ASSERT_THAT(first, SizeIs(1));
  EXPECT_EQ(first[0].ref.attempt, 1);
  EXPECT_EQ(first[0].request_json, R"({"prompt":"hé 🎉 'quoted' \\ back"})");
  EXPECT_EQ(first[0].tokens_max, 263);
  EXPECT_EQ(this->read(id).state, JobState::kRunning);
  // A duplicate of the message, and one from after the start.
  EXPECT_THAT(this->claim(id, 0, "worker-2"), IsEmpty());
  EXPECT_THAT(this->claim(id, 1, "worker-2"), IsEmpty());
}

TYPED_TEST(JobStoreContract, ClaimSkipsUnknownJobsAndOtherGenerations) {
  const JobId id = this->submit();
  const JobId unknown = this->ids_.template make<JobId>(3);
  const std::vector<TaskRef> tasks = {{unknown, 1, 0}, {id, 2, 0}};
  EXPECT_THAT(*this->jobs().claim(tasks, kWorker, this->soon()), IsEmpty());
  EXPECT_EQ(this->read(id).state, JobState::kQueued);
}

TYPED_TEST(JobStoreContract, AnExpiredJobIsNotStarted) {
  NewJob fresh = this->new_job();
  fresh.expires_in_s = 5;
  const JobId id = this->submit(fresh);
  this->advance(seconds(6));
  EXPECT_THAT(this->claim(id), IsEmpty());
}

TYPED_TEST(JobStoreContract, ASucceededJobHasItsResultAndOneEvent) {
  const JobId id = this->submit();
  const auto claimed = this->claim(id);
  const EndingResult ended = this->succeed(claimed[0].ref);
  EXPECT_EQ(ended.outcome, EndingOutcome::kEnded);
  ASSERT_TRUE(ended.job.has_value());
  const Job job = this->read(id);
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.result->text, "85");
  EXPECT_EQ(job.result->prompt_tokens, 7);
  EXPECT_EQ(job.result->precision, "Q8_0");
  EXPECT_GE(job.finished_us, job.started_us);
  EXPECT_EQ(ended.job->result, job.result);
  EXPECT_EQ(ended.job->finished_us, job.finished_us);
  EXPECT_THAT(this->event_types(id), ElementsAre("job.succeeded"));
}

TYPED_TEST(JobStoreContract, AnErasedJobKeepsOnlyItsAccount) {
  NewJob fresh = this->new_job();
  fresh.job.surface = Surface::kResponse;
  const JobId id = this->submit(fresh);
  (void)this->succeed(this->claim(id)[0].ref, "a secret");
  const JobId other = this->submit();
  EXPECT_EQ(this->jobs().erase(TenantId{"other"}, id, this->soon()).error().code, ErrorCode::kNotFound);
  const auto erased = this->jobs().erase(kTenant, id, this->soon());
  ASSERT_TRUE(erased.has_value()) << erased.error().message;
  const Job job = this->read(id);
  EXPECT_EQ(erased->result, job.result);
  EXPECT_TRUE(erased->erased);
  EXPECT_TRUE(job.erased);
  EXPECT_FALSE(this->read(other).erased);
  EXPECT_EQ(job.state, JobState::kSucceeded);
  ASSERT_TRUE(job.result.has_value());
  EXPECT_EQ(job.result->text, "");
  EXPECT_EQ(job.result->reasoning_content, "");
  EXPECT_EQ(job.result->logprobs_json, "");
  EXPECT_EQ(job.result->prompt_tokens, 7);
  EXPECT_EQ(job.result->completion_tokens, 3);
  EXPECT_EQ(job.result->reasoning_tokens, 2);
  EXPECT_EQ(this->jobs().get_request(kTenant, id, this->soon()).error().code, ErrorCode::kNotFound);
  const auto ended = this->jobs().get_final(std::span(&id, 1), this->soon());
  EXPECT_EQ(ended->front().result, job.result);
  EXPECT_TRUE(ended->front().erased);
  EXPECT_EQ(this->jobs().erase(kTenant, id, this->soon()).error().code, ErrorCode::kNotFound) << "twice";
  EXPECT_TRUE(this->jobs().get_request(kTenant, other, this->soon()).has_value());
  EXPECT_THAT(this->event_types(id), ElementsAre("response.completed"));
}

TYPED_TEST(JobStoreContract, AJobThatIsErasedWhileItRunsIsCancelled) {
  const JobId id = this->submit();
  const auto claimed = this->claim(id);
  const auto erased = this->jobs().erase(kTenant, id, this->soon());
  ASSERT_TRUE(erased.has_value()) << erased.error().message;
  EXPECT_EQ(erased->state, JobState::kCancelled);
  EXPECT_TRUE(erased->erased);
  EXPECT_EQ(this->succeed(claimed[0].ref).outcome, EndingOutcome::kLost);
  EXPECT_FALSE(this->read(id).result.has_value());
  EXPECT_THAT(this->event_types(id), ElementsAre("job.cancelled"));
}

TYPED_TEST(JobStoreContract, AJobOfABatchIsNotErased) {
  std::vector<Submission> one(1);
  one[0].jobs.push_back(this->new_job());
  one[0].batch = NewBatch{this->ids_.template make<BatchId>(shard_of_tenant(kTenant)), 1};
  one[0].jobs[0].job.batch_id = one[0].batch->id;
  ASSERT_TRUE(this->jobs().submit(one, this->soon())[0].has_value());
  const JobId& id = one[0].jobs[0].job.id;
  EXPECT_EQ(this->jobs().erase(kTenant, id, this->soon()).error().code, ErrorCode::kConflict);
  EXPECT_EQ(this->read(id).state, JobState::kQueued);
}

TYPED_TEST(JobStoreContract, AResponsesEndIsToldAsOpenAiDoes) {
  NewJob fresh = this->new_job();
  fresh.job.surface = Surface::kResponse;
  const JobId done = this->submit(fresh);
  (void)this->succeed(this->claim(done)[0].ref);
  EXPECT_THAT(this->event_types(done), ElementsAre("response.completed"));
  fresh = this->new_job();
  fresh.job.surface = Surface::kResponse;
  const JobId gone = this->submit(fresh);
  EXPECT_TRUE(this->jobs().cancel(kTenant, gone, this->soon()).has_value());
  EXPECT_THAT(this->event_types(gone), ElementsAre("response.cancelled"));
}

TYPED_TEST(JobStoreContract, TheEndedJobOfAFinishIsTheJobThatGetReads) {
  NewJob fresh = this->new_job();
  fresh.job.metadata_json = R"({"a":"b"})";
  fresh.job.callback_url = "http://127.0.0.1:1/x";
  fresh.job.surface = Surface::kResponse;
  const JobId id = this->submit(fresh);
  const EndingResult ended = this->succeed(this->claim(id)[0].ref);
  ASSERT_TRUE(ended.job.has_value());
  EXPECT_EQ(job_to_cache(*ended.job), job_to_cache(this->read(id)));
}

TYPED_TEST(JobStoreContract, FinishingTwiceEndsAJobOnce) {
  const JobId id = this->submit();
  const auto claimed = this->claim(id);
  EXPECT_EQ(this->succeed(claimed[0].ref).outcome, EndingOutcome::kEnded);
  EXPECT_EQ(this->succeed(claimed[0].ref, "other").outcome, EndingOutcome::kLost);
  EXPECT_EQ(this->read(id).result->text, "85");
  EXPECT_THAT(this->event_types(id), SizeIs(1));
}

TYPED_TEST(JobStoreContract, StaleAttemptCannotComplete) {
  const JobId id = this->submit();
  const auto first = this->claim(id);
  this->advance(seconds(16));
  ASSERT_EQ(*this->jobs().rescue_lapsed(10, this->soon()), 1);
  this->advance(seconds(2));
  const auto second = this->claim(id, 1, "worker-2");
  ASSERT_THAT(second, SizeIs(1));
  EXPECT_EQ(second[0].lapsed_starts, 1);
  EXPECT_EQ(this->succeed(first[0].ref).outcome, EndingOutcome::kLost);
  EXPECT_EQ(this->read(id).state, JobState::kRunning);
}

TYPED_TEST(JobStoreContract, AFailedStartRunsAgainAfterOneTwoFourEightSecondsThenTheJobIsDead) {
  const JobId id = this->submit();
  const int waits_s[] = {1, 2, 4, 8};
  for (int attempt = 0; attempt < 5; ++attempt) {
    const auto claimed = this->claim(id, attempt);
    ASSERT_THAT(claimed, SizeIs(1));
    const EndingResult ended = this->fail_with(claimed[0].ref, false);
    if (attempt == 4) {
      EXPECT_EQ(ended.outcome, EndingOutcome::kEnded);
      break;
    }
    EXPECT_EQ(ended.outcome, EndingOutcome::kRequeued);
    const std::chrono::milliseconds slack = this->world_->slack();
    this->advance(seconds(waits_s[attempt]) - slack);
    EXPECT_THAT(this->due(), IsEmpty()) << "attempt " << attempt;
    this->advance(slack + std::chrono::milliseconds(10));
    const auto due = this->due();
    ASSERT_THAT(due, SizeIs(1)) << "attempt " << attempt;
    EXPECT_EQ(due[0].ref, (TaskRef{id, 1, attempt + 1}));
    EXPECT_EQ(due[0].published_ms_ago, -1);
  }
  const Job job = this->read(id);
  EXPECT_EQ(job.state, JobState::kDead);
  EXPECT_EQ(job.attempt, 5);
  EXPECT_EQ(job.error->code, "engine_error");
  EXPECT_THAT(this->event_types(id), ElementsAre("job.dead"));
}

TYPED_TEST(JobStoreContract, APermanentFailureIsNotRetried) {
  const JobId id = this->submit();
  EXPECT_EQ(this->fail_with(this->claim(id)[0].ref, true).outcome, EndingOutcome::kEnded);
  EXPECT_EQ(this->read(id).state, JobState::kFailed);
  EXPECT_THAT(this->event_types(id), ElementsAre("job.failed"));
}

TYPED_TEST(JobStoreContract, AReleasedStartDoesNotCount) {
  const JobId id = this->submit();
  for (int attempt = 0; attempt < 8; ++attempt) {
    const auto claimed = this->claim(id, attempt);
    ASSERT_THAT(claimed, SizeIs(1));
    EXPECT_EQ(this->finish(Ending{claimed[0].ref, kWorker, Released{}}).outcome, EndingOutcome::kRequeued);
    EXPECT_THAT(this->due(), SizeIs(1));
  }
  const auto claimed = this->claim(id, 8);
  EXPECT_EQ(this->fail_with(claimed[0].ref, false).outcome, EndingOutcome::kRequeued);
  EXPECT_THAT(this->event_types(id), IsEmpty());
}

TYPED_TEST(JobStoreContract, ThreeLapsedStartsArePoison) {
  const JobId id = this->submit();
  for (int start = 0; start < 3; ++start) {
    ASSERT_THAT(this->claim(id, start), SizeIs(1));
    EXPECT_EQ(*this->jobs().rescue_lapsed(10, this->soon()), 0);
    this->advance(seconds(16));
    EXPECT_EQ(*this->jobs().rescue_lapsed(10, this->soon()), 1);
    this->advance(seconds(20));
  }
  const Job job = this->read(id);
  EXPECT_EQ(job.state, JobState::kDead);
  EXPECT_EQ(job.error->code, "poison");
  EXPECT_THAT(this->event_types(id), ElementsAre("job.dead"));
}

TYPED_TEST(JobStoreContract, AHeartbeatKeepsALeaseAndNamesWhatIsStillHeld) {
  const JobId kept = this->submit();
  const JobId cancelled = this->submit();
  const JobId forgotten = this->submit();
  const TaskRef kept_ref = this->claim(kept)[0].ref;
  const TaskRef cancelled_ref = this->claim(cancelled)[0].ref;
  this->claim(forgotten);
  ASSERT_TRUE(this->jobs().cancel(kTenant, cancelled, this->soon()).has_value());
  this->advance(seconds(10));
  const std::vector<TaskRef> held = {cancelled_ref, kept_ref};
  EXPECT_THAT(*this->jobs().heartbeat(kWorker, held, this->soon()), ElementsAre(kept_ref));
  EXPECT_THAT(*this->jobs().heartbeat("worker-2", held, this->soon()), IsEmpty());
  this->advance(seconds(10));
  EXPECT_EQ(*this->jobs().rescue_lapsed(10, this->soon()), 1);
  EXPECT_EQ(this->read(kept).state, JobState::kRunning);
  EXPECT_EQ(this->read(forgotten).state, JobState::kQueued);
}

TYPED_TEST(JobStoreContract, CancelReachesQueuedAndRunningAndLeavesFinalAlone) {
  const JobId queued = this->submit();
  EXPECT_EQ(this->jobs().cancel(kTenant, queued, this->soon())->state, JobState::kCancelled);
  EXPECT_THAT(this->claim(queued), IsEmpty());
  const JobId running = this->submit();
  const auto claimed = this->claim(running);
  const Job job = *this->jobs().cancel(kTenant, running, this->soon());
  EXPECT_EQ(job.state, JobState::kCancelled);
  EXPECT_EQ(job.error->code, "job_cancelled");
  EXPECT_EQ(this->succeed(claimed[0].ref).outcome, EndingOutcome::kLost);
  EXPECT_EQ(this->jobs().cancel(kTenant, running, this->soon())->state, JobState::kCancelled);
  EXPECT_THAT(this->event_types(running), ElementsAre("job.cancelled"));
}

TYPED_TEST(JobStoreContract, ExpiryEndsQueuedAndRunningJobsOnce) {
  NewJob short_lived = this->new_job();
  short_lived.expires_in_s = 5;
  const JobId queued = this->submit(short_lived);
  short_lived.job.id = this->ids_.template make<JobId>(1);
  const JobId running = this->submit(short_lived);
  this->claim(running);
  const JobId living = this->submit();
  EXPECT_EQ(*this->jobs().expire_due(10, this->soon()), 0);
  this->advance(seconds(6));
  EXPECT_EQ(*this->jobs().expire_due(10, this->soon()), 2);
  EXPECT_EQ(*this->jobs().expire_due(10, this->soon()), 0);
  EXPECT_EQ(this->read(queued).state, JobState::kExpired);
  EXPECT_EQ(this->read(running).state, JobState::kExpired);
  EXPECT_EQ(this->read(living).state, JobState::kQueued);
  EXPECT_THAT(this->event_types(running), ElementsAre("job.expired"));
}

TYPED_TEST(JobStoreContract, DueTasksAreThoseNotReservedOldestFirstByClassAndShard) {
  const JobId first = this->submit();
  this->advance(std::chrono::milliseconds(5));
  const JobId second = this->submit();
  NewJob reserved = this->new_job();
  reserved.publish_reserved = true;
  const JobId third = this->submit(reserved);
  NewJob high = this->new_job();
  high.job.priority = Priority::kHigh;
  const JobId urgent = this->submit(high);
  auto due = this->due();
  ASSERT_THAT(due, SizeIs(2));
  EXPECT_EQ(due[0].ref.id, first);
  EXPECT_EQ(due[0].tenant, kTenant);
  EXPECT_EQ(due[0].tokens_max, 263);
  EXPECT_LE(due[0].expires_in_ms, 3'600'000);
  EXPECT_GT(due[0].expires_in_ms, 3'500'000);
  EXPECT_EQ(due[1].ref.id, second);
  EXPECT_THAT(this->due(Priority::kNormal, 1), SizeIs(1));
  ASSERT_THAT(this->due(Priority::kHigh), SizeIs(1));
  EXPECT_EQ(this->due(Priority::kHigh)[0].ref.id, urgent);
  // The reserved one is looked at only after the time in which its caller publishes it.
  this->advance(seconds(6));
  due = this->due();
  ASSERT_THAT(due, SizeIs(3));
  EXPECT_EQ(due[2].ref.id, third);
  EXPECT_GE(due[2].published_ms_ago, 5000);
  const int other_shard = (shard_of_tenant(kTenant) + 1) % kShards;
  EXPECT_THAT(*this->jobs().unstarted_tasks("sluice-tiny", Priority::kNormal, std::span(&other_shard, 1), 10,
                                            this->soon()),
              IsEmpty());
}

TYPED_TEST(JobStoreContract, ARetryThatIsDueGoesBeforeWhatWasNeverPublished) {
  const JobId retried = this->submit();
  const auto claimed = this->claim(retried);
  const JobId waiting = this->submit();
  this->fail_with(claimed[0].ref, false);
  ASSERT_THAT(this->due(), SizeIs(1));
  this->advance(std::chrono::milliseconds(1'001));
  const auto due = this->due();
  ASSERT_THAT(due, SizeIs(2));
  EXPECT_EQ(due[0].ref.id, retried);
  EXPECT_EQ(due[1].ref.id, waiting);
  EXPECT_THAT(this->due(Priority::kNormal, 1), SizeIs(1));
}

TYPED_TEST(JobStoreContract, TenantsWithDueJobsAreListedByNameAndInPieces) {
  const auto submit_for = [this](const std::string& tenant) {
    NewJob fresh = this->new_job();
    fresh.job.tenant.value = tenant;
    return this->submit(fresh);
  };
  for (const char* tenant : {"due-c", "due-a", "due-b", "due-a"}) submit_for(tenant);
  const JobId retried = submit_for("retried");
  this->fail_with(this->claim(retried)[0].ref, false);
  const auto ask = [this](const std::string& after, int limit) {
    return *this->jobs().due_tenants("sluice-tiny", Priority::kNormal, TenantId{after}, limit, this->soon());
  };
  const auto names = [](const DueTenants& found) {
    std::vector<std::string> all;
    for (const TenantId& tenant : found.tenants) all.push_back(tenant.value);
    return all;
  };
  EXPECT_THAT(names(ask("", 100)), ElementsAre("due-a", "due-b", "due-c"));
  EXPECT_EQ(ask("", 100).next, std::nullopt);
  this->advance(seconds(2));  // The retry has come due.
  std::vector<std::string> all;
  std::string after;
  for (int steps = 0; steps < 10; ++steps) {
    const DueTenants part = ask(after, 2);
    for (const std::string& name : names(part)) all.push_back(name);
    if (!part.next) break;
    after = part.next->value;
  }
  EXPECT_THAT(all, ElementsAre("due-a", "due-b", "due-c", "retried"));

  const Pause pause{PauseKind::kTenant, "due-b", "", 0, {}};
  ASSERT_TRUE(this->world_->fleet().set_pause(pause, this->soon()));
  EXPECT_THAT(names(ask("", 100)), ElementsAre("due-a", "due-c", "retried"));
  const Pause model{PauseKind::kModel, "sluice-tiny", "", 0, {}};
  ASSERT_TRUE(this->world_->fleet().set_pause(model, this->soon()));
  EXPECT_THAT(names(ask("", 100)), IsEmpty());
}

TYPED_TEST(JobStoreContract, AMarkedTaskComesBackWhileItIsStillQueued) {
  const JobId id = this->submit();
  const JobId started = this->submit();
  const std::vector<TaskRef> tasks = {{started, 1, 0}, {id, 1, 0}};
  ASSERT_TRUE(this->jobs().mark_tasks(tasks, true, this->soon()).has_value());
  EXPECT_THAT(this->due(), IsEmpty());
  this->claim(started);
  this->advance(seconds(6));
  auto due = this->due();
  ASSERT_THAT(due, SizeIs(1));
  EXPECT_EQ(due[0].ref.id, id);
  EXPECT_GE(due[0].published_ms_ago, 5000);
  // Deferred without having been published: the time of the last publish stays.
  ASSERT_TRUE(this->jobs().mark_tasks(tasks, false, this->soon()).has_value());
  EXPECT_THAT(this->due(), IsEmpty());
  this->advance(seconds(6));
  EXPECT_GE(this->due()[0].published_ms_ago, 11'000);
}

TYPED_TEST(JobStoreContract, AMarkThatComesLateLeavesALaterStartAlone) {
  const JobId id = this->submit();
  const auto claimed = this->claim(id);
  ASSERT_THAT(claimed, SizeIs(1));
  // Published, claimed and given back before the mark.
  const std::vector<Ending> endings = {{claimed[0].ref, kWorker, Released{}}};
  ASSERT_TRUE(this->jobs().finish(endings, this->soon()).has_value());
  const std::vector<TaskRef> marked = {{id, 1, 0}};
  ASSERT_TRUE(this->jobs().mark_tasks(marked, true, this->soon()).has_value());
  const auto due = this->due();
  ASSERT_THAT(due, SizeIs(1));
  EXPECT_EQ(due[0].ref.attempt, 1);
  EXPECT_EQ(due[0].published_ms_ago, -1);
}

TYPED_TEST(JobStoreContract, ListsRunFromNewToOldWithCursorAndFilters) {
  std::vector<JobId> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(this->submit());
  this->succeed(this->claim(ids[1])[0].ref);
  JobFilter filter{.tenant = kTenant, .limit = 2};
  auto page = *this->jobs().list(filter, this->soon());
  ASSERT_THAT(page, SizeIs(2));
  EXPECT_EQ(page[0].id, ids[4]);
  filter.after = page[1].id;
  filter.limit = 10;
  page = *this->jobs().list(filter, this->soon());
  ASSERT_THAT(page, SizeIs(3));
  EXPECT_EQ(page[2].id, ids[0]);
  EXPECT_EQ(page[1].result->text, "85");
  filter.with_results = false;
  page = *this->jobs().list(filter, this->soon());
  ASSERT_THAT(page, SizeIs(3));
  EXPECT_EQ(page[1].state, JobState::kSucceeded);
  EXPECT_FALSE(page[1].result.has_value());
  filter.with_results = true;
  filter.after = {};
  filter.state = JobState::kSucceeded;
  EXPECT_THAT(*this->jobs().list(filter, this->soon()), SizeIs(1));
  filter.state.reset();
  filter.model = "another";
  EXPECT_THAT(*this->jobs().list(filter, this->soon()), IsEmpty());
  EXPECT_THAT(*this->jobs().list(JobFilter{.tenant = TenantId{"other"}}, this->soon()), IsEmpty());
}

TYPED_TEST(JobStoreContract, GetFinalAnswersOnlyWhatHasEnded) {
  const JobId queued = this->submit();
  const JobId done = this->submit();
  this->succeed(this->claim(done)[0].ref);
  const std::vector<JobId> ids = {queued, done, this->ids_.template make<JobId>(0)};
  const auto final_jobs = *this->jobs().get_final(ids, this->soon());
  ASSERT_THAT(final_jobs, SizeIs(1));
  EXPECT_EQ(final_jobs[0].id, done);
}

TYPED_TEST(JobStoreContract, CountsQueuedJobsUpToABound) {
  for (int i = 0; i < 4; ++i) this->submit();
  EXPECT_EQ(*this->jobs().count_queued("sluice-tiny", Priority::kNormal, 100, this->soon()), 4);
  EXPECT_EQ(*this->jobs().count_queued("sluice-tiny", Priority::kNormal, 3, this->soon()), 3);
  EXPECT_EQ(*this->jobs().count_queued("sluice-tiny", Priority::kLow, 100, this->soon()), 0);
}

TYPED_TEST(JobStoreContract, PublishedEventsComeBackUntilTheyAreDecided) {
  const JobId id = this->submit();
  this->succeed(this->claim(id)[0].ref);
  auto& events = this->world_->events();
  auto due = *events.due_events(this->all_shards(), 10, this->soon());
  ASSERT_THAT(due, SizeIs(1));
  EXPECT_EQ(due[0].publishes, 0);
  EXPECT_EQ(*event_ref_from_json(event_ref_to_json(due[0].ref)), due[0].ref);
  ASSERT_TRUE(events.mark_events(std::span(&due[0].ref.id, 1), true, this->soon()).has_value());
  EXPECT_THAT(*events.due_events(this->all_shards(), 10, this->soon()), IsEmpty());
  this->advance(seconds(6));
  due = *events.due_events(this->all_shards(), 10, this->soon());
  ASSERT_THAT(due, SizeIs(1));
  EXPECT_EQ(due[0].publishes, 1);
}

}  // namespace
}  // namespace sluice
