// status, queues, workers, drain and undrain.
#include "common/ids/ids.h"
#include "operator/commands/commands.h"
#include "operator/output/table.h"
#include "operator/output/text.h"

namespace sluice::operate {

using nlohmann::json;

namespace {

constexpr std::chrono::milliseconds kLook{1000};
// A worker speaks each second: after so many it has heard of a drain and told what it holds since.
constexpr std::int64_t kHeardS = 3;

Cell count_cell(std::int64_t count, Style when_any = Style::kPlain) {
  return {count_text(count), count > 0 ? when_any : Style::kPlain};
}

std::string workers_text(const json& workers) {
  std::string text;
  for (const char* state : {"working", "draining", "drained", "silent"}) {
    const std::int64_t count = number_in(workers, state);
    if (count == 0) continue;
    if (!text.empty()) text += ", ";
    text += count_text(count) + " " + state;
  }
  return text.empty() ? "none" : text;
}

std::string pause_text(const Tool& tool, const json& pause) {
  std::string text =
      text_in(pause, "kind") + " " + text_in(pause, "name") + " for " + age_in(tool, pause, "since");
  if (const std::string reason = text_in(pause, "reason"); !reason.empty()) text += ": " + reason;
  return text;
}

void add_worker(const Tool& tool, Table& table, const json& worker) {
  const std::string state = text_in(worker, "state");
  const std::string held =
      count_text(number_in(worker, "held_jobs")) + "/" + count_text(number_in(worker, "jobs_max"));
  table.add({text_in(worker, "id"),
             {state, state_style(state)},
             text_in(worker, "model"),
             text_in(worker, "engine"),
             state == "silent" ? "-" : held,  // Others took over what it said that it holds.
             duration_text(number_in(worker, "silent_seconds")),
             age_in(tool, worker, "started_at"),
             text_in(worker, "version")});
}

std::string depth_text(const json& broker, const char* name) {
  return broker.is_object() ? count_text(number_in(broker, name)) : "?";
}

Result<json> find_worker(Tool& tool, const std::string& id) {
  SLUICE_ASSIGN(const json list, tool.api.get("/v1/admin/workers"));
  for (const json& worker : data_in(list)) {
    if (text_in(worker, "id") == id) return worker;
  }
  return json();
}

}  // namespace

Status show_status(Tool& tool) {
  SLUICE_ASSIGN(const json status, tool.api.get("/v1/admin/status"));
  if (printed_json(tool, status)) return {};
  const json& jobs = member_in(status, "jobs");
  const json& workers = member_in(status, "workers");
  const std::int64_t dead = number_in(status, "dead_letters");
  const std::int64_t shards = number_in(status, "shards_owned");
  const bool publishing = flag_in(member_in(status, "broker"), "publishing");
  const std::string region = text_in(status, "region");

  Facts facts;
  facts.add("server", tool.api.name() + ", version " + text_in(status, "version") +
                          (region.empty() ? "" : ", region " + region));
  facts.add("jobs", count_text(number_in(jobs, "queued")) + " queued, " +
                        count_text(number_in(jobs, "running")) + " running");
  const bool none_work = number_in(workers, "working") == 0;
  facts.add("workers", {workers_text(workers), none_work ? Style::kBad : Style::kPlain});
  facts.add("dead letters", {count_text(dead) + (dead > 0 ? "  (sluicectl dlq list)" : ""),
                             dead > 0 ? Style::kWarn : Style::kPlain});
  facts.add("broker", {publishing ? "publishing" : "not reached: jobs wait in the database",
                       publishing ? Style::kPlain : Style::kBad});
  facts.add("shards", {count_text(shards) + " of " + count_text(kShards) + " served",
                       shards < kShards ? Style::kBad : Style::kPlain});
  facts.add("events", count_text(number_in(status, "undecided_events")) + " on their way");
  facts.add("deliveries", count_text(number_in(status, "pending_deliveries")) + " pending");
  const std::int64_t open = number_in(status, "open_operations");
  facts.add("operations", count_text(open) + " open" + (open > 0 ? "  (sluicectl dlq operations)" : ""));
  for (const json& pause : member_in(status, "pauses")) {
    facts.add("paused", {pause_text(tool, pause), Style::kWarn});
  }
  facts.print(tool.console);
  return {};
}

Status list_queues(Tool& tool) {
  SLUICE_ASSIGN(const json queues, tool.api.get("/v1/admin/queues"));
  if (printed_json(tool, queues)) return {};
  Table table({{"MODEL"},
               {"PRIORITY"},
               {"QUEUED", Align::kRight},
               {"OVERDUE", Align::kRight},
               {"RUNNING", Align::kRight},
               {"AT BROKER", Align::kRight},
               {"CONSUMERS", Align::kRight},
               {"STATE"}});
  for (const json& queue : data_in(queues)) {
    const json& broker = member_in(queue, "broker");
    const bool paused = flag_in(queue, "paused");
    table.add({text_in(queue, "model"),
               text_in(queue, "priority"),
               count_cell(number_in(queue, "queued")),
               count_cell(number_in(queue, "overdue"), Style::kWarn),
               count_cell(number_in(queue, "running")),
               depth_text(broker, "ready"),
               depth_text(broker, "consumers"),
               {paused ? "paused" : "", paused ? Style::kWarn : Style::kPlain}});
  }
  if (table.empty()) tool.out() << "no model is served and nothing waits\n";
  table.print(tool.console);
  Table system({{"SYSTEM QUEUE"}, {"AT BROKER", Align::kRight}, {"CONSUMERS", Align::kRight}});
  for (const json& queue : member_in(queues, "system")) {
    const json& broker = member_in(queue, "broker");
    system.add({text_in(queue, "name"), depth_text(broker, "ready"), depth_text(broker, "consumers")});
  }
  if (!system.empty()) tool.out() << "\n";
  system.print(tool.console);
  return {};
}

Status list_workers(Tool& tool) {
  SLUICE_ASSIGN(const json workers, tool.api.get("/v1/admin/workers"));
  if (printed_json(tool, workers)) return {};
  Table table({{"WORKER"},
               {"STATE"},
               {"MODEL"},
               {"ENGINE"},
               {"JOBS", Align::kRight},
               {"SEEN AGO", Align::kRight},
               {"UP", Align::kRight},
               {"VERSION"}});
  for (const json& worker : data_in(workers)) add_worker(tool, table, worker);
  if (table.empty()) tool.out() << "no worker has been heard of in the last hour\n";
  table.print(tool.console);
  return {};
}

Status drain_worker(Tool& tool, const DrainOptions& options) {
  const std::string path = "/v1/admin/workers/" + path_part(options.worker);
  SLUICE_ASSIGN(json worker, tool.api.post(path + (options.undo ? "/undrain" : "/drain"), json::object()));
  const std::string name = safe_text(options.worker);
  if (!options.wait || options.undo) {
    if (printed_json(tool, worker)) return {};
    tool.out() << name
               << (options.undo
                       ? " takes jobs again\n"
                       : " takes no more jobs, as soon as it hears of it. Is it done? sluicectl workers\n");
    return {};
  }
  const std::int64_t told_at = number_in(worker, "seen_at");
  Progress progress(tool.console);
  tool.waiter.hold();
  for (;;) {
    const std::string state = text_in(worker, "state");
    if (state == "silent") {
      return fail(ErrorCode::kUnavailable,
                  name +
                      " is silent: it is lost, or can't reach the database. What it held "
                      "goes to others once its leases are over.");
    }
    // What it said before it heard of the drain counts for nothing.
    if (state == "drained" && number_in(worker, "seen_at") >= told_at + kHeardS) break;
    progress.show(name + " still holds " + counted(number_in(worker, "held_jobs"), "job", "jobs"));
    if (tool.waiter.wait(kLook)) {
      return fail(ErrorCode::kCancelled, name + " goes on draining. Look again: sluicectl workers");
    }
    SLUICE_ASSIGN(worker, find_worker(tool, options.worker));
    if (worker.is_null()) {  // It ended and is heard of no more.
      worker = {{"id", options.worker}, {"state", "drained"}, {"held_jobs", 0}};
      break;
    }
  }
  progress.clear();
  if (printed_json(tool, worker)) return {};
  tool.out() << name << " is drained: it holds no job and takes none. It can be stopped.\n";
  return {};
}

}  // namespace sluice::operate
