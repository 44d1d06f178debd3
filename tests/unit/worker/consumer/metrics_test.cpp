// docs/metrics.md and the exporter name the same metrics of a worker.
#include "worker/consumer/metrics.h"

#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "worker/batcher/batcher.h"

namespace sluice::worker {
namespace {

std::set<std::string> matches(const std::string& text, const std::regex& pattern) {
  std::set<std::string> found;
  for (std::sregex_iterator at(text.begin(), text.end(), pattern), end; at != end; ++at)
    found.insert((*at)[1]);
  return found;
}

TEST(WorkerMetrics, AreAllInTheDocumentationAndNoneIsThereInVain) {
  metrics::Registry registry;
  const WorkerMetrics worker = WorkerMetrics::make(registry);
  BatcherMetrics::make(registry);
  // A family shows up with its first series.
  worker.jobs.with({"succeeded"});
  worker.deliveries.with({"high"});
  worker.store_errors.with({"claim"});
  worker.answers.with({"F16"});
  const std::set<std::string> exported =
      matches(registry.expose(), std::regex("# TYPE (sluice_worker_[a-z_]+) "));

  std::ifstream file(SLUICE_SOURCE_DIR "/docs/metrics.md");
  std::stringstream text;
  text << file.rdbuf();
  const std::set<std::string> documented =
      matches(text.str(), std::regex("\\| `(sluice_worker_[a-z_]+)` \\|"));
  EXPECT_EQ(exported, documented);
  EXPECT_GT(exported.size(), 20U);
}

}  // namespace
}  // namespace sluice::worker
