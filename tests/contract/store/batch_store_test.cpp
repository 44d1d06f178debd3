// What is promised of batches that come as files, asked of the real database.
#include "common/store/batch_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>

#include "common/store/batch_closing.h"
#include "common/store/batch_work.h"
#include "common/store/file_writer.h"
#include "common/store/mysql_file_store.h"
#include "tests/contract/store/store_world.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::kTenant;
using testing::kWorker;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr milliseconds kHold{30'000};

class BatchTest : public testing::StoreContract<testing::MysqlWorld> {
 protected:
  void SetUp() override {
    StoreContract::SetUp();
    if (IsSkipped()) return;
    MysqlPool& pool = database().pool();
    batches_.emplace(pool);
    work_.emplace(pool, ids_, JobRules{});
    closing_.emplace(pool, ids_);
    files_.emplace(pool);
  }
  static testing::MysqlDatabase& database() { return *testing::MysqlDatabase::instance(); }

  FileBatch create(std::int64_t window_s = 3'600, const TenantId& tenant = kTenant, FileId input = {}) {
    NewFileBatch asked;
    asked.id = ids_.make<BatchId>(shard_of_tenant(tenant));
    asked.tenant = tenant;
    asked.endpoint = "/v1/chat/completions";
    asked.input_file_id = input.empty() ? ids_.make<FileId>(shard_of_tenant(tenant)) : input;
    asked.window = "1h";
    asked.window_s = window_s;
    asked.metadata_json = R"({"team":"ü"})";
    const auto made = batches_->create(asked, std::nullopt, soon());
    EXPECT_TRUE(made.has_value());
    return made.value_or(FileBatch{});
  }
  FileBatch get(const FileBatch& batch) {
    const auto found = batches_->get(kTenant, batch.asked.id, soon());
    EXPECT_TRUE(found.has_value());
    return found.value_or(FileBatch{});
  }
  NewLine new_line(const FileBatch& batch, std::int64_t line_no) {
    NewLine line;
    line.line_no = line_no;
    line.custom_id = "request-" + std::to_string(line_no);
    line.job = new_job();
    line.job.job.batch_id = batch.asked.id;
    line.job.job.priority = Priority::kLow;
    return line;
  }
  // Lines `first` to `last` become jobs.
  std::vector<JobId> add(const FileBatch& batch, int first, int last) {
    std::vector<NewLine> lines;
    std::vector<JobId> jobs;
    for (int i = first; i <= last; ++i) {
      lines.push_back(new_line(batch, i));
      jobs.push_back(lines.back().job.job.id);
    }
    const auto added =
        work_->add_lines(get(batch), lines, {last + 1, static_cast<std::uint64_t>(last) * 100}, soon());
    EXPECT_TRUE(added.has_value());
    return jobs;
  }
  void accept(const FileBatch& batch, int lines) {
    ASSERT_TRUE(work_->accept(batch.asked.id, lines, soon()).has_value());
  }
  void run(const JobId& id, bool well = true, std::int64_t generation = 1) {
    const auto claimed = claim(id, 0, kWorker, generation);
    ASSERT_THAT(claimed, SizeIs(1));
    if (well) {
      succeed(claimed[0].ref);
    } else {
      fail_with(claimed[0].ref, true);
    }
  }
  std::vector<std::string> ended(const FileBatch& batch, LineKind kind = LineKind::kAll) {
    std::vector<std::string> out;
    const auto lines = batches_->ended_lines(batch.asked.id, kind, 0, 100, soon());
    for (const EndedLine& line : lines->lines) {
      out.push_back(std::to_string(line.seq) + " " + line.custom_id + " " +
                    std::string(job_state_name(line.job.state)));
    }
    return out;
  }
  std::optional<ClosingBatch> claim_closing() {
    const auto claimed = closing_->claim(kHold, soon());
    EXPECT_TRUE(claimed.has_value());
    return claimed.value_or(std::nullopt);
  }
  WrittenFile write(const FileId& id) {
    const NewFile file{id, kTenant, "batch_output", "out.jsonl", std::nullopt};
    auto writer = FileWriter::open(*files_, file, soon());
    EXPECT_TRUE(writer->write("{}\n", soon()).has_value());
    EXPECT_TRUE(writer->flush(soon()).has_value());
    return {file, writer->bytes()};
  }
  // Closes it with both files; nothing: it was not to be had.
  std::optional<BatchStatus> close() {
    const auto claimed = claim_closing();
    if (!claimed) return std::nullopt;
    const auto status =
        closing_->close(*claimed, write(claimed->output_id), write(claimed->error_id), soon());
    EXPECT_TRUE(status.has_value());
    return *status;
  }
  JobStore& jobs_store() { return world_->jobs(); }
  int jobs_expired() { return jobs_store().expire_due(100, soon()).value_or(-1); }
  std::vector<std::string> batch_events(const FileBatch& batch) {
    return event_types(JobId{batch.asked.id.value});
  }

  std::optional<BatchStore> batches_;
  std::optional<BatchWork> work_;
  std::optional<BatchClosing> closing_;
  std::optional<MysqlFileStore> files_;
};

TEST_F(BatchTest, LinesEndInOrderAndTheBatchWithTheLastOfThem) {
  const FileBatch batch = create();
  EXPECT_EQ(batch.status, BatchStatus::kValidating);
  EXPECT_EQ(batch.asked.metadata_json, R"({"team":"ü"})");
  EXPECT_EQ(batch.expires_us - batch.created_us, 3'600'000'000);
  accept(batch, 3);
  const auto jobs = add(batch, 1, 3);
  EXPECT_FALSE(claim_closing().has_value());

  run(jobs[2]);
  run(jobs[0], false);
  EXPECT_THAT(ended(batch), ElementsAre("1 request-3 succeeded", "2 request-1 failed"));
  FileBatch now = get(batch);
  EXPECT_EQ(now.status, BatchStatus::kInProgress);
  EXPECT_EQ(now.open_lines, 1);
  EXPECT_EQ(now.succeeded, 1);
  EXPECT_EQ(now.not_succeeded, 1);
  EXPECT_FALSE(claim_closing().has_value());
  run(jobs[1]);
  EXPECT_THAT(ended(batch, LineKind::kSucceeded),
              ElementsAre("1 request-3 succeeded", "3 request-2 succeeded"));
  EXPECT_THAT(ended(batch, LineKind::kOthers), ElementsAre("2 request-1 failed"));
  // The batch has an event; its lines have none.
  for (const JobId& id : jobs) EXPECT_THAT(event_types(id), IsEmpty());

  const auto claimed = claim_closing();
  ASSERT_TRUE(claimed.has_value());
  EXPECT_EQ(claimed->batch.status, BatchStatus::kFinalizing);
  EXPECT_FALSE(claim_closing().has_value());  // It is held.
  const auto output = write(claimed->output_id);
  EXPECT_FALSE(files_->get(kTenant, claimed->output_id, soon()).has_value());
  ASSERT_EQ(closing_->close(*claimed, output, std::nullopt, soon()), BatchStatus::kCompleted);
  now = get(batch);
  EXPECT_EQ(now.output_file_id, claimed->output_id);
  EXPECT_TRUE(now.error_file_id.empty());
  EXPECT_TRUE(files_->get(kTenant, claimed->output_id, soon()).has_value());
  EXPECT_THAT(batch_events(batch), ElementsAre("batch.completed"));
  EXPECT_EQ(now.usage.prompt_tokens, 14);
  EXPECT_EQ(now.usage.cached_tokens, 10);
  EXPECT_EQ(now.usage.completion_tokens, 6);
  EXPECT_GE(now.completed_us, now.finalizing_us);
  EXPECT_FALSE(closing_->close(*claimed, output, std::nullopt, soon()).has_value());
  EXPECT_THAT(*work_->due(all_shards(), false, 10, soon()), IsEmpty());
}

TEST_F(BatchTest, ALineWithACallbackOfItsOwnTellsOfItsEnd) {
  const FileBatch batch = create();
  accept(batch, 2);
  std::vector<NewLine> lines = {new_line(batch, 1), new_line(batch, 2)};
  lines[0].job.job.callback_url = "https://example.com/hook";
  ASSERT_TRUE(work_->add_lines(get(batch), lines, {3, 200}, soon()).has_value());
  run(lines[0].job.job.id);
  run(lines[1].job.job.id);
  EXPECT_THAT(event_types(lines[0].job.job.id), ElementsAre("job.succeeded"));
  EXPECT_THAT(event_types(lines[1].job.job.id), IsEmpty());
}

TEST_F(BatchTest, ProgressIsWrittenOnceHoweverOftenAStepIsMade) {
  const FileBatch batch = create();
  accept(batch, 4);
  EXPECT_EQ(work_->accept(batch.asked.id, 4, soon()).error().code, ErrorCode::kConflict);
  const FileBatch before = get(batch);
  add(batch, 1, 2);
  // A second reader that stood where the first one did.
  const std::vector<NewLine> again = {new_line(batch, 1)};
  EXPECT_EQ(work_->add_lines(before, again, {2, 100}, soon()).error().code, ErrorCode::kConflict);
  EXPECT_THAT(*work_->due(all_shards(), false, 10, soon()), SizeIs(1));
  add(batch, 3, 4);
  const FileBatch now = get(batch);
  EXPECT_EQ(now.lines_in, 4);
  EXPECT_EQ(now.next_line, 5);
  EXPECT_EQ(now.next_byte, 400U);
  EXPECT_THAT(*work_->due(all_shards(), false, 10, soon()), IsEmpty());
}

TEST_F(BatchTest, ARefusedFileRunsNothingAndSaysWhy) {
  const FileBatch batch = create();
  EXPECT_THAT(*work_->due(all_shards(), true, 10, soon()), SizeIs(1));
  EXPECT_THAT(*work_->due(all_shards(), false, 10, soon()), IsEmpty());
  ASSERT_TRUE(work_->refuse(batch, {7, {{"invalid_json_line", "no JSON \xff", "", 3}}}, std::nullopt, soon())
                  .has_value());
  const FileBatch now = get(batch);
  EXPECT_EQ(now.status, BatchStatus::kFailed);
  EXPECT_EQ(now.errors.count, 7);
  ASSERT_THAT(now.errors.kept, SizeIs(1));
  EXPECT_EQ(now.errors.kept[0].line, 3);
  EXPECT_THAT(batch_events(batch), ElementsAre("batch.failed"));
  EXPECT_EQ(batches_->retry(kTenant, batch.asked.id, soon()).error().code, ErrorCode::kConflict);
}

TEST_F(BatchTest, ALineThatIsNoLongerGoodEndsAsItGoesIn) {
  const FileBatch batch = create();
  accept(batch, 1);
  NewLine line = new_line(batch, 1);
  line.refused = JobError{"model_not_found", "gone", "invalid_request_error", "body.model"};
  line.job.request_json = "{}";
  ASSERT_TRUE(work_->add_lines(get(batch), std::span(&line, 1), {2, 100}, soon()).has_value());
  EXPECT_THAT(ended(batch), ElementsAre("1 request-1 failed"));
  EXPECT_EQ(close(), BatchStatus::kCompleted);
  // Nothing is kept that could run again.
  ASSERT_TRUE(batches_->retry(kTenant, batch.asked.id, soon()).has_value());
  EXPECT_EQ(work_->retry_some(get(batch), 10, soon()), true);
  EXPECT_THAT(ended(batch), ElementsAre("1 request-1 failed"));
  EXPECT_EQ(close(), BatchStatus::kCompleted);
}

TEST_F(BatchTest, CancellingReachesLinesThatAreNoJobsYet) {
  const FileBatch batch = create();
  accept(batch, 4);
  const auto jobs = add(batch, 1, 2);
  run(jobs[0]);
  claim(jobs[1]);
  for (int i = 0; i < 2; ++i) {
    const auto cancelled = batches_->cancel(kTenant, batch.asked.id, soon());
    ASSERT_TRUE(cancelled.has_value());
    EXPECT_EQ(cancelled->status, BatchStatus::kCancelling);
  }
  // These need not wait for anybody to cancel them.
  for (const JobId& id : add(batch, 3, 4)) EXPECT_EQ(read(id).state, JobState::kCancelled);
  JobId from;
  EXPECT_EQ(work_->cancel_some(get(batch), from, 2, soon()), false);
  EXPECT_EQ(from, jobs[1]);
  // A closer that is at work already keeps its claim.
  const auto closer = claim_closing();
  ASSERT_TRUE(closer.has_value());
  EXPECT_EQ(work_->cancel_some(get(batch), from, 2, soon()), true);
  EXPECT_FALSE(claim_closing().has_value());
  ASSERT_TRUE(closing_->release(*closer, soon()).has_value());
  EXPECT_EQ(close(), BatchStatus::kCancelled);
  const FileBatch now = get(batch);
  EXPECT_EQ(now.lines_total, 4);
  EXPECT_EQ(now.succeeded, 1);
  EXPECT_EQ(now.not_succeeded, 3);
  EXPECT_THAT(ended(batch, LineKind::kOthers), SizeIs(3));
  EXPECT_THAT(batch_events(batch), ElementsAre("batch.cancelled"));
  EXPECT_EQ(batches_->cancel(kTenant, batch.asked.id, soon())->status, BatchStatus::kCancelled);
}

TEST_F(BatchTest, ABatchThatIsCancelledBeforeItsFileWasCheckedHasNoLines) {
  const FileBatch batch = create();
  ASSERT_TRUE(batches_->cancel(kTenant, batch.asked.id, soon()).has_value());
  EXPECT_EQ(work_->accept(batch.asked.id, 4, soon()).error().code, ErrorCode::kConflict);
  EXPECT_EQ(work_->refuse(batch, {1, {{"x", "x", "", 1}}}, std::nullopt, soon()).error().code,
            ErrorCode::kConflict);
  JobId from;
  EXPECT_EQ(work_->cancel_some(get(batch), from, 10, soon()), true);
  EXPECT_EQ(get(batch).status, BatchStatus::kCancelled);
  EXPECT_THAT(batch_events(batch), ElementsAre("batch.cancelled"));
}

TEST_F(BatchTest, LinesExpireWithTheirBatch) {
  const FileBatch batch = create(2);
  accept(batch, 2);
  const auto jobs = add(batch, 1, 2);
  run(jobs[0]);
  EXPECT_LE(read(jobs[1]).expires_us, batch.expires_us);
  advance(seconds(5));
  ASSERT_EQ(jobs_expired(), 1);
  EXPECT_EQ(close(), BatchStatus::kExpired);
  EXPECT_THAT(ended(batch), ElementsAre("1 request-1 succeeded", "2 request-2 expired"));
  EXPECT_THAT(batch_events(batch), ElementsAre("batch.expired"));
}

TEST_F(BatchTest, ARetryRunsWhatDidNotSucceedAsAFurtherRevision) {
  const FileBatch batch = create();
  accept(batch, 3);
  const auto jobs = add(batch, 1, 3);
  run(jobs[0], false);
  run(jobs[1]);
  ASSERT_TRUE(jobs_store().cancel(kTenant, jobs[2], soon()).has_value());
  EXPECT_EQ(batches_->retry(kTenant, batch.asked.id, soon()).error().code, ErrorCode::kConflict);
  EXPECT_EQ(close(), BatchStatus::kCompleted);
  const FileId first_output = get(batch).output_file_id;

  const auto retried = batches_->retry(kTenant, batch.asked.id, soon());
  ASSERT_TRUE(retried.has_value());
  EXPECT_EQ(retried->revision, 2);
  EXPECT_EQ(retried->status, BatchStatus::kInProgress);
  // Nothing is open yet, and it does not count as ended: the lines come first.
  EXPECT_FALSE(claim_closing().has_value());
  EXPECT_EQ(work_->retry_some(get(batch), 2, soon()), false);
  const bool first_is_early = read(jobs[0]).state == JobState::kQueued;
  if (first_is_early) run(jobs[0], true, 2);
  EXPECT_FALSE(claim_closing().has_value());
  EXPECT_EQ(work_->retry_some(get(batch), 2, soon()), true);
  FileBatch now = get(batch);
  EXPECT_EQ(now.open_lines, first_is_early ? 1 : 2);
  if (!first_is_early) run(jobs[0], true, 2);
  run(jobs[2], false, 2);
  // What had succeeded stands where it stood.
  EXPECT_THAT(ended(batch),
              ElementsAre("2 request-2 succeeded", "4 request-1 succeeded", "5 request-3 failed"));
  EXPECT_EQ(close(), BatchStatus::kCompleted);
  now = get(batch);
  EXPECT_NE(now.output_file_id, first_output);
  EXPECT_TRUE(files_->get(kTenant, first_output, soon()).has_value());
  EXPECT_EQ(now.succeeded, 2);
  EXPECT_EQ(now.not_succeeded, 1);
  EXPECT_THAT(batch_events(batch), ElementsAre("batch.completed", "batch.completed"));
}

TEST_F(BatchTest, ARedriveWhileTheFilesAreMadeMakesThemAnew) {
  const FileBatch batch = create();
  accept(batch, 1);
  const auto jobs = add(batch, 1, 1);
  run(jobs[0], false);
  const auto claimed = claim_closing();
  ASSERT_TRUE(claimed.has_value());
  const auto redrive = [&] {
    NewOperation asked;
    asked.kind = OperationKind::kRedrive;
    ASSERT_TRUE(world_->operations().start_operation(asked, Actor{kTenant, "key"}, soon()).has_value());
    ASSERT_EQ(world_->operations().step_operation(soon())->redriven, 1);
  };
  redrive();
  EXPECT_EQ(closing_->keep(*claimed, kHold, soon()).error().code, ErrorCode::kConflict);
  EXPECT_EQ(closing_->close(*claimed, std::nullopt, std::nullopt, soon()).error().code, ErrorCode::kConflict);
  EXPECT_EQ(get(batch).status, BatchStatus::kInProgress);
  EXPECT_EQ(get(batch).revision, 1);  // Nothing of it was published.
  run(jobs[0], false, 2);
  EXPECT_EQ(close(), BatchStatus::kCompleted);

  redrive();
  EXPECT_EQ(get(batch).revision, 2);
  EXPECT_EQ(get(batch).status, BatchStatus::kInProgress);
  run(jobs[0], true, 3);
  EXPECT_EQ(close(), BatchStatus::kCompleted);
  EXPECT_EQ(get(batch).succeeded, 1);
  EXPECT_EQ(get(batch).not_succeeded, 0);
}

TEST_F(BatchTest, ALostClosersBatchIsClosedUnderOtherIds) {
  const FileBatch batch = create();
  accept(batch, 1);
  run(add(batch, 1, 1)[0]);
  const auto lost = closing_->claim(milliseconds(0), soon());
  ASSERT_TRUE(lost.has_value() && lost->has_value());
  const auto claimed = claim_closing();
  ASSERT_TRUE(claimed.has_value());
  EXPECT_EQ(claimed->abandoned_output_id, (*lost)->output_id);
  EXPECT_NE(claimed->output_id, (*lost)->output_id);
  EXPECT_EQ(closing_->close(**lost, std::nullopt, std::nullopt, soon()).error().code, ErrorCode::kConflict);
  EXPECT_TRUE(closing_->keep(*claimed, kHold, soon()).has_value());
  EXPECT_TRUE(closing_->close(*claimed, write(claimed->output_id), std::nullopt, soon()).has_value());
  EXPECT_THAT(batch_events(batch), SizeIs(1));
}

TEST_F(BatchTest, OfAPausedBatchNothingIsStarted) {
  const FileBatch batch = create();
  accept(batch, 1);
  const auto jobs = add(batch, 1, 1);
  EXPECT_THAT(due(Priority::kLow), SizeIs(1));
  EXPECT_TRUE(batches_->set_paused(kTenant, batch.asked.id, true, soon())->paused);
  EXPECT_THAT(due(Priority::kLow), IsEmpty());
  EXPECT_THAT(claim(jobs[0]), IsEmpty());
  EXPECT_FALSE(batches_->set_paused(kTenant, batch.asked.id, false, soon())->paused);
  EXPECT_THAT(due(Priority::kLow), SizeIs(1));
  run(jobs[0]);
  close();
  EXPECT_EQ(batches_->set_paused(kTenant, batch.asked.id, true, soon()).error().code, ErrorCode::kConflict);
}

TEST_F(BatchTest, LinesOfAPausedBatchAreNotEvenLookedAt) {
  const FileBatch batch = create();
  accept(batch, 4);
  add(batch, 1, 3);
  ASSERT_TRUE(batches_->set_paused(kTenant, batch.asked.id, true, soon()).has_value());
  EXPECT_EQ(work_->move_some(get(batch), 2, soon()), false);
  add(batch, 4, 4);
  EXPECT_THAT(*work_->due(all_shards(), false, 10, soon()), SizeIs(1));  // It is not through yet.
  const FileBatch stale = get(batch);
  EXPECT_EQ(work_->move_some(stale, 2, soon()), false);
  EXPECT_EQ(work_->move_some(stale, 2, soon()).error().code, ErrorCode::kConflict);
  EXPECT_EQ(work_->move_some(get(batch), 2, soon()), true);
  EXPECT_THAT(*work_->due(all_shards(), false, 10, soon()), IsEmpty());
  // Not because the batch is paused: nothing is due.
  database().execute("UPDATE file_batch SET paused_at = NULL WHERE id = '" + batch.asked.id.value + "'");
  EXPECT_THAT(due(Priority::kLow), IsEmpty());
  ASSERT_TRUE(batches_->set_paused(kTenant, batch.asked.id, false, soon()).has_value());
  EXPECT_EQ(work_->move_some(get(batch), 10, soon()), true);
  EXPECT_THAT(due(Priority::kLow), SizeIs(4));
}

TEST_F(BatchTest, AFileThatIsLostLeavesTheLinesThatAreIn) {
  const FileBatch batch = create();
  accept(batch, 5);
  run(add(batch, 1, 1)[0]);
  ASSERT_TRUE(work_->lose_input(get(batch), {"input_file_gone", "gone", "", 0}, soon()).has_value());
  EXPECT_EQ(close(), BatchStatus::kFailed);
  EXPECT_EQ(get(batch).lines_total, 1);
  EXPECT_EQ(get(batch).errors.count, 1);
}

TEST_F(BatchTest, AFileIsKeptUntilAllItsLinesAreIn) {
  FileRules rules;
  rules.held_for = seconds(0);
  MysqlFileStore sweeping(database().pool(), rules);
  rules.reads_removed = true;
  MysqlFileStore inputs(database().pool(), rules);
  const FileId input = write(ids_.make<FileId>(shard_of_tenant(kTenant))).file.id;
  ASSERT_TRUE(files_->finish({input, kTenant, "batch", "in.jsonl", std::nullopt}, 3, soon()).has_value());
  const FileBatch batch = create(3'600, kTenant, input);
  ASSERT_TRUE(files_->remove(kTenant, input, soon()).has_value());
  const auto readable = [&] {
    EXPECT_TRUE(sweeping.sweep(all_shards(), soon()).has_value());
    return inputs.read(kTenant, input, 0, 10, soon()) == "{}\n";
  };
  EXPECT_TRUE(readable());
  accept(batch, 2);
  add(batch, 1, 1);
  EXPECT_TRUE(readable());
  EXPECT_EQ(files_->read(kTenant, input, 0, 10, soon()).error().code, ErrorCode::kNotFound);
  // Nobody can begin another batch with it.
  NewFileBatch second = batch.asked;
  second.id = ids_.make<BatchId>(shard_of_tenant(kTenant));
  EXPECT_EQ(batches_->create(second, std::nullopt, soon()).error().code, ErrorCode::kNotFound);
  add(batch, 2, 2);
  EXPECT_FALSE(readable());
}

TEST_F(BatchTest, AKeyMakesOneBatchAndACommitMayBeRepeated) {
  const FileBatch first = create();
  const IdempotencyClaim claim{std::string(64, 'a'), std::string(64, 'b'), 60};
  NewFileBatch asked = first.asked;
  asked.id = ids_.make<BatchId>(shard_of_tenant(kTenant));
  ASSERT_TRUE(batches_->create(asked, claim, soon()).has_value());
  EXPECT_EQ(batches_->create(asked, claim, soon())->asked.id, asked.id)
      << "its own commit, whose answer was lost";
  NewFileBatch second = first.asked;
  second.id = ids_.make<BatchId>(shard_of_tenant(kTenant));
  EXPECT_EQ(batches_->create(second, claim, soon()).error().code, ErrorCode::kConflict);
  EXPECT_EQ(batches_->get(kTenant, second.id, soon()).error().code, ErrorCode::kNotFound);
}

TEST_F(BatchTest, PagesOfLinesAreBoundedInBytesAndSayHowFarTheyLooked) {
  const FileBatch batch = create();
  accept(batch, 3);
  const auto jobs = add(batch, 1, 3);
  for (const JobId& id : jobs) run(id);
  const auto page = [&](LineKind kind, std::int64_t after, int limit, std::int64_t bytes) {
    const auto found = batches_->ended_lines(batch.asked.id, kind, after, limit, soon(), bytes);
    return std::tuple(found->lines.size(), found->looked_to, found->all);
  };
  EXPECT_EQ(page(LineKind::kAll, 0, 10, 1'000'000), std::tuple(3U, 3, true));
  EXPECT_EQ(page(LineKind::kAll, 0, 10, 1), std::tuple(1U, 1, false));
  EXPECT_EQ(page(LineKind::kAll, 2, 10, 1), std::tuple(1U, 3, true));
  EXPECT_EQ(page(LineKind::kAll, 0, 2, 1'000'000), std::tuple(2U, 2, false));
  // Nothing to tell, and the next question need not look at these again.
  EXPECT_EQ(page(LineKind::kOthers, 0, 10, 1'000'000), std::tuple(0U, 3, true));
}

TEST_F(BatchTest, ALineWithoutItsRowHoldsUpNobody) {
  const FileBatch batch = create();
  accept(batch, 2);
  const auto jobs = add(batch, 1, 2);
  database().execute("DELETE FROM batch_line WHERE job_id = '" + jobs[0].value + "'");
  run(jobs[0]);
  run(jobs[1]);
  EXPECT_EQ(read(jobs[0]).state, JobState::kSucceeded);
  EXPECT_THAT(ended(batch), ElementsAre("2 request-2 succeeded"));
}

TEST_F(BatchTest, OneFileOfEachTenantIsCheckedAtATime) {
  const FileBatch first = create();
  const FileBatch second = create();
  const FileBatch other = create(60, TenantId{"other"});
  const auto due = [this] {
    std::vector<BatchId> ids;
    const auto found = work_->due(all_shards(), true, 10, soon());
    for (const FileBatch& batch : *found) ids.push_back(batch.asked.id);
    return ids;
  };
  EXPECT_THAT(due(), UnorderedElementsAre(first.asked.id, other.asked.id));
  accept(first, 1);
  EXPECT_THAT(due(), UnorderedElementsAre(second.asked.id, other.asked.id));
}

TEST_F(BatchTest, TheReportOfARefusedFileAppearsWithItsRefusal) {
  const FileBatch batch = create();
  const WrittenFile report = write(ids_.make<FileId>(shard_of_tenant(kTenant)));
  ASSERT_TRUE(work_->refuse(batch, {2, {{"x", "x", "", 1}}}, report, soon()).has_value());
  EXPECT_EQ(get(batch).error_file_id, report.file.id);
  EXPECT_TRUE(files_->get(kTenant, report.file.id, soon()).has_value());
}

TEST_F(BatchTest, TenantsSeeTheirOwnBatchesFromNewToOld) {
  const FileBatch first = create();
  const FileBatch second = create();
  const FileBatch third = create();
  const FileBatch other = create(60, TenantId{"other"});
  const auto list = [this](const BatchId& after, int limit) {
    std::vector<std::string> ids;
    const auto found = batches_->list(kTenant, after, limit, soon());
    for (const FileBatch& batch : *found) {
      ids.push_back(batch.asked.id.value);
    }
    return ids;
  };
  EXPECT_THAT(list({}, 2), ElementsAre(third.asked.id.value, second.asked.id.value));
  EXPECT_THAT(list(second.asked.id, 2), ElementsAre(first.asked.id.value));
  for (const auto& answer :
       {batches_->get(kTenant, other.asked.id, soon()), batches_->cancel(kTenant, other.asked.id, soon()),
        batches_->retry(kTenant, other.asked.id, soon()),
        batches_->set_paused(kTenant, other.asked.id, true, soon())}) {
    EXPECT_EQ(answer.error().code, ErrorCode::kNotFound);
  }
}

}  // namespace
}  // namespace sluice
