// The limits in force, kept in memory and read again every few seconds, and which of them a request falls
// under.
//
// Safe for concurrent use. Store and clock must outlive it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/loop.h"
#include "common/base/mutex.h"
#include "common/log/log.h"
#include "common/store/limit_store.h"

namespace sluice::producer {

struct LimitBookConfig {
  std::chrono::milliseconds read_every{2'000};  // A change is in force everywhere after this.
  std::chrono::milliseconds call_timeout{3'000};
};

// Whom and what a request is counted for.
struct Requester {
  std::string tenant;
  std::string key;          // The key's name.
  std::string key_hint;     // Tells keys of one name apart.
  std::string_view route;   // "/v1/jobs/{id}"
  std::string_view family;  // submit, read or admin
};

class LimitBook {
 public:
  LimitBook(LimitStore& store, std::string region, LimitBookConfig config, Clock& clock, Log log);
  ~LimitBook();

  void start();
  void stop();  // May be called twice, or before start().
  // Something changed: read it soon.
  void wake() { loop_.wake(); }
  // Reads once. For tests. False: the database can't be asked; the limits stay as they were.
  bool read();

  // The limits of `unit` that count for it. Of those for the same route that are shared in the same way (by
  // the tenant's keys, or not) the one that names most counts: a tenant rather than a key, a key rather than
  // a region.
  std::vector<RateLimit> limits_for(const Requester& who, LimitUnit unit) const;
  // Under which name the buckets keep it.
  std::string bucket_of(const RateLimit& limit, const Requester& who) const;

 private:
  using Limits = std::vector<RateLimit>;
  std::shared_ptr<const Limits> limits() const EXCLUDES(mutex_);

  LimitStore& store_;
  const std::string region_;
  const LimitBookConfig config_;
  Clock& clock_;
  const Log log_;
  mutable Mutex mutex_;
  std::shared_ptr<const Limits> limits_ GUARDED_BY(mutex_) = std::make_shared<Limits>();
  Loop loop_;
};

}  // namespace sluice::producer
