// What only the real store can show: batches and counters, refused rows, lost sessions, many at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "common/store/mysql_job_store.h"
#include "common/store/mysql_shard_leases.h"
#include "tests/support/mysql_test.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using ::testing::SizeIs;

const TenantId kTenant{"default"};

class MysqlStore : public testing::MysqlTest {
 protected:
  void prepare() override {
    database_->clear_jobs();
    ids_ = std::make_unique<IdMaker>(database_->clock(), database_->rng());
    store_ = std::make_unique<MysqlJobStore>(database_->pool(), *ids_, JobRules{});
  }
  NewJob new_job(const BatchId& batch = {}) {
    NewJob fresh;
    fresh.job.id = ids_->make<JobId>(shard_of_tenant(kTenant));
    fresh.job.tenant = kTenant;
    fresh.job.batch_id = batch;
    fresh.job.model = "m";
    fresh.request_json = "{}";
    return fresh;
  }
  std::vector<TaskRef> submit_batch(const BatchId& batch, int jobs) {
    std::vector<Submission> submissions(1);
    submissions[0].batch = NewBatch{batch, jobs};
    std::vector<TaskRef> refs;
    for (int i = 0; i < jobs; ++i) {
      submissions[0].jobs.push_back(new_job(batch));
      refs.push_back(TaskRef{submissions[0].jobs.back().job.id, 1, 0});
    }
    EXPECT_TRUE(store_->submit(submissions, soon())[0].has_value());
    return refs;
  }
  std::vector<std::int64_t> counters(const BatchId& batch) {
    const auto rows = database_->pool().query(
        Sql("SELECT total, succeeded, failed, dead, cancelled, expired FROM batch WHERE id = ?")
            .bind(batch.value),
        soon());
    std::vector<std::int64_t> values;
    for (std::size_t i = 0; i < 6; ++i) values.push_back(rows->front().int64(i));
    return values;
  }
  std::int64_t count(const char* query) {
    return database_->pool().query(Sql(query), soon())->front().int64(0);
  }

  std::unique_ptr<IdMaker> ids_;
  std::unique_ptr<MysqlJobStore> store_;
};

