// The callback service, put together: broker → intake → deliveries in the database → courier → receivers.
#pragma once

#include <memory>

#include "callback/main/config.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/base/rng.h"

namespace sluice::callback {

// For one owner, its thread.
class Service {
 public:
  // `clock` and `rng` must outlive the service. kInvalid: a master key that is none.
  static Result<std::unique_ptr<Service>> make(CallbackConfig config, Clock& clock, Rng& rng);
  virtual ~Service() = default;

  // Serves even while the database or the broker is away; /ready tells.
  virtual Status start() = 0;
  virtual int http_port() const = 0;
  // Takes no more events, claims no more, lets attempts under way end within the grace, records them. May be
  // called twice.
  virtual void stop() = 0;
};

}  // namespace sluice::callback
