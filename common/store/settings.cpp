#include "common/store/settings.h"

namespace sluice {

void bind(config::Settings& settings, JobRules& rules) {
  using std::chrono::milliseconds;
  settings.add("attempts-max", rules.attempts_max, "Starts of a job that may fail before it is dead")
      .range(1, 100);
  settings
      .add("poison-lapses-max", rules.poison_lapses_max,
           "Starts of a job whose worker was lost before it counts as poison")
      .range(1, 100);
  settings
      .add("lease", rules.lease,
           "How long a worker may be silent before its jobs are taken back; shorter rescues sooner")
      .range(milliseconds(1'000), milliseconds(3'600'000));
  settings.add("retry-first", rules.retry_first, "Wait before the first retry; it doubles each time")
      .range(milliseconds(1), milliseconds(3'600'000));
  settings.add("retry-max", rules.retry_max, "Longest wait before a retry")
      .range(milliseconds(1), milliseconds(86'400'000));
  settings
      .add("republish-after", rules.republish_after,
           "A published job or event that nobody took is looked at again after this")
      .range(milliseconds(1'000), milliseconds(600'000));
}

}  // namespace sluice
