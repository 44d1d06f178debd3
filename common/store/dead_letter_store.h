// Jobs that ended as `dead` or `failed`, or expired after an operator had redriven them: one letter for each
// such end (job and generation), kept after it was handled. Safe for concurrent use. Errors as in
// job_store.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/ids/ids.h"
#include "common/job/job.h"
#include "common/store/audit_store.h"
#include "common/store/job_store.h"

namespace sluice {

enum class DeadReason {
  kAttempts,  // Used up its attempts.
  kPoison,    // Its workers stopped answering, each time.
  kFailed,    // The request itself can't succeed.
  kExpired,   // It was redriven, and its time was over before it was finished.
};
std::string_view dead_reason_name(DeadReason reason);
std::optional<DeadReason> dead_reason_from(std::string_view name);

enum class LetterState {
  kDead,       // Nobody has handled it.
  kRedriven,   // The job runs again, as its next generation.
  kReplayed,   // A corrected copy runs, as another job.
  kDiscarded,  // Given up: the job stays as it ended.
};
std::string_view letter_state_name(LetterState state);
std::optional<LetterState> letter_state_from(std::string_view name);

struct DeadLetter {
  JobId job_id;
  std::int64_t generation = 1;  // The one that ended so: 1 + how often it had been redriven.
  TenantId tenant;
  std::string model;
  DeadReason reason = DeadReason::kAttempts;
  std::string fingerprint;  // 16 hex digits; the same for errors of the same kind.
  std::string error_code;
  std::string error_message;
  int attempts = 0;  // Starts that counted.
  std::int64_t died_us = 0;
  LetterState state = LetterState::kDead;
  std::int64_t handled_us = 0;               // 0 = not handled.
  OperationId operation_id;                  // Empty = none.
  JobId replayed_as;                         // Empty = none.
  std::optional<std::int64_t> expires_in_s;  // Redriven: what the next generation was given to finish in.
};

// Which letters. Empty members choose nothing away.
struct DeadLetterFilter {
  std::vector<JobId> ids;
  TenantId tenant;
  std::string model;
  std::string fingerprint;
  std::string error_code;
  std::optional<DeadReason> reason;
  std::int64_t died_from_us = 0;    // At or after; 0 = any.
  std::int64_t died_before_us = 0;  // Before; 0 = any.
  bool operator==(const DeadLetterFilter&) const = default;
  bool everything() const { return *this == DeadLetterFilter{}; }
};
// {"model": "echo", "fingerprint": "…"}: only what is set. Times in Unix seconds, with a fraction if they
// have one.
std::string filter_to_json(const DeadLetterFilter& filter);
// kCorrupt: not such a text.
Result<DeadLetterFilter> filter_from_json(std::string_view text);

// Names one end of a job.
struct LetterRef {
  JobId job_id;
  std::int64_t generation = 1;
  bool operator==(const LetterRef&) const = default;
};
// "job_…:2", and back; empty: it is none.
std::string letter_ref_text(const LetterRef& letter);
std::optional<LetterRef> letter_ref_from(std::string_view text);

struct DeadLetterQuery {
  DeadLetterFilter filter;
  std::optional<LetterState> state = LetterState::kDead;  // Empty = any.
  // The last letter of the page before, generation 0 for the job's last one; empty = from the newest. Lists
  // run from the last died to the first.
  std::optional<LetterRef> after;
  int limit = 20;
};

struct DeadLetterGroup {
  std::string fingerprint;
  DeadReason reason = DeadReason::kAttempts;
  std::string error_code;
  std::string error_message;  // Of the last one.
  JobId last_job;
  std::int64_t count = 0;
  std::int64_t first_us = 0;
  std::int64_t last_us = 0;
};

// One start that did not end its job.
struct AttemptRecord {
  std::int64_t generation = 1;
  int attempt = 0;
  std::string worker_id;
  std::int64_t started_us = 0;
  std::int64_t ended_us = 0;
  std::string error_code;
  std::string error_message;
};

// A letter with all that is known of it.
struct DeadLetterDetail {
  DeadLetter letter;
  Job job;                              // As it is now.
  std::string request_json;             // As it was accepted.
  std::vector<AttemptRecord> attempts;  // Of every generation, in order.
  std::vector<DeadLetter> earlier;      // The same job's earlier ends, first one first.
  JobId replay_of;                      // The job is a corrected copy of this one; empty = it is none.
};

struct DeadLetterCount {
  std::int64_t matching = 0;
  std::int64_t guarded = 0;  // Of these, redriven so often already that it takes force.
};

class DeadLetterStore {
 public:
  virtual ~DeadLetterStore() = default;

  // kNotFound: `after` names no letter.
  virtual Result<std::vector<DeadLetter>> list_letters(const DeadLetterQuery& query, Deadline deadline) = 0;
  // Unhandled letters by fingerprint, the largest group first; at most `limit` groups.
  virtual Result<std::vector<DeadLetterGroup>> group_letters(const DeadLetterFilter& filter, int limit,
                                                             Deadline deadline) = 0;
  // Unhandled letters.
  virtual Result<DeadLetterCount> count_letters(const DeadLetterFilter& filter, int redrives_max,
                                                Deadline deadline) = 0;
  // The job's last letter, whatever its state. kNotFound: it has none.
  virtual Result<DeadLetterDetail> show_letter(const JobId& id, Deadline deadline) = 0;
  // The same for many, in the order of `ids`; without `earlier` and `replay_of`. Who has none is absent.
  virtual Result<std::vector<DeadLetterDetail>> expand_letters(std::span<const JobId> ids,
                                                               Deadline deadline) = 0;

  // Accepts `fresh`, a corrected copy, and marks the letter as replayed, in one transaction. Fills in times
  // and state of `fresh.job`. kConflict: the letter was handled before. kNotFound: there is none of that
  // generation.
  virtual Status replay_letter(const LetterRef& letter, NewJob& fresh, const Actor& actor,
                               std::string changes_json, Deadline deadline) = 0;

  // --- copies of ends in Redis ---
  // Redriven jobs whose copy may still say that they ended: the job, and its generation now.
  virtual Result<std::vector<LetterRef>> due_copies(int limit, Deadline deadline) = 0;
  // They were outdated (`generation` as answered above).
  virtual Status mark_copies(std::span<const LetterRef> jobs, Deadline deadline) = 0;
};

}  // namespace sluice
