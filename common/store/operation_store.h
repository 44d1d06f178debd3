// Redriving and discarding many dead letters, step by step. A step is one transaction that moves letters and
// counts them, made by whichever process asks next: after an interruption the next step goes on where the
// last one stood. Letters that die after an operation began are not its own, so a redrive never chases its
// own failures.
//
// Safe for concurrent use. Errors as in job_store.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/ids/ids.h"
#include "common/store/audit_store.h"
#include "common/store/dead_letter_store.h"

namespace sluice {

enum class OperationKind { kRedrive, kDiscard };
std::string_view operation_kind_name(OperationKind kind);
enum class OperationState { kRunning, kCanary, kDone, kCancelled };
std::string_view operation_state_name(OperationState state);

struct OperationRules {
  int redrives_max = 3;  // A job that was redriven this often takes force.
  int step_max = 200;    // Letters in one transaction.
};

struct NewOperation {
  OperationKind kind = OperationKind::kRedrive;
  DeadLetterFilter filter;
  bool forced = false;                       // The loop guard lets everything through.
  std::optional<double> rate_max;            // Letters a second; none: as fast as it goes.
  std::optional<int> canary;                 // Redrive this many, then wait to be told to go on.
  std::optional<std::int64_t> expires_in_s;  // Of the redriven jobs; none: what each was given before.
};

// What the audit log says of how it was asked for.
std::string asked_to_json(const NewOperation& asked);

struct Operation {
  OperationId id;
  NewOperation asked;
  OperationState state = OperationState::kRunning;
  std::int64_t total = 0;  // Letters that matched when it began.
  std::int64_t handled = 0;
  std::int64_t guarded = 0;  // Left to the loop guard.
  std::int64_t skipped = 0;  // Moved by somebody else meanwhile.
  std::int64_t created_us = 0;
  std::int64_t finished_us = 0;
  Actor actor;
  std::string last_error;  // Why the last step failed; empty once one succeeded again.
};

// What became of an operation's redriven jobs so far.
struct OperationOutcome {
  std::int64_t succeeded = 0;
  std::int64_t ended_otherwise = 0;  // Dead or failed again, cancelled, expired.
  std::int64_t unfinished = 0;
};

struct OperationFilter {
  OperationId after;  // Empty = from the newest; lists run from new to old.
  int limit = 20;
};

struct OperationStep {
  bool worked = false;  // False: no step was due.
  OperationId id;
  int redriven = 0;
  int discarded = 0;
};

class OperationStore {
 public:
  virtual ~OperationStore() = default;
  // The first step is due at once.
  virtual Result<Operation> start_operation(const NewOperation& asked, const Actor& actor,
                                            Deadline deadline) = 0;
  virtual Result<Operation> get_operation(const OperationId& id, Deadline deadline) = 0;
  virtual Result<std::vector<Operation>> list_operations(const OperationFilter& filter,
                                                         Deadline deadline) = 0;
  // A job that has been redriven again since had ended otherwise.
  virtual Result<OperationOutcome> operation_outcome(const OperationId& id, Deadline deadline) = 0;
  // Goes on after its canary. kConflict: it does not wait for that.
  virtual Result<Operation> continue_operation(const OperationId& id, const Actor& actor,
                                               Deadline deadline) = 0;
  // What was moved stays so. kConflict: it is over.
  virtual Result<Operation> cancel_operation(const OperationId& id, const Actor& actor,
                                             Deadline deadline) = 0;
  // Makes the step that has been due longest. An operation whose step fails is put off for half a minute, so
  // that it never keeps the others from their turn. Takes more than 2 s of deadline.
  virtual Result<OperationStep> step_operation(Deadline deadline) = 0;
};

}  // namespace sluice
