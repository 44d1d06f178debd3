#include "common/metrics/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace sluice::metrics {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Metrics, ValuesAreExposedAsPrometheusText) {
  Registry registry;
  registry.counter("sluice_jobs_total", "Jobs", {{"class", "high"}}).add(2);
  registry.gauge("sluice_depth", "Depth").set(1.5);
  const Histogram seconds = registry.histogram("sluice_wait_seconds", "Wait", {0.1, 1});
  seconds.observe(0.5);
  seconds.observe(5);

  const std::string text = registry.expose();
  EXPECT_THAT(text, HasSubstr("# HELP sluice_jobs_total Jobs\n# TYPE sluice_jobs_total counter\n"
                              "sluice_jobs_total{class=\"high\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("sluice_depth 1.5\n"));
  EXPECT_THAT(text, HasSubstr("sluice_wait_seconds_count 2\n"));
  EXPECT_THAT(text, HasSubstr("sluice_wait_seconds_bucket{le=\"0.1\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("sluice_wait_seconds_bucket{le=\"1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("sluice_wait_seconds_bucket{le=\"+Inf\"} 2\n"));
}

TEST(Metrics, TheSameNameAndLabelsAreTheSameSeries) {
  Registry registry;
  registry.counter("sluice_a_total", "A", {{"x", "1"}}).add();
  registry.counter("sluice_a_total", "A", {{"x", "1"}}).add();
  registry.counter("sluice_a_total", "A", {{"x", "2"}}).add();
  EXPECT_EQ(registry.counter("sluice_a_total", "A", {{"x", "1"}}).value(), 2);
}

TEST(Metrics, AFamilyFindsItsSeriesByLabelValues) {
  Registry registry;
  const CounterFamily family =
      registry.counter_family("sluice_requests_total", "Requests", {"route", "status"});
  family.with({"/v1/jobs", "2xx"}).add();
  family.with({"/v1/jobs", "2xx"}).add();
  family.with({"/v1/jobs", "5xx"}).add();
  EXPECT_EQ(family.with({"/v1/jobs", "2xx"}).value(), 2);
  EXPECT_THAT(registry.expose(), HasSubstr("sluice_requests_total{route=\"/v1/jobs\",status=\"5xx\"} 1\n"));
}

TEST(Metrics, AFamilyNeverOutgrowsItsLimit) {
  Registry registry;
  const CounterFamily family = registry.counter_family("sluice_x_total", "X", {"model"}, 2);
  for (int i = 0; i < 100; ++i) family.with({"m" + std::to_string(i)}).add();
  const std::string text = registry.expose();
  EXPECT_THAT(text, HasSubstr("sluice_x_total{model=\"m1\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("model=\"m2\"")));
  EXPECT_THAT(text, HasSubstr("sluice_x_total{model=\"other\"} 98\n"));
}

TEST(Metrics, LabelValuesAreEscaped) {
  Registry registry;
  registry.counter("sluice_y_total", "Y", {{"v", "a\"b\\c\nd"}}).add();
  EXPECT_THAT(registry.expose(), HasSubstr(R"(sluice_y_total{v="a\"b\\c\nd"} 1)"));
}

TEST(Metrics, HooksRunBeforeExposingUntilTheirHandleGoes) {
  Registry registry;
  const Gauge gauge = registry.gauge("sluice_g", "G");
  int calls = 0;
  {
    const CollectHook hook = registry.on_expose([&] { gauge.set(++calls); });
    EXPECT_THAT(registry.expose(), HasSubstr("sluice_g 1\n"));
    EXPECT_THAT(registry.expose(), HasSubstr("sluice_g 2\n"));
  }
  EXPECT_THAT(registry.expose(), HasSubstr("sluice_g 2\n"));
}

TEST(Metrics, CountsFromManyThreadsAddUp) {
  Registry registry;
  const CounterFamily family = registry.counter_family("sluice_z_total", "Z", {"t"});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) family.with({std::to_string(i % 3)}).add();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(family.with({"0"}).value() + family.with({"1"}).value() + family.with({"2"}).value(), 4000);
}

TEST(Metrics, AHandleFromNowhereCountsNothing) {
  const Counter counter;
  counter.add();
  EXPECT_EQ(counter.value(), 0);
  CounterFamily().with({"x"}).add();
}

TEST(Metrics, ANameTakenByAnotherKindAborts) {
  Registry registry;
  registry.counter("sluice_taken", "T");
  EXPECT_DEATH(registry.gauge("sluice_taken", "T"), "metric");
}

}  // namespace
}  // namespace sluice::metrics
