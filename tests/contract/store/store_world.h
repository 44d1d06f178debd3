// What the suites of this folder run on: every store of the record, real and fake alike, and a way to let
// time pass.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "common/store/mysql_answer_store.h"
#include "common/store/mysql_audit_store.h"
#include "common/store/mysql_dead_letter_store.h"
#include "common/store/mysql_event_store.h"
#include "common/store/mysql_fleet_store.h"
#include "common/store/mysql_idempotency_store.h"
#include "common/store/mysql_job_store.h"
#include "common/store/mysql_operation_store.h"
#include "common/store/mysql_session_store.h"
#include "tests/support/due_tasks.h"
#include "tests/support/fake_job_store.h"
#include "tests/support/mysql_database.h"

namespace sluice::testing {

inline const TenantId kTenant{"default"};
inline const std::string kWorker = "worker-1";

// The store under test, and a way to let time pass for it.
class World {
 public:
  virtual ~World() = default;
  virtual JobStore& jobs() = 0;
  virtual EventStore& events() = 0;
  virtual DeadLetterStore& letters() = 0;
  virtual OperationStore& operations() = 0;
  virtual AuditStore& audit() = 0;
  virtual FleetStore& fleet() = 0;
  virtual IdempotencyStore& idempotency() = 0;
  virtual AnswerStore& answers() = 0;
  virtual SessionStore& sessions() = 0;
  virtual void advance(std::chrono::milliseconds by) = 0;
  virtual Clock& clock() = 0;
  // How far time may go by itself between two lines of a test.
  virtual std::chrono::milliseconds slack() const = 0;
};

class FakeWorld final : public World {
 public:
  JobStore& jobs() override { return store_; }
  EventStore& events() override { return store_; }
  DeadLetterStore& letters() override { return store_; }
  OperationStore& operations() override { return store_; }
  AuditStore& audit() override { return store_; }
  FleetStore& fleet() override { return store_; }
  IdempotencyStore& idempotency() override { return store_; }
  AnswerStore& answers() override { return store_; }
  SessionStore& sessions() override { return store_; }
  void advance(std::chrono::milliseconds by) override { clock_.advance(by); }
  Clock& clock() override { return clock_; }
  std::chrono::milliseconds slack() const override { return std::chrono::milliseconds(1); }

 private:
  ManualClock clock_;
  SeededRng rng_{1};
  IdMaker ids_{clock_, rng_};
  FakeJobStore store_{clock_, ids_};
};

class MysqlWorld final : public World {
 public:
  explicit MysqlWorld(MysqlDatabase& database)
      : database_(database),
        ids_(database.clock(), database.rng()),
        jobs_(database.pool(), ids_, JobRules{}),
        events_(database.pool(), JobRules{}.republish_after),
        letters_(database.pool(), ids_, JobRules{}),
        operations_(database.pool(), ids_, JobRules{}, OperationRules{}),
        audit_(database.pool(), ids_),
        fleet_(database.pool(), ids_),
        idempotency_(database.pool()),
        answers_(database.pool()),
        sessions_(database.pool()) {
    database.clear_jobs();
  }
  JobStore& jobs() override { return jobs_; }
  EventStore& events() override { return events_; }
  DeadLetterStore& letters() override { return letters_; }
  OperationStore& operations() override { return operations_; }
  AuditStore& audit() override { return audit_; }
  FleetStore& fleet() override { return fleet_; }
  IdempotencyStore& idempotency() override { return idempotency_; }
  AnswerStore& answers() override { return answers_; }
  SessionStore& sessions() override { return sessions_; }
  // The server's clock can't be moved, so everything it has written moves into the past instead.
  void advance(std::chrono::milliseconds by) override {
    const std::string back = " - INTERVAL " + std::to_string(by.count() * 1000) + " MICROSECOND";
    const auto moved = [&back](const std::string& column) { return column + " = " + column + back; };
    database_.execute("UPDATE job SET " + moved("created_at") + ", " + moved("started_at") + ", " +
                      moved("finished_at") + ", " + moved("expires_at") + ", " + moved("publish_due") + ", " +
                      moved("published_at") + ", " + moved("lease_due") + ", " + moved("expire_due"));
    database_.execute("UPDATE event SET " + moved("publish_due"));
    database_.execute("UPDATE dead_letter SET " + moved("died_at") + ", " + moved("handled_at") + ", " +
                      moved("copy_due"));
    database_.execute("UPDATE operation SET " + moved("step_due") + ", " + moved("created_at") + ", " +
                      moved("finished_at"));
    database_.execute("UPDATE worker SET " + moved("seen_at"));
    database_.execute("UPDATE file_batch SET " + moved("created_at") + ", " + moved("expires_at") + ", " +
                      moved("work_due") + ", " + moved("close_due"));
    database_.execute("UPDATE answer SET " + moved("expires_at") + ", " + moved("settle_due"));
    database_.execute("UPDATE idempotency_key SET " + moved("created_at") + ", " + moved("expires_at"));
    database_.execute("UPDATE session SET " + moved("expires_at"));
  }
  Clock& clock() override { return database_.clock(); }
  // A busy machine may take most of a second.
  std::chrono::milliseconds slack() const override { return std::chrono::milliseconds(900); }

