// Follows a redrive or discard to its end. The server does the work: leaving stops nothing.
#include <algorithm>
#include <optional>

#include "operator/commands/letters.h"
#include "operator/output/text.h"

namespace sluice::operate {

using nlohmann::json;

namespace {

constexpr std::chrono::milliseconds kLook{500};
constexpr int kBarColumns = 20;
// For so long a producer may be away: it restarts. One call that stands for longer is not the end yet.
constexpr std::chrono::seconds kAwayMax{15};

std::int64_t done_of(const json& operation) {
  return number_in(operation, "handled") + number_in(operation, "guarded") + number_in(operation, "skipped");
}

std::int64_t unfinished_of(const json& operation) {
  return number_in(member_in(operation, "outcome"), "unfinished");
}

class Watch {
 public:
  Watch(Tool& tool, json operation, const WatchGoal& goal)
      : tool_(tool),
        operation_(std::move(operation)),
        goal_(goal),
        id_(safe_text(text_in(operation_, "id"))),
        progress_(tool.console),
        began_(tool.clock.steady_now()),
        done_at_start_(done_of(operation_)) {}

  Status run() {
    while (!over()) {
      progress_.show(line());
      if (tool_.waiter.wait(kLook)) return left();
      SLUICE_TRY(look());
    }
    progress_.clear();
    return tell();
  }

 private:
  std::string status() const { return text_in(operation_, "status"); }
  bool redrive() const { return text_in(operation_, "kind") == "redrive"; }

  // Of fewer letters than the canary was to have, all belong to it, and the server has nothing to wait with.
  bool all_were_canary() const {
    const std::int64_t canary = number_in(operation_, "canary");
    return status() == "done" && canary > 0 && number_in(operation_, "handled") <= canary;
  }

  // A canary is told about once its jobs have ended.
  bool jobs_count() const {
    return redrive() && (status() == "canary" || all_were_canary() || goal_.outcome);
  }

  bool over() const { return status() != "running" && (!jobs_count() || unfinished_of(operation_) == 0); }

  // A producer may be restarting: its absence is borne for a while.
  Status look() {
    const SteadyTime asked_at = tool_.clock.steady_now();
    auto next = tool_.api.get("/v1/admin/operations/" + path_part(text_in(operation_, "id")));
    if (next) {
      away_since_.reset();
      misses_ = 0;
      operation_ = *std::move(next);
      return {};
    }
    if (!away_since_) away_since_ = asked_at;
    const bool away_too_long = ++misses_ > 1 && tool_.clock.steady_now() - *away_since_ > kAwayMax;
    if (next.error().code != ErrorCode::kUnavailable || away_too_long) {
      next.error().message += "\n  " + resume_hint();
      return fail(std::move(next).error());
    }
    return {};
  }

  std::string resume_hint() const {
    return id_ + " goes on at the server. Look again: sluicectl dlq watch " + id_ +
           "; stop it: sluicectl dlq stop " + id_;
  }

  Status left() {
    progress_.clear();
    return fail(ErrorCode::kCancelled, resume_hint());
  }

  std::string line() const {
    const std::int64_t total = number_in(operation_, "total");
    const std::int64_t done = done_of(operation_);
    if (status() != "running") {
      const json& outcome = member_in(operation_, "outcome");
      const std::int64_t ended = number_in(outcome, "succeeded") + number_in(outcome, "ended_otherwise");
      return count_text(ended) + " of " + counted(ended + unfinished_of(operation_), "job", "jobs") +
             " ended, " + count_text(number_in(outcome, "succeeded")) + " well";
    }
    const double share = total == 0 ? 1 : static_cast<double>(done) / static_cast<double>(total);
    std::string text = (redrive() ? "redriving " : "discarding ") + progress_bar(share, kBarColumns) + " " +
                       count_text(done) + " of " + count_text(total);
    const double seconds = std::chrono::duration<double>(tool_.clock.steady_now() - began_).count();
    const auto moved = static_cast<double>(done - done_at_start_);
    if (moved > 0 && seconds > 0) {
      const double rate = moved / seconds;
      text += ", " + count_text(static_cast<std::int64_t>(std::max(1.0, rate))) + "/s, about " +
              duration_text(static_cast<std::int64_t>(static_cast<double>(total - done) / rate)) + " left";
    }
    return text;
  }

  Status tell() {
    const json& outcome = member_in(operation_, "outcome");
    const std::int64_t otherwise = number_in(outcome, "ended_otherwise");
    const bool canary = status() == "canary";
    // Whoever waited for the jobs wants to know by the exit code.
    const bool bad = otherwise > 0 && jobs_count();
    if (!printed_json(tool_, operation_)) print(outcome, canary);
    if (goal_.asked_here && status() == "cancelled") {
      return fail(ErrorCode::kConflict, id_ + " was stopped before its end: sluicectl audit tells by whom");
    }
    if (!bad) return {};
    return fail(ErrorCode::kConflict, counted(otherwise, "redriven job", "redriven jobs") +
                                          " ended badly again: sluicectl dlq list" +
                                          (canary ? "; the rest waits: sluicectl dlq stop " + id_ : ""));
  }

  void print(const json& outcome, bool canary) {
    std::ostream& out = tool_.out();
    const std::int64_t guarded = number_in(operation_, "guarded");
    const std::int64_t skipped = number_in(operation_, "skipped");
    out << (redrive() ? "redrove " : "discarded ") << count_text(number_in(operation_, "handled")) << " of "
        << counted(number_in(operation_, "total"), "dead letter", "dead letters");
    if (const std::int64_t finished = number_in(operation_, "finished_at"); finished > 0) {
      out << " in " << duration_text(finished - number_in(operation_, "created_at"));
    }
    if (status() == "cancelled") out << ", then it was stopped";
    out << "  (" << id_ << ")\n";
    if (guarded > 0)
      out << "  " << count_text(guarded) << " were redriven too often before: --force takes them\n";
    if (skipped > 0) out << "  " << count_text(skipped) << " were handled by somebody else meanwhile\n";
    if (!redrive()) return;
    out << "  of these jobs " << count_text(number_in(outcome, "succeeded")) << " succeeded, "
        << count_text(number_in(outcome, "ended_otherwise")) << " ended otherwise, "
        << count_text(number_in(outcome, "unfinished")) << " are unfinished\n";
    if (canary) {
      out << "  the canary is over and the rest waits for you:\n    go on: sluicectl dlq continue " << id_
          << "\n    stop:  sluicectl dlq stop " << id_ << "\n";
    }
  }

  Tool& tool_;
  json operation_;
  const WatchGoal goal_;
  const std::string id_;
  Progress progress_;
  const SteadyTime began_;
  const std::int64_t done_at_start_;
  int misses_ = 0;
  std::optional<SteadyTime> away_since_;  // Since then no look was answered.
};

}  // namespace

Status watch(Tool& tool, json operation, const WatchGoal& goal) {
  return Watch(tool, std::move(operation), goal).run();
}

}  // namespace sluice::operate
