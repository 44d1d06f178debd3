// What every FleetStore promises, asked of the real one and of the fake alike.
#include "common/store/fleet_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

const Actor kActor{TenantId{"ops"}, "night shift ...1234"};

template <class T>
class FleetContract : public testing::StoreContract<T> {
 protected:
  FleetStore& fleet() { return this->world_->fleet(); }
  void pause(PauseKind kind, const std::string& name) {
    ASSERT_TRUE(fleet().set_pause(Pause{kind, name, "because", 0, kActor}, this->soon()).has_value());
  }
  std::vector<std::string> audit_actions() {
    std::vector<std::string> out;
    const auto entries = this->world_->audit().list_audit({}, this->soon());
    for (const AuditEntry& entry : *entries) out.push_back(entry.action + " " + entry.target);
    return out;
  }
};

using Worlds = ::testing::Types<FakeWorld, MysqlWorld>;
TYPED_TEST_SUITE(FleetContract, Worlds);

TYPED_TEST(FleetContract, NothingOfAPausedModelIsPublishedOrStarted) {
  const JobId id = this->submit();
  const std::vector<TenantId> tenants = {kTenant};
  const auto due_of_tenants = [&] {
    return *this->jobs().due_tasks("sluice-tiny", Priority::kNormal, tenants, 10, this->soon());
  };
  ASSERT_THAT(due_of_tenants(), SizeIs(1));
  this->pause(PauseKind::kModel, "sluice-tiny");
  EXPECT_THAT(this->due(), IsEmpty());
  EXPECT_THAT(due_of_tenants(), IsEmpty()) << "not even by whoever found the tenant before";
  EXPECT_THAT(this->claim(id), IsEmpty()) << "not even with a message that is at the broker already";
  EXPECT_EQ(this->read(id).state, JobState::kQueued);
  ASSERT_TRUE(this->fleet().resume(PauseKind::kModel, "sluice-tiny", kActor, this->soon()).has_value());
  EXPECT_THAT(this->due(), SizeIs(1));
  EXPECT_THAT(this->claim(id), SizeIs(1));
}

TYPED_TEST(FleetContract, WhatAPauseTookTheMessageOfIsDueAsSoonAsItEnds) {
  const JobId id = this->submit();
  const std::vector<TaskRef> published = {TaskRef{id, 1, 0}};
  ASSERT_TRUE(this->jobs().mark_tasks(published, true, this->soon()).has_value());
  EXPECT_THAT(this->due(), IsEmpty()) << "its message is on its way";
  this->pause(PauseKind::kModel, "sluice-tiny");
  EXPECT_THAT(this->claim(id), IsEmpty());
  ASSERT_TRUE(this->fleet().resume(PauseKind::kModel, "sluice-tiny", kActor, this->soon()).has_value());
  const auto due = this->due();
  ASSERT_THAT(due, SizeIs(1));
  EXPECT_LT(due[0].published_ms_ago, 0);
}

TYPED_TEST(FleetContract, APausedTenantHoldsBackItsOwnJobsOnly) {
  NewJob other = this->new_job();
  other.job.tenant = TenantId{"other"};
  const JobId held = this->submit();
  const JobId free = this->submit(other);
  this->pause(PauseKind::kTenant, kTenant.value);
  this->pause(PauseKind::kModel, "another model");
  const auto due = this->due();
  ASSERT_THAT(due, SizeIs(1));
  EXPECT_EQ(due[0].ref.id, free);
  const std::vector<TenantId> tenants = {kTenant, other.job.tenant};
  EXPECT_THAT(*this->jobs().due_tasks("sluice-tiny", Priority::kNormal, tenants, 10, this->soon()),
              SizeIs(1));
  EXPECT_THAT(this->claim(held), IsEmpty());
  EXPECT_THAT(this->claim(free), SizeIs(1));
}

TYPED_TEST(FleetContract, WhatRunsGoesOnThroughAPause) {
  const JobId id = this->submit();
  const auto claimed = this->claim(id);
  this->pause(PauseKind::kModel, "sluice-tiny");
  EXPECT_THAT(*this->jobs().heartbeat(kWorker, std::vector{claimed[0].ref}, this->soon()), SizeIs(1));
  EXPECT_EQ(this->succeed(claimed[0].ref).outcome, EndingOutcome::kEnded);
}

TYPED_TEST(FleetContract, PausesAreListedAndAudited) {
  this->pause(PauseKind::kTenant, "t");
  this->pause(PauseKind::kModel, "m");
  const auto pauses = *this->fleet().list_pauses(this->soon());
  ASSERT_THAT(pauses, SizeIs(2));
  EXPECT_EQ(pauses[0].kind, PauseKind::kModel);
  EXPECT_EQ(pauses[0].name, "m");
  EXPECT_EQ(pauses[0].reason, "because");
  EXPECT_EQ(pauses[0].actor, kActor);
  EXPECT_GT(pauses[0].since_us, 0);
  ASSERT_TRUE(this->fleet().resume(PauseKind::kModel, "m", kActor, this->soon()).has_value());
  EXPECT_EQ(this->fleet().resume(PauseKind::kModel, "m", kActor, this->soon()).error().code,
            ErrorCode::kNotFound);
  EXPECT_THAT(*this->fleet().list_pauses(this->soon()), SizeIs(1));
  EXPECT_THAT(this->audit_actions(),
              ElementsAre("pauses.end model m", "pauses.set model m", "pauses.set tenant t"));
}

