// docs/metrics.md and the exporter name the same metrics of the callback service.
#include "callback/metrics/callback_metrics.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

namespace sluice::callback {
namespace {

bool is_ours(const std::string& name) {
  return name.starts_with("sluice_callback_") || name.starts_with("sluice_webhook_");
}

// Every word that stands between `before` and `after` and is a name of ours.
std::set<std::string> names_between(const std::string& text, const std::string& before,
                                    const std::string& after) {
  std::set<std::string> found;
  for (std::size_t at = text.find(before); at != std::string::npos; at = text.find(before, at + 1)) {
    const std::size_t begin = at + before.size();
    const std::string name = text.substr(begin, text.find(after, begin) - begin);
    if (is_ours(name)) found.insert(name);
  }
  return found;
}

TEST(CallbackMetrics, AreAllInTheDocumentationAndNoneIsThereInVain) {
  metrics::Registry registry;
  make_callback_metrics(registry);
  const std::set<std::string> exported = names_between(registry.expose(), "# TYPE ", " ");
  std::ifstream file(SLUICE_SOURCE_DIR "/docs/metrics.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(names_between(text.str(), "| `", "` |"), exported);
  EXPECT_EQ(exported.size(), 21u);
}

TEST(CallbackMetrics, EveryLabelValueIsThereFromTheStart) {
  metrics::Registry registry;
  make_callback_metrics(registry);
  const std::string text = registry.expose();
  for (const char* series : {"sluice_webhook_deliveries_total{outcome=\"given_up\"} 0",
                             "sluice_webhook_attempts_total{outcome=\"success\"} 0",
                             "sluice_callback_events_total{outcome=\"duplicate\"} 0",
                             "sluice_callback_batches_closed_total{status=\"expired\"} 0",
                             "sluice_webhook_store_errors_total{call=\"claim\"} 0"}) {
    EXPECT_NE(text.find(series), std::string::npos) << series;
  }
}

}  // namespace
}  // namespace sluice::callback