 private:
  MysqlDatabase& database_;
  IdMaker ids_;
  MysqlJobStore jobs_;
  MysqlEventStore events_;
  MysqlDeadLetterStore letters_;
  MysqlOperationStore operations_;
  MysqlAuditStore audit_;
  MysqlFleetStore fleet_;
  MysqlIdempotencyStore idempotency_;
  MysqlAnswerStore answers_;
  MysqlSessionStore sessions_;
};

template <class T>
std::unique_ptr<World> make_world();
template <>
inline std::unique_ptr<World> make_world<FakeWorld>() {
  return std::make_unique<FakeWorld>();
}
template <>
inline std::unique_ptr<World> make_world<MysqlWorld>() {
  auto* database = MysqlDatabase::instance();
  return database == nullptr ? nullptr : std::make_unique<MysqlWorld>(*database);
}

template <class T>
class StoreContract : public ::testing::Test {
 protected:
  void SetUp() override {
    world_ = make_world<T>();
    if (!world_) GTEST_SKIP() << "SLUICE_MYSQL_HOST is not set";
  }

  JobStore& jobs() { return world_->jobs(); }
  Deadline soon() { return Deadline::in(world_->clock(), std::chrono::seconds(20)); }
  void advance(std::chrono::milliseconds by) { world_->advance(by); }

  NewJob new_job() {
    NewJob fresh;
    fresh.job.id = ids_.template make<JobId>(shard_of_tenant(kTenant));
    fresh.job.tenant = kTenant;
    fresh.job.model = "sluice-tiny";
    fresh.request_json = R"({"prompt":"hé 🎉 'quoted' \\ back"})";
    fresh.prompt_tokens = 7;
    fresh.tokens_max = 263;
    return fresh;
  }
  JobId submit(NewJob fresh) {
    std::vector<Submission> submissions(1);
    submissions[0].jobs.push_back(std::move(fresh));
    const auto answers = jobs().submit(submissions, soon());
    EXPECT_TRUE(answers[0].has_value()) << answers[0].error().message;
    return submissions[0].jobs[0].job.id;
  }
  JobId submit() { return submit(new_job()); }
  std::vector<ClaimedJob> claim(const JobId& id, int attempt = 0, const std::string& worker = kWorker,
                                std::int64_t generation = 1) {
    const TaskRef task{id, generation, attempt};
    auto claimed = jobs().claim(std::span(&task, 1), worker, soon());
    EXPECT_TRUE(claimed.has_value());
    return claimed.value_or(std::vector<ClaimedJob>());
  }
  EndingResult finish(Ending ending) {
    auto results = jobs().finish(std::span(&ending, 1), soon());
    EXPECT_TRUE(results.has_value());
    return results ? results->front() : EndingResult{};
  }
  EndingResult succeed(const TaskRef& ref, const std::string& text = "85") {
    return finish(
        Ending{ref, kWorker,
               Succeeded{JobResult{text, "a thought", "stop", 7, 3, 5, 2, R"({"content":[]})", "Q8_0"}}});
  }
  EndingResult fail_with(const TaskRef& ref, bool permanent) {
    return finish(
        Ending{ref, kWorker, Failed{JobError{"engine_error", "it broke", "server_error", ""}, permanent}});
  }
  Job read(const JobId& id) {
    auto job = jobs().get(kTenant, id, soon());
    EXPECT_TRUE(job.has_value());
    return job.value_or(Job{});
  }
  std::vector<std::string> event_types(const JobId& id) {
    std::vector<std::string> types;
    const auto due = *world_->events().due_events(all_shards(), 10'000, soon());
    for (const DueEvent& event : due) {
      if (event.ref.job_id == id) types.push_back(event.ref.type);
    }
    return types;
  }
  static std::vector<int> all_shards() { return testing::all_shards(); }
  std::vector<DueTask> due(Priority priority = Priority::kNormal, int limit = 100) {
    return *all_due_tasks(jobs(), "sluice-tiny", priority, limit, soon());
  }

  std::unique_ptr<World> world_;
  SystemClock real_clock_;
  SystemRng real_rng_;
  IdMaker ids_{real_clock_, real_rng_};
};

}  // namespace sluice::testing
