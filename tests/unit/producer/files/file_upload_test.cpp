#include "producer/files/file_upload.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "producer/files/file_sweeper.h"
#include "producer/files/upload_slots.h"
#include "tests/support/fake_file_store.h"

namespace sluice::producer {
namespace {

// A form, and an upload that is fed with it in pieces of any size.
class FileUploadTest : public ::testing::Test {
 protected:
  static std::string field(const std::string& name, const std::string& value) {
    return "--B\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n";
  }
  static std::string file(const std::string& contents, const std::string& filename = "in.jsonl",
                          const std::string& name = "file") {
    return "--B\r\nContent-Disposition: form-data; name=\"" + name + "\"; filename=\"" + filename +
           "\"\r\nContent-Type: application/jsonl\r\n\r\n" + contents + "\r\n";
  }

  // The file, or the refusal's status, code and param.
  std::optional<FileInfo> upload(const std::string& parts, std::size_t piece = 7, char key = ' ') {
    refused_.clear();
    std::optional<FileUpload::Claim> claim;
    if (key != ' ') claim = FileUpload::Claim{{std::string(64, key), "", 60}, &claims_};
    FileUpload upload(store_, ids_.make<FileId>(1), tenant_, config_, clock_, std::move(claim));
    http::MultipartParser parser("B", upload);
    const std::string body = parts + "--B--\r\n";
    Status read;
    for (std::size_t at = 0; at < body.size() && read; at += piece) {
      read = parser.push(std::string_view(body).substr(at, piece));
      pushed_ = at;
    }
    if (read) read = parser.finish();
    if (!read) {
      refused(upload.refusal(read.error()));
      upload.abandon();
      return std::nullopt;
    }
    auto done = upload.finish();
    if (done) return *done;
    refused(done.error());
    return std::nullopt;
  }
  void refused(const UploadRefusal& refusal) {
    const auto error = nlohmann::json::parse(refusal.response.body).at("error");
    refused_ = std::to_string(refusal.response.status) + " " + error.at("code").get<std::string>();
    if (error.at("param").is_string()) refused_ += " " + error.at("param").get<std::string>();
    reason_ = refusal.code;
  }
  std::string refusal_of(const std::string& parts) {
    EXPECT_FALSE(upload(parts));
    return refused_;
  }
  // Files that are visible, and after the sweep nothing else.
  std::size_t visible() {
    const auto files = store_.list({tenant_, "", {}, true, 100}, soon());
    return files->size();
  }
  Deadline soon() { return Deadline::in(clock_, std::chrono::seconds(5)); }

