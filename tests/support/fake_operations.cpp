// FakeJobStore's operations on many dead letters.
#include <algorithm>
#include <cmath>

#include "common/base/check.h"
#include "tests/support/fake_job_store.h"

namespace sluice::testing {

namespace {
std::string action_name(const Operation& operation, std::string_view what = "") {
  return "dead_letters." + std::string(operation_kind_name(operation.asked.kind)) + std::string(what);
}
}  // namespace

Result<Operation> FakeJobStore::start_operation(const NewOperation& asked, const Actor& actor, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("start_operation")) return fail(fault->code, "fault asked for");
  OperationRow row;
  row.operation.id = ids_.make<OperationId>(shard_of_tenant(actor.tenant));
  row.operation.asked = asked;
  row.operation.actor = actor;
  row.operation.created_us = now_us();
  row.step_due_us = now_us();
  for (const auto& [key, letter] : letters_) {
    if (letter.letter.state == LetterState::kDead && matches(letter.letter, asked.filter))
      ++row.operation.total;
  }
  write_audit(actor, action_name(row.operation), row.operation.id.value, asked_to_json(asked),
              row.operation.total);
  return operations_.emplace(row.operation.id.value, row).first->second.operation;
}

Result<Operation> FakeJobStore::get_operation(const OperationId& id, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("get_operation")) return fail(fault->code, "fault asked for");
  const auto found = operations_.find(id.value);
  if (found == operations_.end()) return fail(ErrorCode::kNotFound, "no operation with id " + id.value);
  return found->second.operation;
}

Result<std::vector<Operation>> FakeJobStore::list_operations(const OperationFilter& filter, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("list_operations")) return fail(fault->code, "fault asked for");
  std::vector<Operation> operations;
  for (auto at = operations_.rbegin(); at != operations_.rend(); ++at) {
    if (!filter.after.empty() && !(at->first < filter.after.value)) continue;
    if (operations.size() < static_cast<std::size_t>(filter.limit))
      operations.push_back(at->second.operation);
  }
  return operations;
}

Result<OperationOutcome> FakeJobStore::operation_outcome(const OperationId& id, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("operation_outcome")) return fail(fault->code, "fault asked for");
  OperationOutcome outcome;
  for (const auto& [key, letter] : letters_) {
    if (letter.letter.operation_id != id || letter.letter.state != LetterState::kRedriven) continue;
    const Job& job = rows_.at(key.first).job;
    const bool same = job.generation == key.second + 1;
    if (same && job.state == JobState::kSucceeded) {
      ++outcome.succeeded;
    } else if (same && !is_final(job.state)) {
      ++outcome.unfinished;
    } else {
      ++outcome.ended_otherwise;
    }
  }
  return outcome;
}

Result<Operation> FakeJobStore::change_state(const OperationId& id, OperationState to, const Actor& actor) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("change_state")) return fail(fault->code, "fault asked for");
  const auto found = operations_.find(id.value);
  if (found == operations_.end()) return fail(ErrorCode::kNotFound, "no operation with id " + id.value);
  Operation& operation = found->second.operation;
  const bool going_on = to == OperationState::kRunning;
  if (operation.state != OperationState::kCanary &&
      (going_on || operation.state != OperationState::kRunning)) {
    return fail(ErrorCode::kConflict,
                "the operation is " + std::string(operation_state_name(operation.state)));
  }
  operation.state = to;
  found->second.step_due_us = going_on ? now_us() : -1;
  if (going_on) operation.asked.canary.reset();
  if (!going_on) operation.finished_us = now_us();
  write_audit(actor, action_name(operation, going_on ? ".continue" : ".cancel"), id.value, "",
              going_on ? std::max<std::int64_t>(
                             0, operation.total - operation.handled - operation.guarded - operation.skipped)
                       : operation.handled);
  return operation;
}

Result<Operation> FakeJobStore::continue_operation(const OperationId& id, const Actor& actor, Deadline) {
  return change_state(id, OperationState::kRunning, actor);
}

