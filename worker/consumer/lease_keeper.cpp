#include "worker/consumer/lease_keeper.h"

#include <algorithm>
#include <utility>

namespace sluice::worker {

LeaseKeeper::LeaseKeeper(LeaseConfig config, JobStore& store, HeldJobs& held, Batcher& batcher,
                         TaskSource& source, Clock& clock, Log log, WorkerMetrics metrics)
    : config_(std::move(config)),
      store_(store),
      held_(held),
      batcher_(batcher),
      source_(source),
      clock_(clock),
      log_(std::move(log)),
      metrics_(std::move(metrics)),
      loop_("heartbeat", clock, [this] { return beat(); }) {}

Duration LeaseKeeper::beat() {
  const SteadyTime begin = clock_.steady_now();
  ack_long_running();
  // Looked up before the call: what is claimed while it runs must not count as missing from its answer.
  const std::vector<TaskRef> asked = held_.refs();
  metrics_.held_jobs.set(static_cast<double>(asked.size()));
  if (!asked.empty()) {
    const auto ours = store_.heartbeat(config_.worker_id, asked, Deadline::in(clock_, config_.store_timeout));
    metrics_.heartbeat_seconds.observe(std::chrono::duration<double>(clock_.steady_now() - begin).count());
    if (ours) {
      for (const TaskRef& start : held_.mark_lost(asked, *ours)) {
        metrics_.lost_leases.add();
        log_.info("lease_lost", {{"job_id", start.id.value}, {"attempt", start.attempt}});
        batcher_.cancel(start_key(start));
      }
    } else {
      metrics_.store_errors.with({"heartbeat"}).add();
      log_.warn_limited("heartbeat_failed", {{"code", error_code_name(ours.error().code)},
                                             {"message", ours.error().message},
                                             {"jobs", asked.size()}});
    }
  }
  return std::max<Duration>(Duration::zero(), config_.interval - (clock_.steady_now() - begin));
}

void LeaseKeeper::ack_long_running() {
  const auto age = std::chrono::duration_cast<SteadyTime::duration>(config_.ack_after);
  const std::vector<DeliveryTag> tags = held_.ack_older(clock_.steady_now() - age);
  if (tags.empty()) return;
  source_.ack(tags);
  metrics_.early_acks.add(static_cast<double>(tags.size()));
  metrics_.acks.add(static_cast<double>(tags.size()));
}

}  // namespace sluice::worker
