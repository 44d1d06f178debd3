// What every OperationStore promises, asked of the real one and of the fake alike.
#include "common/store/operation_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/contract/store/store_world.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using testing::FakeWorld;
using ::testing::IsEmpty;
using testing::kTenant;
using testing::kWorker;
using testing::MysqlWorld;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

const Actor kActor{TenantId{"ops"}, "night shift ...1234"};

template <class T>
class OperationContract : public testing::StoreContract<T> {
 protected:
  DeadLetterStore& letters() { return this->world_->letters(); }
  OperationStore& operations() { return this->world_->operations(); }

  void fail_start(const JobId& id, std::int64_t generation = 1) {
    const auto claimed = this->claim(id, 0, kWorker, generation);
    ASSERT_THAT(claimed, SizeIs(1));
    this->finish(Ending{claimed[0].ref, kWorker,
                        Failed{JobError{"invalid_request", "no", "invalid_request_error", ""}, true}});
  }
  JobId fail_job(NewJob fresh) {
    const JobId id = this->submit(std::move(fresh));
    fail_start(id);
    return id;
  }
  JobId fail_job() { return fail_job(this->new_job()); }
  std::vector<JobId> fail_jobs(int count) {
    std::vector<JobId> ids;
    for (int i = 0; i < count; ++i) ids.push_back(fail_job());
    return ids;
  }

  static NewOperation asking(OperationKind kind) {
    NewOperation asked;
    asked.kind = kind;
    return asked;
  }
  OperationId start(const NewOperation& asked) {
    const auto started = operations().start_operation(asked, kActor, this->soon());
    EXPECT_TRUE(started.has_value());
    return started ? started->id : OperationId{};
  }
  OperationStep step() {
    const auto made = operations().step_operation(this->soon());
    EXPECT_TRUE(made.has_value());
    return made.value_or(OperationStep{});
  }
  // Steps until none is due.
  Operation finish_steps(const OperationId& id) {
    while (step().worked) {
    }
    return get(id);
  }
  Operation get(const OperationId& id) {
    const auto found = operations().get_operation(id, this->soon());
    EXPECT_TRUE(found.has_value());
    return found.value_or(Operation{});
  }
  std::int64_t waiting_letters() { return letters().count_letters({}, 3, this->soon())->matching; }
  std::vector<std::string> audit_actions() {
    std::vector<std::string> out;
    const auto entries = this->world_->audit().list_audit({}, this->soon());
    for (const AuditEntry& entry : *entries) out.push_back(entry.action);
    return out;
  }
};

using Worlds = ::testing::Types<FakeWorld, MysqlWorld>;
TYPED_TEST_SUITE(OperationContract, Worlds);

TYPED_TEST(OperationContract, ARedrivenJobStartsAnewAsItsNextGeneration) {
  NewJob fresh = this->new_job();
  fresh.expires_in_s = 120;
  const JobId id = this->fail_job(fresh);
  this->advance(seconds(300));
  const OperationId operation = this->start(this->asking(OperationKind::kRedrive));
  const OperationStep step = this->step();
  EXPECT_TRUE(step.worked);
  EXPECT_EQ(step.id, operation);
  EXPECT_EQ(step.redriven, 1);

  const Job job = this->read(id);
  EXPECT_EQ(job.state, JobState::kQueued);
  EXPECT_EQ(job.generation, 2);
  EXPECT_EQ(job.attempt, 0);
  EXPECT_EQ(job.started_us, 0);
  EXPECT_EQ(job.finished_us, 0);
  EXPECT_FALSE(job.error.has_value());
  // As long as it was given at first, from the redrive on.
  EXPECT_GE(job.expires_us - job.created_us, (300 + 120) * 1'000'000LL);
  EXPECT_LT(job.expires_us - job.created_us, (300 + 120 + 60) * 1'000'000LL);
  const auto due = this->due();
  ASSERT_THAT(due, SizeIs(1));
  EXPECT_EQ(due[0].ref, (TaskRef{id, 2, 0}));
  EXPECT_LT(due[0].published_ms_ago, 0);

  // A message of the earlier generation starts nothing; the new one runs to its end, with an event of its
  // own.
  EXPECT_THAT(this->claim(id, 0), IsEmpty());
  this->succeed(this->claim(id, 0, kWorker, 2)[0].ref);
  EXPECT_EQ(this->read(id).state, JobState::kSucceeded);
  EXPECT_THAT(this->event_types(id), UnorderedElementsAre("job.failed", "job.succeeded"));

  const Operation done = this->finish_steps(operation);
  EXPECT_EQ(done.state, OperationState::kDone);
  EXPECT_EQ(done.total, 1);
  EXPECT_EQ(done.handled, 1);
  EXPECT_EQ(done.actor, kActor);
  EXPECT_GT(done.finished_us, 0);
  const auto letter = this->letters().show_letter(id, this->soon());
  EXPECT_EQ(letter->letter.state, LetterState::kRedriven);
  EXPECT_EQ(letter->letter.operation_id, operation);
  EXPECT_THAT(this->audit_actions(), ElementsAre("dead_letters.redrive.done", "dead_letters.redrive"));
}

