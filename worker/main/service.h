// The worker, put together: broker → runner → engine, database, Redis.
#pragma once

#include <memory>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/base/rng.h"
#include "worker/engine/engine.h"
#include "worker/main/config.h"

namespace sluice::worker {

// For one owner, its thread.
class Service {
 public:
  // `clock` and `rng` must outlive the service.
  static std::unique_ptr<Service> make(WorkerConfig config, std::unique_ptr<Engine> engine, Clock& clock,
                                       Rng& rng);
  virtual ~Service() = default;

  // Serves even while the database or the broker is away; /ready tells.
  virtual Status start() = 0;
  virtual int http_port() const = 0;
  // Takes no more jobs, lets those that run finish within the drain's time, gives the others back. May be
  // called twice.
  virtual void stop() = 0;
};

}  // namespace sluice::worker
