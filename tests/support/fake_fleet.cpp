// FakeJobStore's pauses, workers and counts.
#include <algorithm>

#include "tests/support/fake_job_store.h"

namespace sluice::testing {

namespace {
std::string pause_target(PauseKind kind, const std::string& name) {
  return std::string(pause_kind_name(kind)) + " " + name;
}
}  // namespace

bool FakeJobStore::is_paused(const Job& job) const {
  return pauses_.contains({PauseKind::kModel, job.model}) ||
         pauses_.contains({PauseKind::kTenant, job.tenant.value});
}

Result<Pause> FakeJobStore::set_pause(const Pause& pause, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("set_pause")) return fail(fault->code, "fault asked for");
  Pause& kept = pauses_[{pause.kind, pause.name}];
  const std::int64_t since = kept.since_us == 0 ? now_us() : kept.since_us;
  kept = pause;
  kept.since_us = since;
  write_audit(pause.actor, "pauses.set", pause_target(pause.kind, pause.name), pause_to_json(pause), 1);
  return kept;
}

Status FakeJobStore::resume(PauseKind kind, const std::string& name, const Actor& actor, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("resume")) return fail(fault->code, "fault asked for");
  if (pauses_.erase({kind, name}) == 0)
    return fail(ErrorCode::kNotFound, pause_target(kind, name) + " is not paused");
  write_audit(actor, "pauses.end", pause_target(kind, name), "", 1);
  return {};
}

Result<std::vector<Pause>> FakeJobStore::list_pauses(Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("list_pauses")) return fail(fault->code, "fault asked for");
  std::vector<Pause> pauses;
  for (const auto& [key, pause] : pauses_) pauses.push_back(pause);
  return pauses;
}

Result<bool> FakeJobStore::beat(const WorkerBeat& beat, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("beat")) return fail(fault->code, "fault asked for");
  WorkerInfo& worker = workers_[beat.id];
  if (worker.started_us == 0) {
    worker.started_us = now_us();
    worker.beat = beat;
  }
  worker.beat.held_jobs = beat.held_jobs;
  worker.beat.tokens_per_s = beat.tokens_per_s;
  worker.beat.job_tokens_per_s = beat.job_tokens_per_s;
  worker.seen_us = now_us();
  return worker.draining;
}

Status FakeJobStore::cancel_job(const JobId& id, const Actor& actor, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("cancel_job")) return fail(fault->code, "fault asked for");
  const auto found = rows_.find(id.value);
  if (found == rows_.end()) return fail(ErrorCode::kNotFound, "no job with id " + id.value);
  if (is_final(found->second.job.state)) return {};
  end(found->second, JobState::kCancelled, std::nullopt,
      JobError{"job_cancelled", "The job was cancelled by an operator.", "job_error", ""});
  write_audit(actor, "jobs.cancel", id.value, "", 1);
  return {};
}

Status FakeJobStore::forget_worker(const std::string& id, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("forget_worker")) return fail(fault->code, "fault asked for");
  workers_.erase(id);
  return {};
}

Result<std::vector<WorkerInfo>> FakeJobStore::list_workers(Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("list_workers")) return fail(fault->code, "fault asked for");
  std::vector<WorkerInfo> workers;
  for (const auto& [id, worker] : workers_) {
    WorkerInfo info = worker;
    info.silent_ms = (now_us() - info.seen_us) / 1000;
    if (info.silent_ms < 3'600'000) workers.push_back(std::move(info));
  }
  return workers;
}

Result<WorkerInfo> FakeJobStore::set_draining(const std::string& id, bool draining, const Actor& actor,
                                              Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("set_draining")) return fail(fault->code, "fault asked for");
  const auto found = workers_.find(id);
  if (found == workers_.end()) return fail(ErrorCode::kNotFound, "no worker with id " + id);
  found->second.draining = draining;
  write_audit(actor, draining ? "workers.drain" : "workers.undrain", id, "", 1);
  return found->second;
}

Result<std::vector<WaitingJobs>> FakeJobStore::waiting_jobs(Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("waiting_jobs")) return fail(fault->code, "fault asked for");
  std::map<std::pair<std::string, Priority>, WaitingJobs> queues;
  for (const auto& [id, row] : rows_) {
    if (is_final(row.job.state)) continue;
    WaitingJobs& queue = queues[{row.job.model, row.job.priority}];
    queue.model = row.job.model;
    queue.priority = row.job.priority;
    if (row.job.state == JobState::kRunning) {
      ++queue.running;
    } else {
      ++queue.queued;
      if (row.publish_due_us < now_us() - 10'000'000) ++queue.overdue;
    }
  }
  std::vector<WaitingJobs> out;
  for (auto& [key, queue] : queues) out.push_back(std::move(queue));
  return out;
}

Result<Overview> FakeJobStore::overview(Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("overview")) return fail(fault->code, "fault asked for");
  Overview overview;
  for (const auto& [id, row] : rows_) {
    overview.queued += row.job.state == JobState::kQueued ? 1 : 0;
    overview.running += row.job.state == JobState::kRunning ? 1 : 0;
  }
  for (const auto& [key, row] : letters_)
    overview.dead_letters += row.letter.state == LetterState::kDead ? 1 : 0;
  for (const EventRow& event : events_) overview.undecided_events += event.publish_due_us >= 0 ? 1 : 0;
  for (const auto& [id, row] : operations_) {
    const OperationState state = row.operation.state;
    overview.running_operations +=
        state == OperationState::kRunning || state == OperationState::kCanary ? 1 : 0;
  }
  return overview;
}

}  // namespace sluice::testing
