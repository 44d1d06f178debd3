// What the load bench computes from what it measured.
#include <gtest/gtest.h>

#include <unistd.h>

#include <nlohmann/json.hpp>
#include <set>

#include "bench/load/measure.h"
#include "bench/load/report.h"
#include "bench/load/requests.h"

namespace sluice::bench {
namespace {

using nlohmann::json;

TEST(LoadBench, PercentilesAreNearestRanks) {
  std::vector<double> values;
  for (int i = 100; i >= 1; --i) values.push_back(i);
  EXPECT_EQ(percentile(values, 0.50), 50);
  EXPECT_EQ(percentile(values, 0.99), 99);
  EXPECT_EQ(percentile(values, 1.0), 100);
  EXPECT_EQ(percentile({7}, 0.5), 7);
  EXPECT_EQ(percentile({}, 0.5), 0);
}

TEST(LoadBench, SubmitsEveryJobOnceInBodiesOfTheSizeAskedFor) {
  Options options;
  options.jobs = 25;
  options.batch = 10;
  const auto submissions = make_submissions(options);
  ASSERT_TRUE(submissions.has_value());
  ASSERT_EQ(submissions->size(), 3U);
  std::set<std::string> prompts;
  int jobs = 0;
  for (const Submission& submission : *submissions) {
    const json requests = json::parse(submission.body).at("requests");
    EXPECT_EQ(static_cast<int>(requests.size()), submission.jobs);
    jobs += submission.jobs;
    for (const json& request : requests) prompts.insert(request.at("prompt"));
  }
  EXPECT_EQ(jobs, 25);
  EXPECT_EQ(prompts.size(), 25U);

  options.batch = 1;
  EXPECT_EQ(make_submissions(options)->size(), 25U);
  EXPECT_TRUE(json::parse(make_submissions(options)->front().body).contains("prompt"));
  options.prompts = "/nowhere";
  EXPECT_EQ(make_submissions(options).error().code, ErrorCode::kInvalid);
}

TEST(LoadBench, GrowthAddsUpWorkersAndLabelsOfOneNameOnly) {
  const Series before = {{"worker/x_total{a=\"1\"}", 5}, {"worker-2/x_total{a=\"1\"}", 1}};
  const Series after = {{"worker/x_total{a=\"1\"}", 7},
                        {"worker/x_total{a=\"2\"}", 10},
                        {"worker-2/x_total{a=\"1\"}", 2},
                        {"worker/x_total_more", 100}};
  EXPECT_EQ(growth(before, after, "x_total"), 13);
}

Measured measured() {
  Measured m;
  m.cpus = 2;
  m.wall_seconds = 10;
  m.machine_cpu = 4;
  m.cpu = {{"mysql", 3.0}, {"client", 0.5}};
  m.load.accepted_jobs = 100;
  m.load.submit_seconds = 2;
  m.load.accept_ms = {1, 2, 3};
  m.jobs.ended = m.jobs.succeeded = 100;
  m.jobs.seconds = 5;
  m.mysql = {{"Questions", 250}};
  return m;
}

TEST(LoadBench, ReportsRatesSharesAndWhatLimits) {
  const json waiting = report({}, measured());
  EXPECT_EQ(waiting["accepted_per_s"], 50);
  EXPECT_EQ(waiting["finished_per_s"], 20);
  EXPECT_EQ(waiting["cpu"]["processes"]["mysql"], 0.3);
  EXPECT_EQ(waiting["cpu"]["processes"]["others"], 0.05);
  EXPECT_EQ(waiting["mysql_per_job"]["Questions"], 2.5);
  EXPECT_NE(waiting["limit"].get<std::string>().find("waiting"), std::string::npos);
  EXPECT_FALSE(report_text(waiting).empty());

  Measured busy = measured();
  busy.machine_cpu = 19;
  busy.cpu["mysql"] = 18;
  EXPECT_NE(report({}, busy)["limit"].get<std::string>().find("mysql"), std::string::npos);

  Measured shared = measured();
  shared.machine_cpu = 19;
  EXPECT_NE(report({}, shared)["limit"].get<std::string>().find("other programs"), std::string::npos);

  Measured engine = measured();
  engine.metrics_after = {{"worker/sluice_worker_step_seconds_sum", 9.5}};
  EXPECT_NE(report({}, engine)["limit"].get<std::string>().find("engine"), std::string::npos);
}

TEST(LoadBench, ReadsTheTimeOfItsOwnProcess) {
  const auto seconds = cpu_seconds({"me=" + std::to_string(getpid()), "nobody=999999999"});
  EXPECT_TRUE(seconds.contains("me"));
  EXPECT_FALSE(seconds.contains("nobody"));
  EXPECT_GE(usable_cpus(), 1);
  EXPECT_GT(machine_cpu_seconds(), 0);
}

}  // namespace
}  // namespace sluice::bench
