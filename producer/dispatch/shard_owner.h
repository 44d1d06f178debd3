// Keeps this producer's shard leases alive, and tells the loops which shards are theirs.
//
// owned() is safe from any thread. The store and the clock must outlive it.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/mutex.h"
#include "common/log/log.h"
#include "common/store/shard_leases.h"
#include "producer/metrics/producer_metrics.h"

namespace sluice::producer {

struct ShardOwnerConfig {
  std::string role = "dispatch";
  std::chrono::milliseconds lease{10'000};  // Longer: slower take-over from a lost producer.
  std::chrono::milliseconds renew_every{3'000};
};

class ShardOwner {
 public:
  // `owner` names this process among all producers.
  ShardOwner(ShardLeases& leases, std::string owner, ShardOwnerConfig config, Clock& clock, Log log,
             DispatchMetrics metrics);
  ~ShardOwner();

  void start();
  // Gives the leases back, so that others need not wait for them to lapse. May be called twice.
  void stop();

  // Empty once the lease may have lapsed.
  std::vector<int> owned() const EXCLUDES(mutex_);

  // One turn of the loop; for tests.
  Duration run_once();

 private:
  ShardLeases& leases_;
  const std::string owner_;
  const ShardOwnerConfig config_;
  Clock& clock_;
  const Log log_;
  const DispatchMetrics metrics_;
  mutable Mutex mutex_;
  std::vector<OwnedShard> owned_ GUARDED_BY(mutex_);
  SteadyTime valid_until_ GUARDED_BY(mutex_){};
  bool started_ = false;
  Loop loop_;
};

}  // namespace sluice::producer
