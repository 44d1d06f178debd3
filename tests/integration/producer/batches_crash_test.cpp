// One batch on its way through every window that a producer may be killed in.
#include <gtest/gtest.h>

#include "common/store/batch_closing.h"
#include "common/store/file_writer.h"
#include "common/store/mysql_file_store.h"
#include "tests/integration/producer/process.h"

namespace sluice::producer {
namespace {

using nlohmann::json;

#if defined(SLUICE_FAILPOINTS)

class BatchCrash : public ProducerProcess {
 protected:
  static constexpr int kLines = 5;

  std::string upload() {
    MysqlFileStore files(database_->pool());
    const TenantId tenant = files_tenant();
    const NewFile file{ids_->make<FileId>(shard_of_tenant(tenant)), tenant, "batch", "in.jsonl",
                       std::nullopt};
    auto writer = FileWriter::open(files, file, soon());
    for (int i = 1; i <= kLines; ++i) {
      const json line = {{"custom_id", std::to_string(i)},
                         {"method", "POST"},
                         {"url", "/v1/chat/completions"},
                         {"body", {{"messages", {{{"role", "user"}, {"content", "Hi"}}}}}}};
      EXPECT_TRUE(writer->write(line.dump() + "\n\n", soon()).has_value());
    }
    EXPECT_TRUE(writer->finish(soon()).has_value());
    return file.id.value;
  }
  TenantId files_tenant() {
    const auto rows = database_->pool().query(
        Sql("SELECT tenant_id FROM api_key WHERE key_hash = UNHEX(SHA2(?, 256))").bind(kKey), soon());
    return TenantId{rows->front().str(0)};
  }
  void start(const std::string& failpoint) { start_binary(failpoint, {{"BATCH_STEP_LINES", "2"}}); }
  // Dies there, and what had been done by then has been done.
  void die_at(const std::string& failpoint) {
    SCOPED_TRACE(failpoint);
    start(failpoint);
    EXPECT_EQ(wait_death(), SIGKILL);
    // Every line that is in is in once, and the row knows of it.
    EXPECT_EQ(number("SELECT COUNT(*) FROM batch_line"), number("SELECT lines_in FROM file_batch"));
    EXPECT_EQ(number("SELECT COUNT(*) FROM batch_line"), number("SELECT COUNT(*) FROM job"));
  }
  // All lines have been cancelled, and the counters say so.
  void expect_all_cancelled() {
    EXPECT_TRUE(eventually([&] { return number("SELECT work_due IS NULL FROM file_batch") == 1; }));
    EXPECT_EQ(number("SELECT open_lines FROM file_batch"), 0);
    EXPECT_EQ(number("SELECT cancelled FROM batch"), kLines);
    EXPECT_EQ(number("SELECT COUNT(DISTINCT seq) FROM batch_line"), kLines);
  }
};

TEST_F(BatchCrash, InNoWindowALineIsLostOrDoubled) {
  const json asked = {{"input_file_id", upload()}, {"endpoint", "/v1/chat/completions"}};
  start("producer.after_batch_commit");
  EXPECT_EQ(binary_client().post("/v1/batches", asked).status, 0);
  EXPECT_EQ(wait_death(), SIGKILL);
  for (const char* point :
       {"batches.in_check", "store.batch_accept_before_commit", "batches.after_accept",
        "store.batch_lines_before_commit", "batches.after_lines", "store.batch_lines_before_commit:2"}) {
    die_at(point);
  }
  start("store.batch_cancel_before_commit");
  EXPECT_TRUE(eventually([&] { return number("SELECT lines_in FROM file_batch") == kLines; }));
  EXPECT_EQ(number("SELECT COUNT(DISTINCT line_no) FROM batch_line WHERE MOD(line_no, 2) = 1"), kLines);
  const json listed = binary_client().get("/v1/batches").json;
  ASSERT_EQ(listed["data"].size(), 1u);
  EXPECT_EQ(listed["data"][0]["request_counts"]["total"], kLines);
  const std::string batch = "/v1/batches/" + listed["data"][0]["id"].get<std::string>();
  binary_client().post(batch + "/cancel", std::string());
  EXPECT_EQ(wait_death(), SIGKILL);

  start("");
  expect_all_cancelled();
  // Closed as the callback service does, but for its files.
  BatchClosing closing(database_->pool(), *ids_);
  const auto claimed = closing.claim(std::chrono::seconds(60), soon());
  ASSERT_TRUE(claimed.has_value() && claimed->has_value());
  EXPECT_EQ(closing.close(**claimed, std::nullopt, std::nullopt, soon()), BatchStatus::kCancelled);
  EXPECT_EQ(binary_client().get(batch).json["status"], "cancelled");
  stop_binary();

  start("store.batch_retry_before_commit");
  binary_client().post(batch + "/retry", std::string());
  EXPECT_EQ(wait_death(), SIGKILL);
  EXPECT_EQ(in_state("queued"), 0);
  start("batches.after_retry_step");
  EXPECT_EQ(wait_death(), SIGKILL);
  EXPECT_EQ(in_state("queued"), 2);
  start("");
  EXPECT_TRUE(eventually([&] { return number("SELECT retried_to IS NULL FROM file_batch") == 1; }));
  EXPECT_EQ(in_state("queued"), kLines);
  EXPECT_EQ(number("SELECT open_lines FROM file_batch"), kLines);
  EXPECT_EQ(number("SELECT cancelled FROM batch"), 0);
  EXPECT_EQ(number("SELECT MIN(generation) + MAX(generation) FROM job"), 4);
  stop_binary();
}

#endif

}  // namespace
}  // namespace sluice::producer
