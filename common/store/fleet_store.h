// What runs and what is held back, as operators see and steer it: pauses, workers, how much waits where.
//
// Safe for concurrent use. Errors as in job_store.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/ids/ids.h"
#include "common/job/job.h"
#include "common/store/audit_store.h"

namespace sluice {

enum class PauseKind { kModel, kTenant };
std::string_view pause_kind_name(PauseKind kind);

// Jobs of this model or tenant are accepted, and neither published nor started. What runs goes on.
struct Pause {
  PauseKind kind = PauseKind::kModel;
  std::string name;
  std::string reason;  // For people; empty: none.
  std::int64_t since_us = 0;
  Actor actor;
};

// What the audit log says of it besides: {"reason": "…"}, or nothing.
std::string pause_to_json(const Pause& pause);

// What a worker says of itself.
struct WorkerBeat {
  std::string id;
  std::string model;
  std::string engine;
  std::string version;
  int jobs_max = 0;
  int held_jobs = 0;
  // As measured lately while it was at work, in tokens that jobs may cost (prompt and the most that they may
  // say): of all jobs together, and of one of them. 0 = not measured yet.
  std::int64_t tokens_per_s = 0;
  std::int64_t job_tokens_per_s = 0;
};

// A worker speaks each second; one that was silent for longer counts as lost: nothing is expected of it.
inline constexpr std::chrono::milliseconds kWorkerSilentAfter{15'000};

struct WorkerInfo {
  WorkerBeat beat;
  std::int64_t started_us = 0;
  std::int64_t seen_us = 0;
  std::int64_t silent_ms = 0;  // Since it last spoke, by the database's clock.
  bool draining = false;
};

struct WaitingJobs {
  std::string model;
  Priority priority = Priority::kNormal;
  std::int64_t queued = 0;
  std::int64_t overdue = 0;  // Of these: due to be published for longer than ten seconds.
  std::int64_t running = 0;
};

struct Overview {
  std::int64_t queued = 0;
  std::int64_t running = 0;
  std::int64_t dead_letters = 0;  // Unhandled.
  std::int64_t undecided_events = 0;
  std::int64_t pending_deliveries = 0;
  std::int64_t running_operations = 0;  // Those that wait after their canary included.
  std::int64_t shards_owned = 0;        // Of 16, by producers whose lease holds.
};

class FleetStore {
 public:
  virtual ~FleetStore() = default;

  // A second pause of the same replaces reason and actor; `since` stays.
  virtual Result<Pause> set_pause(const Pause& pause, Deadline deadline) = 0;
  // kNotFound: it is not paused.
  virtual Status resume(PauseKind kind, const std::string& name, const Actor& actor, Deadline deadline) = 0;
  virtual Result<std::vector<Pause>> list_pauses(Deadline deadline) = 0;

  // The answer: an operator wants it drained.
  virtual Result<bool> beat(const WorkerBeat& beat, Deadline deadline) = 0;
  // It stops and will not be heard of again.
  virtual Status forget_worker(const std::string& id, Deadline deadline) = 0;
  // By id. Those that have been silent for an hour are left out.
  virtual Result<std::vector<WorkerInfo>> list_workers(Deadline deadline) = 0;
  // kNotFound: there is no such worker.
  virtual Result<WorkerInfo> set_draining(const std::string& id, bool draining, const Actor& actor,
                                          Deadline deadline) = 0;

  // Ends a job of any tenant; one that has ended stays as it is. kNotFound: there is no such job.
  virtual Status cancel_job(const JobId& id, const Actor& actor, Deadline deadline) = 0;

  // Models and classes of which something waits or runs, by name and class.
  virtual Result<std::vector<WaitingJobs>> waiting_jobs(Deadline deadline) = 0;
  virtual Result<Overview> overview(Deadline deadline) = 0;
};

}  // namespace sluice