TYPED_TEST(FleetContract, AWorkerIsKnownByItsBeatsAndToldToDrain) {
  WorkerBeat beat{"w-1", "m", "echo", "1.0", 32, 3};
  EXPECT_FALSE(*this->fleet().beat(beat, this->soon()));
  auto workers = *this->fleet().list_workers(this->soon());
  ASSERT_THAT(workers, SizeIs(1));
  EXPECT_EQ(workers[0].beat.id, "w-1");
  EXPECT_EQ(workers[0].beat.engine, "echo");
  EXPECT_EQ(workers[0].beat.held_jobs, 3);
  EXPECT_FALSE(workers[0].draining);
  EXPECT_GT(workers[0].started_us, 0);

  const auto asked = this->fleet().set_draining("w-1", true, kActor, this->soon());
  ASSERT_TRUE(asked.has_value());
  EXPECT_TRUE(asked->draining);
  beat.held_jobs = 1;
  beat.tokens_per_s = 1200;
  beat.job_tokens_per_s = 40;
  EXPECT_TRUE(*this->fleet().beat(beat, this->soon()));
  workers = *this->fleet().list_workers(this->soon());
  EXPECT_EQ(workers[0].beat.held_jobs, 1);
  EXPECT_EQ(workers[0].beat.tokens_per_s, 1200);
  EXPECT_EQ(workers[0].beat.job_tokens_per_s, 40);
  ASSERT_TRUE(this->fleet().set_draining("w-1", false, kActor, this->soon()).has_value());
  EXPECT_FALSE(*this->fleet().beat(beat, this->soon()));
  EXPECT_EQ(this->fleet().set_draining("w-2", true, kActor, this->soon()).error().code, ErrorCode::kNotFound);
  EXPECT_THAT(this->audit_actions(), ElementsAre("workers.undrain w-1", "workers.drain w-1"));

  ASSERT_TRUE(this->fleet().forget_worker("w-1", this->soon()).has_value());
  EXPECT_THAT(*this->fleet().list_workers(this->soon()), IsEmpty());
}

TYPED_TEST(FleetContract, ASilentWorkerIsShownSoAndForgottenAfterAnHour) {
  ASSERT_TRUE(this->fleet().beat(WorkerBeat{"w-1", "m", "echo", "1.0", 32, 0}, this->soon()).has_value());
  this->advance(seconds(100));
  const auto workers = *this->fleet().list_workers(this->soon());
  ASSERT_THAT(workers, SizeIs(1));
  EXPECT_GE(workers[0].silent_ms, 100'000);
  this->advance(std::chrono::hours(1));
  EXPECT_THAT(*this->fleet().list_workers(this->soon()), IsEmpty());
}

TYPED_TEST(FleetContract, CountsSayWhatWaitsAndRunsWhere) {
  NewJob high = this->new_job();
  high.job.priority = Priority::kHigh;
  this->submit(high);
  this->submit();
  this->advance(seconds(20));
  const JobId running = this->submit();
  this->claim(running);
  const auto queues = *this->fleet().waiting_jobs(this->soon());
  ASSERT_THAT(queues, SizeIs(2));
  EXPECT_EQ(queues[0].priority, Priority::kHigh);
  EXPECT_EQ(queues[0].queued, 1);
  EXPECT_EQ(queues[0].running, 0);
  EXPECT_EQ(queues[1].model, "sluice-tiny");
  EXPECT_EQ(queues[1].queued, 1);
  EXPECT_EQ(queues[1].overdue, 1);
  EXPECT_EQ(queues[1].running, 1);

  const JobId failed = this->submit();
  this->fail_with(this->claim(failed)[0].ref, true);
  const auto overview = *this->fleet().overview(this->soon());
  EXPECT_EQ(overview.queued, 2);
  EXPECT_EQ(overview.running, 1);
  EXPECT_EQ(overview.dead_letters, 1);
  EXPECT_EQ(overview.undecided_events, 1);
  EXPECT_EQ(overview.running_operations, 0);
}

TYPED_TEST(FleetContract, OperatorsCancelJobsOfEveryTenantOnce) {
  NewJob other = this->new_job();
  other.job.tenant = TenantId{"other"};
  const JobId id = this->submit(other);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(this->fleet().cancel_job(id, kActor, this->soon()).has_value());
    const auto job = this->jobs().get(TenantId{"other"}, id, this->soon());
    ASSERT_TRUE(job.has_value());
    EXPECT_EQ(job->state, JobState::kCancelled);
    EXPECT_EQ(job->error->code, "job_cancelled");
  }
  EXPECT_THAT(this->audit_actions(), ElementsAre("jobs.cancel " + id.value));
  EXPECT_EQ((*this->fleet().overview(this->soon())).undecided_events, 1);
  EXPECT_EQ(this->fleet().cancel_job(JobId{"job_1"}, kActor, this->soon()).error().code,
            ErrorCode::kNotFound);
}

TYPED_TEST(FleetContract, AnOperatorsCancelEndsARunningJob) {
  const JobId id = this->submit();
  const auto claimed = this->claim(id);
  ASSERT_TRUE(this->fleet().cancel_job(id, kActor, this->soon()).has_value());
  EXPECT_EQ((*this->fleet().overview(this->soon())).running, 0);
  EXPECT_EQ(this->audit_actions().size(), 1U);
}

TYPED_TEST(FleetContract, OperatorsListJobsOfEveryTenant) {
  NewJob other = this->new_job();
  other.job.tenant = TenantId{"other"};
  this->submit();
  const JobId id = this->submit(other);
  EXPECT_THAT(*this->jobs().list(JobFilter{}, this->soon()), SizeIs(2));
  JobFilter filter;
  filter.tenant = TenantId{"other"};
  const auto own = *this->jobs().list(filter, this->soon());
  ASSERT_THAT(own, SizeIs(1));
  EXPECT_EQ(own[0].id, id);
}

}  // namespace
}  // namespace sluice