Result<Operation> FakeJobStore::cancel_operation(const OperationId& id, const Actor& actor, Deadline) {
  return change_state(id, OperationState::kCancelled, actor);
}

void FakeJobStore::redrive(LetterRow& letter, Row& row, const Operation& operation) {
  if (operation.asked.expires_in_s) row.lifetime_s = *operation.asked.expires_in_s;
  Job& job = row.job;
  SLUICE_CHECK(can_become(job.state, JobState::kQueued));
  job.state = JobState::kQueued;
  ++job.generation;
  job.attempt = 0;
  job.started_us = job.finished_us = 0;
  job.expires_us = now_us() + row.lifetime_s * 1'000'000;
  job.error.reset();
  row.forgiven = row.lapsed = 0;
  row.published_us = -1;
  row.publish_due_us = now_us();
  letter.letter.state = LetterState::kRedriven;
  letter.letter.expires_in_s = row.lifetime_s;
  letter.copy_due = true;
}

Result<OperationStep> FakeJobStore::step_operation(Deadline) {
  MutexLock lock(mutex_);
  const auto fault = enter("step_operation");
  OperationStep step;
  OperationRow* due = nullptr;
  for (auto& [id, row] : operations_) {
    if (row.step_due_us < 0 || row.step_due_us > now_us()) continue;
    if (due == nullptr || row.step_due_us < due->step_due_us) due = &row;
  }
  if (fault) {
    // A database that can't be reached does not put anything off.
    if (due != nullptr && fault->code != ErrorCode::kUnavailable) {
      due->step_due_us = now_us() + 30'000'000;
      due->operation.last_error = "fault asked for";
    }
    return fail(fault->code, "fault asked for");
  }
  if (due == nullptr) return step;
  Operation& operation = due->operation;
  operation.last_error.clear();
  step.worked = true;
  step.id = operation.id;

  int limit = operation_rules_.step_max;
  if (operation.asked.rate_max) {
    limit = static_cast<int>(std::clamp(std::ceil(*operation.asked.rate_max * 0.5), 1.0, double(limit)));
  }
  if (operation.asked.canary) {
    limit = static_cast<int>(std::min<std::int64_t>(limit, *operation.asked.canary - operation.handled));
  }
  int looked_at = 0;
  const bool redriving = operation.asked.kind == OperationKind::kRedrive;
  for (auto& [key, letter] : letters_) {
    if (looked_at == limit) break;
    if (key.first <= due->last_job_id || letter.letter.state != LetterState::kDead) continue;
    if (letter.letter.died_us > operation.created_us || !matches(letter.letter, operation.asked.filter))
      continue;
    ++looked_at;
    due->last_job_id = key.first;
    if (redriving && !operation.asked.forced && letter.letter.generation > operation_rules_.redrives_max) {
      ++operation.guarded;
      continue;
    }
    ++operation.handled;
    ++(redriving ? step.redriven : step.discarded);
    if (redriving) {
      redrive(letter, rows_.at(key.first), operation);
    } else {
      letter.letter.state = LetterState::kDiscarded;
    }
    letter.letter.handled_us = now_us();
    letter.letter.operation_id = operation.id;
  }
  if (looked_at < limit) {
    operation.state = OperationState::kDone;
    operation.finished_us = now_us();
    due->step_due_us = -1;
    write_audit(operation.actor, action_name(operation, ".done"), operation.id.value, "", operation.handled);
  } else if (operation.asked.canary && operation.handled >= *operation.asked.canary) {
    operation.state = OperationState::kCanary;
    due->step_due_us = -1;
  } else {
    const double pause_s =
        operation.asked.rate_max ? std::min(looked_at / *operation.asked.rate_max, 3600.0) : 0;
    due->step_due_us = now_us() + std::llround(pause_s * 1e6);
  }
  return step;
}

}  // namespace sluice::testing
