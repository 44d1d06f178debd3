#include "producer/guard/limit_book.h"

#include <map>
#include <tuple>
#include <utility>

namespace sluice::producer {

LimitBook::LimitBook(LimitStore& store, std::string region, LimitBookConfig config, Clock& clock, Log log)
    : store_(store),
      region_(std::move(region)),
      config_(config),
      clock_(clock),
      log_(std::move(log)),
      loop_("limits", clock, [this]() -> Duration {
        read();
        return config_.read_every;
      }) {}

LimitBook::~LimitBook() {
  stop();
}

void LimitBook::start() {
  loop_.start();
}

void LimitBook::stop() {
  loop_.stop();
}

bool LimitBook::read() {
  auto read = store_.list_limits(Deadline::in(clock_, config_.call_timeout));
  if (!read) {
    log_.warn_limited("limits_not_read", {{"error", read.error().message}});
    return false;
  }
  auto made = std::make_shared<const Limits>(std::move(*read));
  MutexLock lock(mutex_);
  limits_ = std::move(made);
  return true;
}

std::shared_ptr<const LimitBook::Limits> LimitBook::limits() const {
  MutexLock lock(mutex_);
  return limits_;
}

std::vector<RateLimit> LimitBook::limits_for(const Requester& who, LimitUnit unit) const {
  const auto all = limits();
  // By route and by whether the tenant's keys share it.
  std::map<std::pair<std::string, bool>, std::pair<int, const RateLimit*>> best;
  for (const RateLimit& limit : *all) {
    if (limit.unit != unit) continue;
    if (limit.tenant != "*" && limit.tenant != who.tenant) continue;
    if (limit.key != "*" && !limit.key.empty() && limit.key != who.key) continue;
    if (limit.region != "*" && limit.region != region_) continue;
    if (limit.route != "*" && limit.route != who.family && limit.route != who.route) continue;
    const int names = (limit.tenant != "*" ? 4 : 0) + (limit.key != "*" && !limit.key.empty() ? 2 : 0) +
                      (limit.region != "*" ? 1 : 0);
    auto& place = best[{limit.route, limit.key.empty()}];
    if (place.second == nullptr || names > place.first) place = {names, &limit};
  }
  std::vector<RateLimit> found;
  for (const auto& [kind, place] : best) found.push_back(*place.second);
  return found;
}

std::string LimitBook::bucket_of(const RateLimit& limit, const Requester& who) const {
  // The braces keep all buckets of a request on one node of a Redis cluster.
  std::string bucket = "sluice:limit:{" + who.tenant + "}:" + limit.name + ":" + region_;
  if (!limit.key.empty()) bucket += ":" + who.key + ":" + who.key_hint;
  return bucket;
}

}  // namespace sluice::producer
