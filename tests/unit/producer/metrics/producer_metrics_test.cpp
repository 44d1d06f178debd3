// docs/metrics.md and the exporter name the same metrics of the producer.
#include "producer/metrics/producer_metrics.h"

#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>

namespace sluice::producer {
namespace {

std::set<std::string> matches(const std::string& text, const std::regex& pattern) {
  std::set<std::string> found;
  for (std::sregex_iterator at(text.begin(), text.end(), pattern), end; at != end; ++at)
    found.insert((*at)[1]);
  return found;
}

TEST(ProducerMetricsTest, AreAllInTheDocumentationAndNoneIsThereInVain) {
  metrics::Registry registry;
  const ProducerMetrics m = make_producer_metrics(registry, "test");
  // A family shows up with its first series.
  m.api.accepted.with({"high"});
  m.api.rejected.with({"x"});
  m.api.job_reads.with({"redis"});
  m.api.key_checks.with({"hit"});
  m.api.queued.with({"m", "high"});
  m.api.repeated.with({"key"});
  m.api.left_jobs.with({"cancelled"});
  m.guard.checks.with({"requests", "allowed", "redis"});
  m.cache.answers.with({"hit"});
  m.cache.lookups.with({"redis"});
  m.dispatch.published.with({"fresh", "high"});
  m.dispatch.failed.with({"x"});
  m.dispatch.queue_ready.with({"m", "high"});
  m.dispatch.backlog.with({"m", "high"});
  m.dispatch.tenants_waiting.with({"m", "normal"});
  m.loops.events_failed.with({"x"});
  m.loops.letters_moved.with({"redriven"});
  m.loops.loop_failures.with({"relay"});
  m.wait.resolved.with({"event"});
  m.files.uploads.with({"stored"});
  m.files.upload_refusals.with({"x"});
  m.files.lapsed.with({"expired"});
  const std::set<std::string> exported = matches(registry.expose(), std::regex("# TYPE (sluice_[a-z_]+) "));

  std::ifstream file(SLUICE_SOURCE_DIR "/docs/metrics.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(exported, matches(text.str(), std::regex("\\| `(sluice_producer_[a-z_]+)` \\|")));
}

}  // namespace
}  // namespace sluice::producer