TEST_F(MysqlStore, ABatchOfTenThousandGoesInWholeAndItsCountersFollow) {
  const BatchId batch = ids_->make<BatchId>(shard_of_tenant(kTenant));
  const auto refs = submit_batch(batch, 10'000);
  EXPECT_THAT(counters(batch), ::testing::ElementsAre(10'000, 0, 0, 0, 0, 0));
  EXPECT_EQ(count("SELECT COUNT(*) FROM job_payload"), 10'000);
  const auto claimed = *store_->claim(std::span(refs).first(6), "w", soon());
  ASSERT_THAT(claimed, SizeIs(6));
  std::vector<Ending> endings;
  for (int i = 0; i < 3; ++i) endings.push_back({claimed[i].ref, "w", Succeeded{{"x", "", "stop", 1, 1}}});
  endings.push_back({claimed[3].ref, "w", Failed{{"c", "m", "t", ""}, true}});
  endings.push_back({claimed[4].ref, "w", Failed{{"c", "m", "t", ""}, false}});
  ASSERT_TRUE(store_->finish(endings, soon()).has_value());
  ASSERT_TRUE(store_->cancel(kTenant, claimed[5].ref.id, soon()).has_value());
  EXPECT_THAT(counters(batch), ::testing::ElementsAre(10'000, 3, 1, 0, 1, 0));
}

TEST_F(MysqlStore, AResultThatTheDatabaseRefusesFailsOnlyItsOwnJob) {
  const BatchId batch = ids_->make<BatchId>(0);
  const auto refs = submit_batch(batch, 5);
  const auto claimed = *store_->claim(refs, "w", soon());
  std::vector<Ending> endings;
  for (const auto& job : claimed) endings.push_back({job.ref, "w", Succeeded{{"fine", "", "stop", 1, 1}}});
  std::get<Succeeded>(endings[3].how).result.finish_reason = std::string(100, 'x');  // VARCHAR(16)
  const auto results = *store_->finish(endings, soon());
  for (std::size_t i = 0; i < results.size(); ++i) {
    ASSERT_EQ(results[i].outcome, EndingOutcome::kEnded) << i;
    EXPECT_EQ(results[i].job->state, i == 3 ? JobState::kFailed : JobState::kSucceeded);
  }
  EXPECT_EQ(results[3].job->error->code, "result_not_storable");
  EXPECT_THAT(counters(batch), ::testing::ElementsAre(5, 4, 1, 0, 0, 0));
}

TEST_F(MysqlStore, ADeadJobLeavesADeadLetterAndItsAttempts) {
  const auto refs = submit_batch(ids_->make<BatchId>(0), 2);
  for (int attempt = 0; attempt < 5; ++attempt) {
    std::vector<TaskRef> tasks = {refs[0], refs[1]};
    for (auto& task : tasks) task.attempt = attempt;
    std::vector<Ending> endings;
    const auto claimed = *store_->claim(tasks, "w", soon());
    for (const auto& job : claimed) {
      endings.push_back(
          {job.ref, "w",
           Failed{{"engine_error", "job " + job.ref.id.value + " at 0x12ab", "server_error", ""}, false}});
    }
    ASSERT_THAT(endings, SizeIs(2));
    ASSERT_TRUE(store_->finish(endings, soon()).has_value());
  }
  EXPECT_EQ(count("SELECT COUNT(*) FROM dead_letter WHERE reason = 'attempts'"), 2);
  EXPECT_EQ(count("SELECT COUNT(DISTINCT fingerprint) FROM dead_letter"), 1);
  EXPECT_EQ(count("SELECT COUNT(*) FROM job_attempt WHERE worker_id = 'w'"), 10);
}

TEST_F(MysqlStore, AnEndIsNotBeforeItsStartWhateverTheClockSays) {
  const auto refs = submit_batch(ids_->make<BatchId>(0), 3);
  const auto claimed = *store_->claim(refs, "w", soon());
  ASSERT_THAT(claimed, SizeIs(3));
  // As if it had been set back since, or the job had been started while its end waited for it.
  database_->execute("UPDATE job SET started_at = UTC_TIMESTAMP(6) + INTERVAL 60 SECOND");
  const std::vector<Ending> endings = {{claimed[0].ref, "w", Succeeded{{"x", "", "stop", 1, 1}}},
                                       {claimed[1].ref, "w", Failed{{"c", "m", "t", ""}, true}}};
  const auto ended = store_->finish(endings, soon());
  ASSERT_TRUE(ended);
  for (const auto& one : *ended) EXPECT_EQ(one.job->finished_us, one.job->started_us);
  ASSERT_TRUE(store_->cancel(kTenant, claimed[2].ref.id, soon()));
  EXPECT_EQ(count("SELECT COUNT(*) FROM job WHERE finished_at = started_at"), 3);
}

TEST_F(MysqlStore, ManyWorkersClaimingTheSameTasksStartEachJobOnce) {
  const auto refs = submit_batch(ids_->make<BatchId>(0), 400);
  std::atomic<int> started{0};
  std::atomic<int> ended{0};
  std::vector<std::thread> workers;
  for (int w = 0; w < 4; ++w) {
    workers.emplace_back([&, w] {
      const std::string name = "w" + std::to_string(w);
      for (std::size_t at = 0; at < refs.size(); at += 25) {
        std::vector<TaskRef> tasks(refs.begin() + at, refs.begin() + at + 25);
        if (w % 2 == 1) std::reverse(tasks.begin(), tasks.end());
        const auto claimed = store_->claim(tasks, name, soon());
        ASSERT_TRUE(claimed.has_value()) << claimed.error().message;
        started += static_cast<int>(claimed->size());
        std::vector<Ending> endings;
        for (const auto& job : *claimed)
          endings.push_back({job.ref, name, Succeeded{{"x", "", "stop", 1, 1}}});
        const auto results = store_->finish(endings, soon());
        ASSERT_TRUE(results.has_value()) << results.error().message;
        for (const auto& result : *results) ended += result.outcome == EndingOutcome::kEnded;
      }
    });
  }
  for (auto& worker : workers) worker.join();
  EXPECT_EQ(started, 400);
  EXPECT_EQ(ended, 400);
  EXPECT_EQ(count("SELECT COUNT(*) FROM event"), 400);
  EXPECT_EQ(count("SELECT succeeded FROM batch"), 400);
}

TEST_F(MysqlStore, ARefusedSubmitLeavesNothingBehind) {
  std::vector<Submission> submissions(1);
  const BatchId batch = ids_->make<BatchId>(0);
  submissions[0].batch = NewBatch{batch, 2};
  submissions[0].jobs = {new_job(batch), new_job(batch)};
  submissions[0].jobs[1].job.model = std::string(300, 'm');
  EXPECT_EQ(store_->submit(submissions, soon())[0].error().code, ErrorCode::kInvalid);
  EXPECT_EQ(count("SELECT COUNT(*) FROM job"), 0);
  EXPECT_EQ(count("SELECT COUNT(*) FROM job_payload"), 0);
  EXPECT_EQ(count("SELECT COUNT(*) FROM batch"), 0);
}

TEST_F(MysqlStore, SubmittingTheSameIdsTwiceIsAConflict) {
  std::vector<Submission> submissions(1);
  submissions[0].jobs = {new_job()};
  ASSERT_TRUE(store_->submit(submissions, soon())[0].has_value());
  EXPECT_EQ(store_->submit(submissions, soon())[0].error().code, ErrorCode::kConflict);
  EXPECT_EQ(count("SELECT COUNT(*) FROM job"), 1);
}

TEST_F(MysqlStore, AShardHasOneOwnerUntilItsLeaseLapses) {
  MysqlShardLeases leases(database_->pool());
  EXPECT_THAT(*leases.renew("dispatch", "a", milliseconds(60'000), soon()), SizeIs(16));
  EXPECT_THAT(*leases.renew("dispatch", "b", milliseconds(60'000), soon()), SizeIs(0));
  EXPECT_THAT(*leases.renew("relay", "b", milliseconds(60'000), soon()), SizeIs(16));
  const auto fence = leases.renew("dispatch", "a", milliseconds(60'000), soon())->front().fence;
  ASSERT_TRUE(leases.release("dispatch", "a", soon()).has_value());
  const auto taken = *leases.renew("dispatch", "b", milliseconds(60'000), soon());
  ASSERT_THAT(taken, SizeIs(16));
  EXPECT_GT(taken.front().fence, fence);
  EXPECT_THAT(*leases.renew("dispatch", "a", milliseconds(60'000), soon()), SizeIs(0));
}

}  // namespace
}  // namespace sluice
