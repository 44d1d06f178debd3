#include "common/config/settings.h"
#include "worker/batcher/batcher.h"

namespace sluice::worker {

void bind(config::Settings& settings, BatcherConfig& config) {
  using namespace std::chrono_literals;
  settings.add("batch-jobs-max", config.jobs_max, "Most jobs in the engine at once")
      .range(1, 4096)
      .unit("jobs");
  settings
      .add("batch-express-max", config.express_max,
           "Beside them, for jobs of high and normal class that find no place; 0 = they wait")
      .range(0, 1024)
      .unit("jobs");
  settings.add("batch-linger", config.linger, "Longest wait to fill a group while other jobs run")
      .range(0ms, 10s);
  settings
      .add("batch-tokens-max", config.tokens_max,
           "Most prompt and answer tokens in the engine at once; 0 = its memory")
      .range(0, 1'000'000'000)
      .unit("tokens");
  settings.add("batch-ahead-max", config.ahead_max, "Jobs claimed beyond the free places")
      .range(0, 4096)
      .unit("jobs");
}

}  // namespace sluice::worker
