// The producer, put together: HTTP → coalescer → database → dispatcher → broker, and the loops beside it.
#pragma once

#include <memory>
#include <string>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/base/rng.h"
#include "producer/main/config.h"

namespace sluice::producer {

// For one owner, its thread.
class Service {
 public:
  // `clock` and `rng` must outlive the service. An error: the model file can't be used.
  static Result<std::unique_ptr<Service>> make(ProducerConfig config, Clock& clock, Rng& rng);
  // With models that are ready already; `config.engine` and `config.model` don't count.
  static std::unique_ptr<Service> make(ProducerConfig config, ModelCatalog models, Clock& clock, Rng& rng);
  virtual ~Service() = default;

  // Serves even while database, broker or Redis are away; /ready tells.
  virtual Status start() = 0;
  virtual int http_port() const = 0;
  // What it serves: "GET /v1/jobs/{id}", a line each.
  virtual std::string routes() const = 0;
  // Answers what runs, commits what waits, publishes what was committed, gives the shard leases back. May be
  // called twice.
  virtual void stop() = 0;
};

}  // namespace sluice::producer
