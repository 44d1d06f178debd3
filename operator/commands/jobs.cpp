// jobs list, show and cancel.
#include "operator/commands/commands.h"
#include "operator/output/table.h"
#include "operator/output/text.h"

namespace sluice::operate {

using nlohmann::json;

namespace {

std::string error_text(const json& job) {
  const json& error = member_in(job, "error");
  if (!error.is_object()) return {};
  return text_in(error, "code") + ": " + text_in(error, "message");
}

bool is_final(const std::string& status) {
  return status != "queued" && status != "running";
}

}  // namespace

Status list_jobs(Tool& tool, const JobListOptions& options) {
  Query query = {{"status", options.status},
                 {"model", options.model},
                 {"tenant", options.tenant},
                 {"batch_id", options.batch},
                 {"after", options.after}};
  SLUICE_ASSIGN(const json jobs, get_list(tool.api, "/v1/admin/jobs", std::move(query), options.limit));
  if (printed_json(tool, jobs)) return {};
  Table table({{"JOB"},
               {"STATUS"},
               {"TENANT"},
               {"MODEL"},
               {"PRIORITY"},
               {"ATTEMPT", Align::kRight},
               {"AGE", Align::kRight},
               {"ERROR", Align::kLeft, true}});
  for (const json& job : data_in(jobs)) {
    const std::string status = text_in(job, "status");
    table.add({text_in(job, "id"),
               {status, state_style(status)},
               text_in(job, "tenant"),
               text_in(job, "model"),
               text_in(job, "priority"),
               count_text(number_in(job, "attempt")),
               age_in(tool, job, "created_at"),
               error_text(job)});
  }
  if (table.empty()) tool.out() << "no such jobs\n";
  table.print(tool.console);
  print_more(tool, jobs);
  return {};
}

Status show_job(Tool& tool, const std::string& id) {
  SLUICE_ASSIGN(const json job, tool.api.get("/v1/admin/jobs/" + path_part(id)));
  if (printed_json(tool, job)) return {};
  const std::string status = text_in(job, "status");
  Facts facts;
  facts.add("job", text_in(job, "id"));
  facts.add("status", {status, state_style(status)});
  if (const std::string error = error_text(job); !error.empty()) facts.add("error", {error, Style::kBad});
  facts.add("tenant", text_in(job, "tenant"));
  facts.add("model", text_in(job, "model"));
  facts.add("priority", text_in(job, "priority"));
  facts.add("attempt", count_text(number_in(job, "attempt")) + " of generation " +
                           count_text(number_in(job, "generation")));
  facts.add("created", when_in(tool, job, "created_at"));
  facts.add("started", when_in(tool, job, "started_at"));
  facts.add("finished", when_in(tool, job, "finished_at"));
  facts.add("expires", when_in(tool, job, "expires_at"));
  if (const std::string batch = text_in(job, "batch_id"); !batch.empty()) facts.add("batch", batch);
  if (const std::string url = text_in(job, "callback_url"); !url.empty()) facts.add("callback", url);
  for (const auto& [name, value] : member_in(job, "metadata").items()) {
    facts.add("metadata", name + " = " + (value.is_string() ? value.get<std::string>() : value.dump()));
  }
  // Answers belong to the client: only their size is shown, unless somebody asks for JSON.
  if (const json& result = member_in(job, "result"); result.is_object()) {
    const json& usage = member_in(result, "usage");
    facts.add("result", counted(number_in(usage, "completion_tokens"), "token", "tokens") + " for " +
                            count_text(number_in(usage, "prompt_tokens")) + " of the prompt, ended by " +
                            text_in(result, "finish_reason") + " (--json shows the text)");
  }
  facts.print(tool.console);
  if (status == "dead" || status == "failed") {
    tool.out() << tool.console.styled("its dead letter: sluicectl dlq show " + safe_text(id), Style::kDim)
               << "\n";
  }
  return {};
}

Status cancel_jobs(Tool& tool, const std::vector<std::string>& ids) {
  SLUICE_TRY(
      confirm(tool, "Cancel " +
                        (ids.size() == 1 ? "job " + safe_text(ids.front())
                                         : counted(static_cast<std::int64_t>(ids.size()), "job", "jobs")) +
                        "?"));
  json cancelled = json::array();
  for (const std::string& id : ids) {
    auto job = tool.api.post("/v1/admin/jobs/" + path_part(id) + "/cancel", json::object());
    if (!job) {
      if (!cancelled.empty()) {
        job.error().message = safe_text(id) + ": " + job.error().message + "\n  " +
                              counted(static_cast<std::int64_t>(cancelled.size()), "job", "jobs") +
                              " before it in the list were seen to; it and what follows were not.";
      }
      return fail(std::move(job).error());
    }
    const std::string status = text_in(*job, "status");
    if (!tool.json) {
      tool.out() << safe_text(id) << "  "
                 << (status == "cancelled" ? "cancelled"
                     : is_final(status)    ? "was over already: " + safe_text(status)
                                           : "is being cancelled")
                 << "\n";
    }
    cancelled.push_back(*std::move(job));
  }
  printed_json(tool, {{"object", "list"}, {"data", std::move(cancelled)}});
  return {};
}

}  // namespace sluice::operate
