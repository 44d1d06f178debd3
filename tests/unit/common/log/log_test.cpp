#include "common/log/log.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

namespace sluice {
namespace {

class Lines final : public LogSink {
 public:
  void write(std::string_view line) override { lines.emplace_back(line); }
  nlohmann::json last() const { return nlohmann::json::parse(lines.back()); }
  std::vector<std::string> lines;
};

class LogTest : public ::testing::Test {
 protected:
  ManualClock clock_{from_unix_micros(1'700'000'000'123'456)};
  std::shared_ptr<Lines> lines_ = std::make_shared<Lines>();
  Log log_{"sluice-worker", LogLevel::kInfo, clock_, lines_};
};

TEST_F(LogTest, OneJsonObjectALineWithFieldsOfTheirType) {
  log_.info("job_claimed", {{"n", 3}, {"share", 0.5}, {"alone", true}, {"model", "sluice-tiny"}});
  EXPECT_EQ(lines_->lines.back().back(), '\n');
  EXPECT_EQ(lines_->last(), nlohmann::json::parse(R"({"time":"2023-11-14T22:13:20.123Z","level":"info",
    "service":"sluice-worker","event":"job_claimed","n":3,"share":0.5,"alone":true,"model":"sluice-tiny"})"));
}

TEST_F(LogTest, BoundFieldsStandInEveryLine) {
  const Log job = log_.with({{"job_id", "job_1"}}).with({{"attempt", 2}});
  job.warn("job_retried");
  EXPECT_EQ(lines_->last()["job_id"], "job_1");
  EXPECT_EQ(lines_->last()["attempt"], 2);
}

TEST_F(LogTest, HostileTextStaysOneLineOfValidJson) {
  log_.error("bad", {{"text", "a\nb\"\\\x01 \xff\xfe"}, {"nan", std::numeric_limits<double>::quiet_NaN()}});
  EXPECT_EQ(lines_->lines.back().find('\n'), lines_->lines.back().size() - 1);
  EXPECT_TRUE(lines_->last()["nan"].is_null());
}

TEST_F(LogTest, LinesBelowTheLevelAreDropped) {
  log_.debug("noise");
  EXPECT_TRUE(lines_->lines.empty());
}

TEST_F(LogTest, LimitedLinesComeOnceASecondAndCountTheRest) {
  for (int i = 0; i < 10; ++i) log_.warn_limited("broker_down");
  log_.warn_limited("other");
  ASSERT_EQ(lines_->lines.size(), 2U);
  clock_.advance(std::chrono::seconds(1));
  log_.warn_limited("broker_down");
  EXPECT_EQ(lines_->last()["left_out"], 9);
}

}  // namespace
}  // namespace sluice