  ManualClock clock_;
  SeededRng rng_{1};
  IdMaker ids_{clock_, rng_};
  const TenantId tenant_{"t"};
  testing::FakeFileStore store_{clock_};
  const RequestClaims claims_{store_, {}, {}};
  FileUploadConfig config_;
  std::string refused_;
  std::string reason_;
  std::size_t pushed_ = 0;
};

TEST_F(FileUploadTest, PartsMayComeInAnyOrderAndAnyPieces) {
  const std::string contents = "{\"a\":1}\n{\"b\":\"\xc3\xa9\"}\n--B not a boundary";
  const std::string expires =
      field("expires_after[anchor]", "created_at") + field("expires_after[seconds]", "3600");
  for (const std::string& form : {field("purpose", "batch") + expires + file(contents),
                                  file(contents) + expires + field("purpose", "batch")}) {
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{100'000}}) {
      const auto stored = upload(form, piece);
      ASSERT_TRUE(stored) << refused_;
      EXPECT_EQ(stored->purpose, "batch");
      EXPECT_EQ(stored->filename, "in.jsonl");
      EXPECT_EQ(stored->expires_us - stored->created_us, 3'600'000'000);
      EXPECT_EQ(store_.read(tenant_, stored->id, 0, 1000, soon()), contents);
    }
  }
}

TEST_F(FileUploadTest, WhatIsWrongIsNamedAndLeavesNothing) {
  const std::string good = file("x\n");
  const std::string batch = field("purpose", "batch");
  EXPECT_EQ(refusal_of(batch), "400 missing_field file");
  EXPECT_EQ(refusal_of(good), "400 missing_field purpose");
  EXPECT_EQ(refusal_of(field("purpose", "fine-tune") + good), "400 invalid_value purpose");
  EXPECT_EQ(refusal_of(field("purpose", "batch_output") + good), "400 invalid_value purpose");
  EXPECT_EQ(refusal_of(batch + batch + good), "400 duplicate_field purpose");
  EXPECT_EQ(refusal_of(batch + good + good), "400 duplicate_field file");
  EXPECT_EQ(refusal_of(batch + field("colour", "red") + good), "400 unknown_field colour");
  EXPECT_EQ(refusal_of(batch + file("x", "y", "image")), "400 unknown_field image");
  EXPECT_EQ(refusal_of(batch + field("file", "text")), "400 invalid_value file");
  EXPECT_EQ(refusal_of(batch + file("x", "a\xff")), "400 invalid_value file");
  EXPECT_EQ(refusal_of(batch + file("")), "400 empty_file file");
  EXPECT_EQ(refusal_of(batch + good + field("expires_after[anchor]", "now")),
            "400 invalid_value expires_after[anchor]");
  EXPECT_EQ(refusal_of(batch + good + field("expires_after[anchor]", "created_at")),
            "400 missing_field expires_after[seconds]");
  EXPECT_EQ(refusal_of(batch + good + field("expires_after[seconds]", "3600")),
            "400 missing_field expires_after[anchor]");
  for (const char* seconds : {"3599", "2592001", "1e4", "-3600", "", "36x"}) {
    EXPECT_EQ(refusal_of(batch + good + field("expires_after[seconds]", seconds)),
              "400 invalid_value expires_after[seconds]")
        << seconds;
  }
  EXPECT_EQ(refusal_of("no form at all"), "400 invalid_multipart");
  EXPECT_EQ(visible(), 0U);
  const int shards[] = {1};
  EXPECT_GT(store_.sweep(shards, soon())->files, 0);  // Those that were begun are given up at once.
  clock_.advance(std::chrono::hours(25));
  EXPECT_EQ(store_.sweep(shards, soon())->files, 0);
}

TEST_F(FileUploadTest, TheSameUploadWithItsKeyIsTheSameFile) {
  const std::string batch = field("purpose", "batch");
  const auto first = upload(batch + file("one\ntwo\n"), 7, 'k');
  ASSERT_TRUE(first) << refused_;
  for (const std::size_t piece : {std::size_t{1}, std::size_t{100'000}}) {
    const auto again = upload(file("one\ntwo\n") + batch, piece, 'k');
    ASSERT_TRUE(again) << refused_;
    EXPECT_EQ(again->id, first->id);
  }
  EXPECT_EQ(visible(), 1U);
  const std::string reused = "422 idempotency_key_reused Idempotency-Key";
  for (const std::string& other :
       {batch + file("one\ntwo"), field("purpose", "user_data") + file("one\ntwo\n"),
        batch + file("one\ntwo\n", "other.jsonl")}) {
    EXPECT_FALSE(upload(other, 7, 'k'));
    EXPECT_EQ(refused_, reused);
  }
  EXPECT_EQ(visible(), 1U);
  EXPECT_NE(upload(batch + file("one\ntwo\n"), 7, 'l')->id, first->id);
  EXPECT_NE(upload(batch + file("one\ntwo\n"))->id, first->id);
  // A refused upload leaves its key free.
  EXPECT_FALSE(upload(batch + file(""), 7, 'm'));
  EXPECT_TRUE(upload(batch + file("x"), 7, 'm'));
  ASSERT_TRUE(store_.remove(tenant_, first->id, soon()));
  EXPECT_FALSE(upload(batch + file("one\ntwo\n"), 7, 'k'));
  EXPECT_EQ(refused_, "404 file_not_found Idempotency-Key");
}

TEST_F(FileUploadTest, AnUploadThatWasOvertakenIsWhatOvertookIt) {
  const std::string form = field("purpose", "batch") + file("one\n");
  std::optional<FileInfo> first;
  store_.before_finish([&] { first = upload(form, 7, 'k'); });
  const auto second = upload(form, 7, 'k');
  ASSERT_TRUE(first && second) << refused_;
  EXPECT_EQ(second->id, first->id);
  EXPECT_EQ(visible(), 1U);
}

TEST_F(FileUploadTest, LimitsHoldWhileTheContentsCome) {
  config_.bytes_max = 1000;
  const std::string batch = field("purpose", "batch");
  EXPECT_TRUE(upload(batch + file(std::string(1000, 'x'))));
  EXPECT_EQ(refusal_of(batch + file(std::string(5000, 'x'))), "413 file_too_large file");
  EXPECT_LT(pushed_, 1300U);

  config_ = FileUploadConfig();
  config_.batch_lines_max = 3;
  std::string lines = "a\n \t\r\n\nb\nc";  // Blank lines don't count, an unended one does.
  EXPECT_TRUE(upload(batch + file(lines)));
  EXPECT_EQ(refusal_of(batch + file(lines + "\nd" + std::string(5000, '\n'))), "400 too_many_lines file");
  EXPECT_LT(pushed_, 500U);
  EXPECT_EQ(refusal_of(file(lines + "\nd\n") + batch), "400 too_many_lines file");
  EXPECT_TRUE(upload(file(lines + "\nd\n") + field("purpose", "user_data")));
}

TEST_F(FileUploadTest, DatabaseThatIsAwayIsNotTheClientsFault) {
  store_.fail_with({ErrorCode::kUnavailable, "gone"});
  EXPECT_EQ(refusal_of(field("purpose", "batch") + file("x")), "503 database_unavailable");
  EXPECT_EQ(reason_, "unavailable");
}

TEST(UploadSlotsTest, NoTenantTakesAllAndWhatEndsMakesRoom) {
  UploadSlots slots(3, 2, metrics::Gauge());
  auto a1 = slots.take(TenantId{"a"});
  {
    const auto a2 = slots.take(TenantId{"a"});
    EXPECT_TRUE(a1 && a2);
    EXPECT_FALSE(slots.take(TenantId{"a"}));
    const auto b1 = slots.take(TenantId{"b"});
    EXPECT_TRUE(b1);
    EXPECT_FALSE(slots.take(TenantId{"b"}));
  }
  const auto moved = std::move(*a1);
  EXPECT_TRUE(slots.take(TenantId{"a"}));
  EXPECT_TRUE(slots.take(TenantId{"b"}));
}

TEST_F(FileUploadTest, SweeperWorksOnOwnedShardsAndComesBackAfterFailures) {
  std::vector<int> owned;
  FileSweeperConfig config;
  FileSweeper sweeper(
      store_, [&owned] { return owned; }, config, clock_, Log("test", LogLevel::kError, clock_),
      FileMetrics(), LoopMetrics());
  const auto stored = upload(field("purpose", "batch") + file("x"));
  ASSERT_TRUE(stored);
  ASSERT_TRUE(store_.remove(tenant_, stored->id, soon()));
  owned = {0};
  EXPECT_EQ(sweeper.run_once(), Duration(config.look_every));
  store_.fail_with({ErrorCode::kUnavailable, "gone"});
  owned = {0, 1};
  EXPECT_EQ(sweeper.run_once(), Duration(config.retry_after));
  store_.fail_with({});
  sweeper.run_once();
  const int shards[] = {1};
  EXPECT_EQ(store_.sweep(shards, soon())->files, 0);  // Nothing was left.
}

}  // namespace
}  // namespace sluice::producer