TYPED_TEST(OperationContract, ARedriveMayGiveJobsAnotherTimeToFinishIn) {
  const JobId id = this->fail_job();
  NewOperation asked = this->asking(OperationKind::kRedrive);
  asked.expires_in_s = 2;
  this->finish_steps(this->start(asked));
  this->advance(milliseconds(2'100));
  EXPECT_EQ(*this->jobs().expire_due(10, this->soon()), 1);
  EXPECT_EQ(this->read(id).state, JobState::kExpired);
}

TYPED_TEST(OperationContract, ARedrivenJobThatExpiresCanBeRedrivenAgain) {
  const JobId id = this->fail_job();
  NewOperation brief = this->asking(OperationKind::kRedrive);
  brief.expires_in_s = 2;
  this->finish_steps(this->start(brief));
  this->advance(milliseconds(2'100));
  ASSERT_EQ(*this->jobs().expire_due(10, this->soon()), 1);
  const auto letter = this->letters().show_letter(id, this->soon());
  ASSERT_TRUE(letter.has_value());
  EXPECT_EQ(letter->letter.generation, 2);
  EXPECT_EQ(letter->letter.reason, DeadReason::kExpired);
  EXPECT_EQ(letter->letter.state, LetterState::kDead);
  EXPECT_EQ(letter->letter.error_code, "job_expired");
  ASSERT_THAT(letter->earlier, SizeIs(1));
  EXPECT_EQ(letter->earlier[0].expires_in_s, 2);

  this->advance(seconds(1));
  NewOperation longer = this->asking(OperationKind::kRedrive);
  longer.filter.reason = DeadReason::kExpired;
  longer.expires_in_s = 600;
  const Operation done = this->finish_steps(this->start(longer));
  EXPECT_EQ(done.handled, 1);
  EXPECT_EQ(this->read(id).generation, 3);
  this->succeed(this->claim(id, 0, kWorker, 3)[0].ref);
  EXPECT_EQ(this->waiting_letters(), 0);
}

TYPED_TEST(OperationContract, ARedrivenJobThatItsClientCancelsLeavesNoLetter) {
  const JobId id = this->fail_job();
  this->finish_steps(this->start(this->asking(OperationKind::kRedrive)));
  ASSERT_TRUE(this->jobs().cancel(kTenant, id, this->soon()).has_value());
  EXPECT_EQ(this->waiting_letters(), 0);
}

TYPED_TEST(OperationContract, OnlyMatchingLettersAreMoved) {
  const JobId a = this->fail_job();
  NewJob large = this->new_job();
  large.job.model = "larger";
  const JobId b = this->fail_job(large);
  NewOperation asked = this->asking(OperationKind::kRedrive);
  asked.filter.model = "larger";
  const Operation done = this->finish_steps(this->start(asked));
  EXPECT_EQ(done.total, 1);
  EXPECT_EQ(done.handled, 1);
  EXPECT_EQ(done.asked.filter, asked.filter);
  EXPECT_EQ(this->read(a).state, JobState::kFailed);
  EXPECT_EQ(this->read(b).state, JobState::kQueued);
}

TYPED_TEST(OperationContract, DiscardedLettersAreGoneAndTheirJobsStayAsTheyEnded) {
  const JobId id = this->fail_job();
  const OperationId operation = this->start(this->asking(OperationKind::kDiscard));
  EXPECT_EQ(this->step().discarded, 1);
  EXPECT_EQ(this->finish_steps(operation).state, OperationState::kDone);
  EXPECT_EQ(this->waiting_letters(), 0);
  EXPECT_EQ(this->read(id).state, JobState::kFailed);
  EXPECT_EQ(this->letters().show_letter(id, this->soon())->letter.state, LetterState::kDiscarded);
  // What is discarded is not redriven.
  EXPECT_EQ(this->finish_steps(this->start(this->asking(OperationKind::kRedrive))).total, 0);
  EXPECT_EQ(this->read(id).generation, 1);
}

TYPED_TEST(OperationContract, ACanaryIsRedrivenAloneUntilSomebodySaysGoOn) {
  const auto ids = this->fail_jobs(7);
  NewOperation asked = this->asking(OperationKind::kRedrive);
  asked.canary = 2;
  const OperationId id = this->start(asked);
  Operation operation = this->finish_steps(id);
  EXPECT_EQ(operation.state, OperationState::kCanary);
  EXPECT_EQ(operation.handled, 2);
  EXPECT_EQ(this->waiting_letters(), 5);
  EXPECT_FALSE(this->step().worked);

  this->succeed(this->claim(ids[0], 0, kWorker, 2)[0].ref);
  const auto outcome = this->operations().operation_outcome(id, this->soon());
  EXPECT_EQ(outcome->succeeded, 1);
  EXPECT_EQ(outcome->unfinished, 1);
  EXPECT_EQ(outcome->ended_otherwise, 0);

  ASSERT_TRUE(this->operations().continue_operation(id, kActor, this->soon()).has_value());
  EXPECT_EQ(this->operations().continue_operation(id, kActor, this->soon()).error().code,
            ErrorCode::kConflict);
  operation = this->finish_steps(id);
  EXPECT_EQ(operation.state, OperationState::kDone);
  EXPECT_EQ(operation.handled, 7);
  EXPECT_EQ(this->waiting_letters(), 0);
  EXPECT_THAT(this->audit_actions(), ElementsAre("dead_letters.redrive.done", "dead_letters.redrive.continue",
                                                 "dead_letters.redrive"));
}

TYPED_TEST(OperationContract, TheAuditLogSaysHowManyLettersAContinuedCanaryHasLeft) {
  const JobId often = this->fail_job();
  for (std::int64_t generation = 2; generation <= 4; ++generation) {
    this->finish_steps(this->start(this->asking(OperationKind::kRedrive)));
    this->fail_start(often, generation);
    this->advance(seconds(1));
  }
  this->fail_jobs(3);
  NewOperation asked = this->asking(OperationKind::kRedrive);
  asked.canary = 1;
  const OperationId id = this->start(asked);
  const Operation waiting = this->finish_steps(id);
  EXPECT_EQ(waiting.state, OperationState::kCanary);
  EXPECT_EQ(waiting.guarded, 1);
  const auto continued = this->operations().continue_operation(id, kActor, this->soon());
  ASSERT_TRUE(continued.has_value());
  EXPECT_EQ(continued->state, OperationState::kRunning);
  EXPECT_FALSE(continued->asked.canary.has_value());
  AuditFilter filter;
  filter.action = "dead_letters.redrive.continue";
  const auto entries = this->world_->audit().list_audit(filter, this->soon());
  ASSERT_THAT(*entries, SizeIs(1));
  EXPECT_EQ(entries->front().count, 2) << "of 4, one was redriven and one left to the loop guard";
}

TYPED_TEST(OperationContract, ACanaryThatDiesAgainIsCountedAndTheRestCanBeLeft) {
  const auto ids = this->fail_jobs(3);
  NewOperation asked = this->asking(OperationKind::kRedrive);
  asked.canary = 1;
  const OperationId id = this->start(asked);
  this->finish_steps(id);
  this->fail_start(ids[0], 2);
  EXPECT_EQ(this->operations().operation_outcome(id, this->soon())->ended_otherwise, 1);
  const auto cancelled = this->operations().cancel_operation(id, kActor, this->soon());
  ASSERT_TRUE(cancelled.has_value());
  EXPECT_EQ(cancelled->state, OperationState::kCancelled);
  EXPECT_EQ(cancelled->handled, 1);
  EXPECT_FALSE(this->step().worked);
  EXPECT_EQ(this->waiting_letters(), 3);  // The canary's second letter among them.
  EXPECT_EQ(this->operations().cancel_operation(id, kActor, this->soon()).error().code, ErrorCode::kConflict);
  const auto shown = this->letters().show_letter(ids[0], this->soon());
  EXPECT_EQ(shown->letter.generation, 2);
  ASSERT_THAT(shown->earlier, SizeIs(1));
  EXPECT_EQ(shown->earlier[0].state, LetterState::kRedriven);
  EXPECT_THAT(shown->attempts, SizeIs(2));
}

TYPED_TEST(OperationContract, ALimitedRedriveTakesItsTime) {
  this->fail_jobs(5);
  NewOperation asked = this->asking(OperationKind::kRedrive);
  asked.rate_max = 4;  // Two in each half second.
  const OperationId id = this->start(asked);
  EXPECT_EQ(this->step().redriven, 2);
  EXPECT_FALSE(this->step().worked) << "the next step is not due yet";
  EXPECT_EQ(this->get(id).state, OperationState::kRunning);
  this->advance(seconds(1));
  EXPECT_EQ(this->step().redriven, 2);
  this->advance(seconds(1));
  EXPECT_EQ(this->step().redriven, 1);
  EXPECT_EQ(this->get(id).state, OperationState::kDone);
}

TYPED_TEST(OperationContract, HoweverLowTheRateALetterMovesEachHour) {
  this->fail_jobs(2);
  NewOperation asked = this->asking(OperationKind::kRedrive);
  asked.rate_max = 1e-300;
  const OperationId id = this->start(asked);
  EXPECT_EQ(this->step().redriven, 1);
  EXPECT_FALSE(this->step().worked);
  this->advance(seconds(3'601));
  EXPECT_EQ(this->step().redriven, 1);
  EXPECT_EQ(this->get(id).last_error, "");
}

TYPED_TEST(OperationContract, ManyLettersTakeSeveralSteps) {
  this->fail_jobs(OperationRules{}.step_max + 3);
  const OperationId id = this->start(this->asking(OperationKind::kDiscard));
  EXPECT_EQ(this->step().discarded, OperationRules{}.step_max);
  EXPECT_EQ(this->get(id).state, OperationState::kRunning);
  EXPECT_EQ(this->step().discarded, 3);
  EXPECT_EQ(this->get(id).state, OperationState::kDone);
  EXPECT_FALSE(this->step().worked);
}

TYPED_TEST(OperationContract, WhatDiesAgainMeanwhileIsNotChased) {
  const JobId first = this->fail_job();
  const JobId second = this->fail_job();
  NewOperation asked = this->asking(OperationKind::kRedrive);
  asked.rate_max = 1;
  const OperationId id = this->start(asked);
  EXPECT_EQ(this->step().redriven, 1);
  this->advance(seconds(2));
  this->fail_start(first, 2);
  const Operation done = this->finish_steps(id);
  this->advance(seconds(2));
  EXPECT_EQ(this->finish_steps(id).state, OperationState::kDone);
  EXPECT_EQ(this->get(id).handled, 2);
  EXPECT_EQ(this->read(first).generation, 2);
  EXPECT_EQ(this->read(second).generation, 2);
}

TYPED_TEST(OperationContract, AJobRedrivenTooOftenTakesForce) {
  const JobId id = this->fail_job();
  for (std::int64_t generation = 2; generation <= 4; ++generation) {
    EXPECT_EQ(this->finish_steps(this->start(this->asking(OperationKind::kRedrive))).handled, 1);
    this->fail_start(id, generation);
    this->advance(seconds(1));
  }
  const auto count = this->letters().count_letters({}, OperationRules{}.redrives_max, this->soon());
  EXPECT_EQ(count->matching, 1);
  EXPECT_EQ(count->guarded, 1);
  Operation operation = this->finish_steps(this->start(this->asking(OperationKind::kRedrive)));
  EXPECT_EQ(operation.state, OperationState::kDone);
  EXPECT_EQ(operation.handled, 0);
  EXPECT_EQ(operation.guarded, 1);
  EXPECT_EQ(this->read(id).generation, 4);

  NewOperation forced = this->asking(OperationKind::kRedrive);
  forced.forced = true;
  operation = this->finish_steps(this->start(forced));
  EXPECT_EQ(operation.handled, 1);
  EXPECT_EQ(this->read(id).generation, 5);
}

TYPED_TEST(OperationContract, ALetterThatSomebodyElseMovedIsLeftAlone) {
  const auto ids = this->fail_jobs(2);
  NewOperation slow = this->asking(OperationKind::kRedrive);
  slow.rate_max = 1;
  const OperationId first = this->start(slow);
  EXPECT_EQ(this->step().redriven, 1);
  const OperationId second = this->start(this->asking(OperationKind::kDiscard));
  EXPECT_EQ(this->get(second).total, 1);
  EXPECT_EQ(this->step().discarded, 1);
  this->advance(seconds(2));
  while (this->step().worked) {
  }
  EXPECT_EQ(this->get(first).state, OperationState::kDone);
  EXPECT_EQ(this->get(first).handled, 1);
  EXPECT_EQ(this->read(ids[1]).state, JobState::kFailed);
}

TYPED_TEST(OperationContract, CopiesOfRedrivenJobsAreDueUntilTheyAreOutdated) {
  const auto ids = this->fail_jobs(2);
  EXPECT_THAT(*this->letters().due_copies(10, this->soon()), IsEmpty());
  this->finish_steps(this->start(this->asking(OperationKind::kRedrive)));
  EXPECT_THAT(*this->letters().due_copies(10, this->soon()),
              UnorderedElementsAre(LetterRef{ids[0], 2}, LetterRef{ids[1], 2}));
  EXPECT_THAT(*this->letters().due_copies(1, this->soon()), SizeIs(1));
  // Redriven again before it was marked: the later generation stays due.
  this->fail_start(ids[0], 2);
  this->advance(seconds(1));
  this->finish_steps(this->start(this->asking(OperationKind::kRedrive)));
  const std::vector<LetterRef> marked = {{ids[0], 2}, {ids[1], 2}};
  ASSERT_TRUE(this->letters().mark_copies(marked, this->soon()).has_value());
  EXPECT_THAT(*this->letters().due_copies(10, this->soon()), ElementsAre(LetterRef{ids[0], 3}));
}

TYPED_TEST(OperationContract, OperationsAreListedFromTheNewest) {
  const OperationId a = this->start(this->asking(OperationKind::kRedrive));
  const OperationId b = this->start(this->asking(OperationKind::kDiscard));
  auto list = *this->operations().list_operations({}, this->soon());
  ASSERT_THAT(list, SizeIs(2));
  EXPECT_EQ(list[0].id, b);
  EXPECT_EQ(list[1].id, a);
  list = *this->operations().list_operations({b, 20}, this->soon());
  ASSERT_THAT(list, SizeIs(1));
  EXPECT_EQ(list[0].id, a);
  const OperationId unknown{"op_01900000-0000-7000-8000-000000000000"};
  EXPECT_EQ(this->operations().get_operation(unknown, this->soon()).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(this->operations().cancel_operation(unknown, kActor, this->soon()).error().code,
            ErrorCode::kNotFound);
}

// What only the real store can show.
class MysqlOperations : public OperationContract<MysqlWorld> {
 protected:
  std::int64_t number(const std::string& query) {
    const auto rows = testing::MysqlDatabase::instance()->pool().query(Sql(query), soon());
    return rows->front().int64(0);
  }
};

TEST_F(MysqlOperations, ARedriveReopensItsBatchAndTheNextEndClosesItAgain) {
  std::vector<Submission> submissions(1);
  submissions[0].batch = NewBatch{ids_.make<BatchId>(shard_of_tenant(kTenant)), 2};
  for (int i = 0; i < 2; ++i) {
    NewJob fresh = new_job();
    fresh.job.batch_id = submissions[0].batch->id;
    submissions[0].jobs.push_back(fresh);
  }
  ASSERT_TRUE(jobs().submit(submissions, soon())[0].has_value());
  const JobId a = submissions[0].jobs[0].job.id;
  fail_start(a);
  fail_start(submissions[0].jobs[1].job.id);
  EXPECT_EQ(number("SELECT failed FROM batch"), 2);
  NewOperation asked = asking(OperationKind::kRedrive);
  asked.filter.ids = {a};
  finish_steps(start(asked));
  EXPECT_EQ(number("SELECT failed FROM batch"), 1);
  succeed(claim(a, 0, kWorker, 2)[0].ref);
  EXPECT_EQ(number("SELECT failed * 10 + succeeded FROM batch"), 11);
}

TEST_F(MysqlOperations, AnExpiredJobIsTakenOutOfItsBatchsCountToo) {
  std::vector<Submission> submissions(1);
  submissions[0].batch = NewBatch{ids_.make<BatchId>(shard_of_tenant(kTenant)), 1};
  NewJob fresh = new_job();
  fresh.job.batch_id = submissions[0].batch->id;
  submissions[0].jobs.push_back(fresh);
  ASSERT_TRUE(jobs().submit(submissions, soon())[0].has_value());
  const JobId id = submissions[0].jobs[0].job.id;
  fail_start(id);
  NewOperation asked = asking(OperationKind::kRedrive);
  asked.expires_in_s = 1;
  finish_steps(start(asked));
  advance(seconds(2));
  ASSERT_EQ(*jobs().expire_due(10, soon()), 1);
  EXPECT_EQ(number("SELECT failed * 100 + expired * 10 + succeeded FROM batch"), 10);
  advance(seconds(1));
  asked.expires_in_s = 600;
  finish_steps(start(asked));
  succeed(claim(id, 0, kWorker, 3)[0].ref);
  EXPECT_EQ(number("SELECT failed * 100 + expired * 10 + succeeded FROM batch"), 1);
}

TEST_F(MysqlOperations, ACanaryBeyondWhatWasCountedCanBeContinued) {
  fail_jobs(2);
  NewOperation asked = asking(OperationKind::kRedrive);
  asked.canary = 1;
  const OperationId id = start(asked);
  finish_steps(id);
  // As if the letter had been on its way while the operation began.
  testing::MysqlDatabase::instance()->execute("UPDATE operation SET total = 0");
  EXPECT_TRUE(operations().continue_operation(id, kActor, soon()).has_value());
  EXPECT_EQ(finish_steps(id).state, OperationState::kDone);
}

TEST_F(MysqlOperations, AStepThatFailsIsPutOffAndKeepsNoOtherFromItsTurn) {
  std::vector<Submission> submissions(1);
  submissions[0].batch = NewBatch{ids_.make<BatchId>(shard_of_tenant(kTenant)), 1};
  NewJob fresh = new_job();
  fresh.job.batch_id = submissions[0].batch->id;
  submissions[0].jobs.push_back(fresh);
  ASSERT_TRUE(jobs().submit(submissions, soon())[0].has_value());
  const JobId in_batch = submissions[0].jobs[0].job.id;
  fail_start(in_batch);
  const JobId other = fail_job();
  // The step takes one from what is 0 here, which the database refuses.
  testing::MysqlDatabase::instance()->execute("UPDATE batch SET failed = 0");
  NewOperation asked = asking(OperationKind::kRedrive);
  asked.filter.ids = {in_batch};
  const OperationId stuck = start(asked);
  asked.filter.ids = {other};
  const OperationId second = start(asked);

  EXPECT_EQ(operations().step_operation(soon()).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(step().id, second);
  EXPECT_EQ(get(second).handled, 1);
  EXPECT_FALSE(step().worked);
  EXPECT_EQ(get(stuck).state, OperationState::kRunning);
  EXPECT_THAT(get(stuck).last_error, ::testing::HasSubstr("1690"));
  EXPECT_EQ(read(in_batch).generation, 1) << "a step that fails moves nothing";

  testing::MysqlDatabase::instance()->execute("UPDATE batch SET failed = 1");
  advance(seconds(31));
  EXPECT_EQ(finish_steps(stuck).state, OperationState::kDone);
  EXPECT_EQ(get(stuck).handled, 1);
  EXPECT_EQ(get(stuck).last_error, "");
}

TEST_F(MysqlOperations, AnOperationWhoseFilterCanNotBeReadIsPutOffToo) {
  fail_job();
  start(asking(OperationKind::kDiscard));
  testing::MysqlDatabase::instance()->execute("UPDATE operation SET filter = '{\"reason\": \"rage\"}'");
  const OperationId second = start(asking(OperationKind::kDiscard));
  EXPECT_EQ(operations().step_operation(soon()).error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(step().id, second);
  EXPECT_EQ(number("SELECT COUNT(*) FROM operation WHERE last_error LIKE 'corrupt%'"), 1);
}

}  // namespace
}  // namespace sluice
