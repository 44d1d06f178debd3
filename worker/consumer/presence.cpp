#include "worker/consumer/presence.h"

#include <utility>

namespace sluice::worker {

namespace {

// What the columns hold.
constexpr std::size_t kEngineBytesMax = 64;
constexpr std::size_t kVersionBytesMax = 32;

WorkerBeat cut(WorkerBeat self) {
  self.engine.resize(std::min(self.engine.size(), kEngineBytesMax));
  self.version.resize(std::min(self.version.size(), kVersionBytesMax));
  return self;
}

}  // namespace

Presence::Presence(PresenceConfig config, WorkerBeat self, FleetStore& fleet, JobRunner& runner, Clock& clock,
                   Log log)
    : config_(config),
      self_(cut(std::move(self))),
      fleet_(fleet),
      runner_(runner),
      clock_(clock),
      log_(std::move(log)),
      loop_("presence", clock, [this] { return beat(); }) {}

Duration Presence::beat() {
  self_.held_jobs = static_cast<int>(runner_.held());
  const Rates rates = runner_.rates();
  self_.tokens_per_s = rates.tokens_per_s;
  self_.job_tokens_per_s = rates.job_tokens_per_s;
  const auto draining = fleet_.beat(self_, Deadline::in(clock_, config_.store_timeout));
  if (draining) {
    runner_.set_draining(*draining);
  } else {
    runner_.metrics().store_errors.with({"presence"}).add();
    log_.warn_limited("presence_failed", {{"code", error_code_name(draining.error().code)},
                                          {"message", draining.error().message}});
  }
  return config_.interval;
}

void Presence::sign_off() {
  const Status gone = fleet_.forget_worker(self_.id, Deadline::in(clock_, config_.store_timeout));
  if (!gone) log_.info("sign_off_failed", {{"message", gone.error().message}});
}

}  // namespace sluice::worker
