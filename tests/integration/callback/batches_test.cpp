// A batch whose lines have ended is closed once, in whichever window its closer is killed.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "common/store/batch_store.h"
#include "common/store/batch_work.h"
#include "common/store/mysql_file_store.h"
#include "tests/integration/callback/world.h"

namespace sluice::testing {
namespace {

const TenantId kTenant{"acme"};

class ClosingBatches : public CallbackWorld {
 protected:
  // A batch of three lines that have ended, the second of them badly; they are told so many together, or not
  // at all.
  BatchId ended_batch(const std::string& callback_url, int callback_lines = 0) {
    MysqlPool& pool = database_->pool();
    const int shard = shard_of_tenant(kTenant);
    NewFileBatch asked;
    asked.id = ids_->make<BatchId>(shard);
    asked.tenant = kTenant;
    asked.endpoint = "/v1/chat/completions";
    asked.input_file_id = ids_->make<FileId>(shard);
    asked.window = "1h";
    asked.window_s = 3'600;
    asked.callback_url = callback_url;
    asked.callback_lines = callback_lines;
    asked.callback_seconds = callback_lines == 0 ? 0 : 3'600;
    EXPECT_TRUE(BatchStore(pool).create(asked, std::nullopt, soon()));
    BatchWork work(pool, *ids_, JobRules{});
    EXPECT_TRUE(work.accept(asked.id, 3, soon()));
    std::vector<NewLine> lines(3);
    for (int i = 0; i < 3; ++i) {
      NewLine& line = lines[static_cast<std::size_t>(i)];
      line.line_no = i + 1;
      line.custom_id = "request-" + std::to_string(i + 1);
      line.job.job.id = ids_->make<JobId>(shard);
      line.job.job.tenant = kTenant;
      line.job.job.batch_id = asked.id;
      line.job.job.model = "m";
      line.job.job.surface = Surface::kChat;
      if (callback_lines > 0) line.job.job.callback_url = callback_url;
      line.job.request_json = R"({"prompt":"x"})";
    }
    const auto batch = BatchStore(pool).get(kTenant, asked.id, soon());
    EXPECT_TRUE(work.add_lines(*batch, lines, {4, 300}, soon()));
    for (const NewLine& line : lines) {
      const TaskRef ref{line.job.job.id, 1, 0};
      EXPECT_EQ(jobs_->claim(std::span(&ref, 1), "w", soon())->size(), 1u);
      Ending ending{{ref.id, 1, 1}, "w", Succeeded{JobResult{"42", "", "stop", 1, 1}}};
      if (line.line_no == 2) ending.how = Failed{JobError{"bad", "no", "invalid_request_error", ""}, true};
      EXPECT_EQ(jobs_->finish(std::span(&ending, 1), soon())->front().outcome, EndingOutcome::kEnded);
    }
    return asked.id;
  }
  FileBatch batch(const BatchId& id) { return *BatchStore(database_->pool()).get(kTenant, id, soon()); }
  std::vector<std::string> custom_ids(const FileId& id) {
    const auto text = MysqlFileStore(database_->pool()).read(kTenant, id, 0, kFileChunkBytesMax, soon());
    EXPECT_TRUE(text.has_value());
    std::vector<std::string> out;
    std::size_t at = 0;
    while (text && at < text->size()) {
      const std::size_t end = text->find('\n', at);
      out.push_back(nlohmann::json::parse(text->substr(at, end - at)).at("custom_id"));
      at = end + 1;
    }
    return out;
  }
  void expect_closed_once(const BatchId& id, Receiver& receiver) {
    ASSERT_TRUE(eventually([&] { return is_final(batch(id).status); }));
    const FileBatch now = batch(id);
    EXPECT_EQ(now.status, BatchStatus::kCompleted);
    EXPECT_EQ(custom_ids(now.output_file_id), (std::vector<std::string>{"request-1", "request-3"}));
    EXPECT_EQ(custom_ids(now.error_file_id), (std::vector<std::string>{"request-2"}));
    FileFilter all;
    all.tenant = kTenant;
    EXPECT_EQ(MysqlFileStore(database_->pool()).list(all, soon())->size(), 2u);
    EXPECT_EQ(publish(), 1);
    ASSERT_TRUE(receiver.wait_for(1));
    const auto told = nlohmann::json::parse(receiver.requests().front().body);
    EXPECT_EQ(told["type"], "batch.completed");
    EXPECT_EQ(told["data"], (nlohmann::json{{"id", id.value}}));
    EXPECT_TRUE(signed_well(receiver.requests().front()));
  }
};

#if defined(SLUICE_FAILPOINTS)

class ClosingCrash : public ClosingBatches, public ::testing::WithParamInterface<const char*> {};

TEST_P(ClosingCrash, TheBatchIsClosedOnce) {
  Receiver receiver;
  const BatchId id = ended_batch(receiver.url());
  service_ = make_service({{"SLUICE_FAILPOINT", GetParam()}, {"SLUICE_BATCH_HOLD", "1s"}});
  ASSERT_EQ(service_->wait_end(), 128 + SIGKILL);
  start({{"SLUICE_BATCH_HOLD", "1s"}});
  expect_closed_once(id, receiver);
}

INSTANTIATE_TEST_SUITE_P(Callback, ClosingCrash,
                         ::testing::Values("callback.after_batch_claim", "callback.in_batch_files",
                                           "callback.before_batch_close", "store.batch_close_before_commit",
                                           "callback.after_batch_close"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

class TellingCrash : public ClosingBatches, public ::testing::WithParamInterface<const char*> {};

TEST_P(TellingCrash, EachLineIsInOneGroup) {
  Receiver receiver;
  const BatchId id = ended_batch(receiver.url(), 2);
  service_ = make_service({{"SLUICE_FAILPOINT", GetParam()}});
  publish();
  ASSERT_EQ(service_->wait_end(), 128 + SIGKILL);
  start({{"SLUICE_BATCH_HOLD", "1s"}});
  std::map<std::string, nlohmann::json> groups;  // By the event's id.
  const auto lines = [&] {
    std::multiset<std::string> told;
    for (const auto& request : receiver.requests()) {
      EXPECT_TRUE(signed_well(request));
      auto event = nlohmann::json::parse(request.body);
      if (event["type"] == "batch.lines") groups[request.headers.at("webhook-id")] = std::move(event);
    }
    for (const auto& [name, event] : groups) {
      EXPECT_EQ(event["data"]["batch_id"], id.value);
      EXPECT_LE(event["data"]["events"].size(), 2u);
      for (const auto& one : event["data"]["events"]) told.insert(one["data"]["id"].get<std::string>());
    }
    return told;
  };
  ASSERT_TRUE(eventually([&] { return lines().size() >= 3; }));
  const auto told = lines();
  EXPECT_EQ(told.size(), 3u);
  EXPECT_EQ(std::set<std::string>(told.begin(), told.end()).size(), 3u);
}

INSTANTIATE_TEST_SUITE_P(Callback, TellingCrash,
                         ::testing::Values("callback.before_decide", "callback.after_decide",
                                           "callback.lines_before_commit"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

#endif

TEST_F(ClosingBatches, SeveralProcessesCloseEachBatchOnce) {
  Receiver receiver;
  std::vector<BatchId> ids;
  for (int i = 0; i < 6; ++i) ids.push_back(ended_batch(""));
  start({{"SLUICE_BATCH_POLL", "10ms"}});
  const auto other = make_service({{"SLUICE_BATCH_POLL", "10ms"}});
  for (const BatchId& id : ids) {
    ASSERT_TRUE(eventually([&] { return is_final(batch(id).status); }));
    EXPECT_EQ(custom_ids(batch(id).output_file_id).size(), 2u);
  }
  FileFilter all;
  all.tenant = kTenant;
  EXPECT_EQ(MysqlFileStore(database_->pool()).list(all, soon())->size(), 12u);
  EXPECT_EQ(undecided(), 6);
}

}  // namespace
}  // namespace sluice::testing
