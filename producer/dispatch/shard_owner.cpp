#include "producer/dispatch/shard_owner.h"

#include <algorithm>
#include <utility>

namespace sluice::producer {

namespace {
constexpr std::chrono::milliseconds kRetry{500};
constexpr std::chrono::milliseconds kCallTimeout{2'000};
}  // namespace

ShardOwner::ShardOwner(ShardLeases& leases, std::string owner, ShardOwnerConfig config, Clock& clock, Log log,
                       DispatchMetrics metrics)
    : leases_(leases),
      owner_(std::move(owner)),
      config_(std::move(config)),
      clock_(clock),
      log_(std::move(log)),
      metrics_(std::move(metrics)),
      loop_("shard-owner", clock, [this] { return run_once(); }) {}

ShardOwner::~ShardOwner() {
  stop();
}

void ShardOwner::start() {
  started_ = true;
  loop_.start();
}

void ShardOwner::stop() {
  loop_.stop();
  {
    MutexLock lock(mutex_);
    owned_.clear();
  }
  if (!started_) return;
  started_ = false;
  const Status released = leases_.release(config_.role, owner_, Deadline::in(clock_, kCallTimeout));
  if (!released) log_.warn("shards_not_released", {{"error", released.error().message}});
}

std::vector<int> ShardOwner::owned() const {
  MutexLock lock(mutex_);
  std::vector<int> shards;
  if (clock_.steady_now() >= valid_until_) return shards;
  shards.reserve(owned_.size());
  for (const OwnedShard& owned : owned_) shards.push_back(owned.shard);
  return shards;
}

Duration ShardOwner::run_once() {
  const SteadyTime asked = clock_.steady_now();
  auto renewed = leases_.renew(config_.role, owner_, config_.lease, Deadline::in(clock_, kCallTimeout));
  if (!renewed) {
    log_.warn_limited("shards_not_renewed", {{"error", renewed.error().message}});
    return kRetry;
  }
  std::sort(renewed->begin(), renewed->end(),
            [](const OwnedShard& a, const OwnedShard& b) { return a.shard < b.shard; });
  MutexLock lock(mutex_);
  const bool changed = !std::equal(
      renewed->begin(), renewed->end(), owned_.begin(), owned_.end(),
      [](const OwnedShard& a, const OwnedShard& b) { return a.shard == b.shard && a.fence == b.fence; });
  if (changed) {
    std::uint64_t fence = 0;
    for (const OwnedShard& owned : *renewed) fence = std::max(fence, owned.fence);
    log_.info("shards_owned", {{"shards", renewed->size()}, {"fence_max", fence}});
  }
  metrics_.shards_owned.set(static_cast<double>(renewed->size()));
  owned_ = std::move(*renewed);
  // From when it was asked for: the database can't have granted it earlier. A tenth is left for drift.
  valid_until_ = asked + config_.lease * 9 / 10;
  return config_.renew_every;
}

}  // namespace sluice::producer
