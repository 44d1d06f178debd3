// When jobs may start and end: what waits before them, by the speed that the workers measured lately.
//
// A thread of its own looks at the queues' fronts and the workers once a second, while anybody asks; whoever
// asks gets an answer from that at once. Orders between tenants and retries are not foreseen: it is an
// estimate, of a queue served in the order of acceptance.
//
// Safe for concurrent use. What is given to the constructor must outlive it.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/mutex.h"
#include "common/log/log.h"
#include "common/store/job_store.h"
#include "common/store/live_store.h"
#include "producer/live/estimate.h"

namespace sluice::producer {

struct EstimatorConfig {
  std::chrono::milliseconds look_every{1'000};
  // Of each class of a model. Jobs behind so many have no position, and new ones count all others as like
  // these.
  int front_max = 2'000;
  std::int64_t count_max = 200'000;
  std::chrono::milliseconds count_every{5'000};  // Those behind the front.
  std::chrono::milliseconds asked_for{10'000};   // After the last question it looks on for so long.
  std::chrono::milliseconds good_for{5'000};     // What is older is no answer.
  std::chrono::milliseconds store_timeout{2'000};
};

class Estimator {
 public:
  Estimator(LiveStore& live, JobStore& jobs, std::vector<std::string> models, EstimatorConfig config,
            Clock& clock, Log log);
  void start() { loop_.start(); }
  void stop() { loop_.stop(); }

  // Nullopt: nothing is known just now. Quick.
  std::optional<Estimate> of(const JobGlance& job) EXCLUDES(mutex_);
  // Of a job that is accepted now.
  std::optional<Estimate> of_new(const std::string& model, Priority priority, std::int64_t tokens_max)
      EXCLUDES(mutex_);
  // Of `jobs` that are accepted now together, of `tokens_max` in all: when the first starts and the last
  // ends. Unlike the others it waits, until the deadline, if there was no look lately.
  std::optional<Estimate> of_batch(const std::string& model, Priority priority, std::int64_t jobs,
                                   std::int64_t tokens_max, Deadline deadline) EXCLUDES(mutex_);

  // One look; for tests.
  Duration run_once();

 private:
  // What waits of one class.
  struct Queue {
    std::vector<std::string> ids;      // Of the front, sorted: in the order of acceptance.
    std::vector<std::int64_t> tokens;  // tokens[i]: of the first i of these.
    std::int64_t jobs = 0;             // All that wait, as far as counted.
    SteadyTime counted_at{};           // Those behind the front.
    std::int64_t tokens_all() const;
  };
  struct Model {
    SteadyTime at{};
    FleetRate rate;
    std::array<Queue, kPriorities> queues;
  };

  Result<Model> look(const std::string& model);
  const Model* known(const std::string& model) REQUIRES(mutex_);
  struct Load {
    std::int64_t jobs = 0;
    std::int64_t tokens = 0;
  };
  // Of the first so many classes.
  static Load waiting(const Model& model, int classes);
  Estimate after(const Model& model, const Load& before, std::int64_t own) const;
  // After all that waits and isn't of a lower class.
  Estimate after_all(const Model& model, Priority priority, std::int64_t own) const;
  void asked() REQUIRES(mutex_);

  LiveStore& live_;
  JobStore& jobs_;
  const std::vector<std::string> names_;
  const EstimatorConfig config_;
  Clock& clock_;
  const Log log_;
  Mutex mutex_;
  std::map<std::string, Model> models_ GUARDED_BY(mutex_);
  std::condition_variable looked_;
  SteadyTime asked_at_ GUARDED_BY(mutex_){};
  bool asleep_ GUARDED_BY(mutex_) = true;
  Loop loop_;
};

}  // namespace sluice::producer
