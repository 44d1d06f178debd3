// pause, resume and pauses.
#include <algorithm>

#include "operator/commands/commands.h"
#include "operator/output/table.h"
#include "operator/output/text.h"

namespace sluice::operate {

using nlohmann::json;

namespace {

// Workers that were lost within the hour count, too. False if that can't be told: the pause holds anyway.
bool nobody_serves(Tool& tool, const std::string& model) {
  const Result<json> workers = tool.api.get("/v1/admin/workers");
  if (!workers) return false;
  const json& all = data_in(*workers);
  return std::none_of(all.begin(), all.end(),
                      [&](const json& worker) { return member_in(worker, "model") == json(model); });
}

}  // namespace

Status list_pauses(Tool& tool) {
  SLUICE_ASSIGN(const json pauses, tool.api.get("/v1/admin/pauses"));
  if (printed_json(tool, pauses)) return {};
  Table table({{"PAUSED"}, {"NAME"}, {"FOR", Align::kRight}, {"BY"}, {"REASON", Align::kLeft, true}});
  for (const json& pause : data_in(pauses)) {
    table.add({text_in(pause, "kind"), text_in(pause, "name"), age_in(tool, pause, "since"),
               text_in(member_in(pause, "actor"), "key"), text_in(pause, "reason")});
  }
  if (table.empty()) tool.out() << "nothing is paused\n";
  table.print(tool.console);
  return {};
}

Status pause(Tool& tool, const PauseOptions& options) {
  json body = {{"kind", options.kind}, {"name", options.name}};
  if (!options.reason.empty()) body["reason"] = options.reason;
  SLUICE_ASSIGN(const json made, tool.api.post("/v1/admin/pauses", std::move(body)));
  if (printed_json(tool, made)) return {};
  const std::string name = safe_text(options.name);
  tool.out() << options.kind << " " << name
             << " is paused: its jobs are accepted and wait; what runs goes on. End it: sluicectl resume "
             << options.kind << " " << name << "\n";
  if (options.kind == "model" && nobody_serves(tool, options.name)) {
    tool.out()
        << "But no worker serves a model of that name, or did so in the last hour. The names: sluicectl "
           "queues\n";
  }
  return {};
}

Status resume(Tool& tool, const PauseOptions& options) {
  SLUICE_ASSIGN(const json ended,
                tool.api.post("/v1/admin/pauses/end", {{"kind", options.kind}, {"name", options.name}}));
  if (printed_json(tool, ended)) return {};
  tool.out() << options.kind << " " << safe_text(options.name) << " goes on\n";
  return {};
}

}  // namespace sluice::operate
