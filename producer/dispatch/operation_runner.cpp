#include "producer/dispatch/operation_runner.h"

#include <utility>

#include "common/base/failpoint.h"

namespace sluice::producer {

OperationRunner::OperationRunner(OperationStore& operations, DeadLetterStore& letters, HotJobs& hot,
                                 std::function<void()> on_redriven, OperationRunnerConfig config,
                                 Clock& clock, Log log, LoopMetrics metrics)
    : operations_(operations),
      letters_(letters),
      hot_(hot),
      on_redriven_(std::move(on_redriven)),
      config_(config),
      clock_(clock),
      log_(std::move(log)),
      metrics_(std::move(metrics)),
      loop_("operations", clock, [this] { return run_once(); }) {}

Duration OperationRunner::run_once() {
  const auto step = operations_.step_operation(call_deadline());
  if (!step) {
    failed("operation_step_failed", step.error());
    return config_.retry_after;
  }
  if (step->worked) SLUICE_FAILPOINT("operations.after_step");
  if (step->redriven > 0) {
    metrics_.letters_moved.with({"redriven"}).add(step->redriven);
    on_redriven_();
  }
  if (step->discarded > 0) metrics_.letters_moved.with({"discarded"}).add(step->discarded);
  if (step->worked) {
    log_.info(
        "operation_step",
        {{"operation_id", step->id.value}, {"redriven", step->redriven}, {"discarded", step->discarded}});
  }
  const Copies copies = outdate_copies();
  if (step->worked) return Duration::zero();  // Jobs run again whether Redis is there or not.
  switch (copies) {
    case Copies::kMoreAreDue:
      return Duration::zero();
    case Copies::kFailed:
      return config_.retry_after;
    case Copies::kDone:
      break;
  }
  return config_.look_every;
}

OperationRunner::Copies OperationRunner::outdate_copies() {
  const auto due = letters_.due_copies(config_.copies_max, call_deadline());
  if (!due) {
    failed("due_copies_failed", due.error());
    return Copies::kFailed;
  }
  if (due->empty()) return Copies::kDone;
  if (const Status done = hot_.outdate(*due, call_deadline()); !done) {
    failed("copies_not_outdated",
           done.error());  // They stay due: until then Redis may tell of their earlier end.
    return Copies::kFailed;
  }
  SLUICE_FAILPOINT("operations.after_outdate");
  if (const Status marked = letters_.mark_copies(*due, call_deadline()); !marked) {
    failed("copies_not_marked", marked.error());
    return Copies::kFailed;
  }
  return due->size() < static_cast<std::size_t>(config_.copies_max) ? Copies::kDone : Copies::kMoreAreDue;
}

void OperationRunner::failed(const char* what, const Error& error) {
  metrics_.loop_failures.with({"operations"}).add();
  log_.warn_limited(what, {{"code", error_code_name(error.code)}, {"error", error.message}});
}

}  // namespace sluice::producer
