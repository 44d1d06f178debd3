// jobs list, show, cancel.
#include "operator/cli/words.h"
#include "operator/commands/commands.h"

namespace sluice::operate {

void add_jobs(CLI::App& app, Invocation& invocation) {
  CLI::App* jobs = add_group(app, "jobs", "Single jobs of any tenant");

  CLI::App* list = jobs->add_subcommand("list", "The newest jobs");
  const auto listed = on_call<JobListOptions>(*list, invocation, list_jobs);
  list->add_option("--status", listed->status, "Only these")
      ->check(CLI::IsMember({"queued", "running", "succeeded", "failed", "dead", "cancelled", "expired"}));
  list->add_option("--model", listed->model, "Only of this model")->type_name("NAME")->check(not_empty);
  list->add_option("--tenant", listed->tenant, "Only of this tenant")->type_name("NAME")->check(not_empty);
  list->add_option("--batch", listed->batch, "Only of this batch")->type_name("ID")->check(not_empty);
  add_paging(*list, listed->limit, listed->after);

  CLI::App* show = jobs->add_subcommand("show", "One job, without its prompt and answer");
  const auto shown = on_call<std::string>(*show, invocation, show_job);
  show->add_option("JOB", *shown, "Its id")->required();

  CLI::App* cancel = jobs->add_subcommand("cancel", "End jobs that have not ended");
  const auto cancelled = on_call<std::vector<std::string>>(*cancel, invocation, cancel_jobs);
  cancel->add_option("JOB", *cancelled, "Their ids")->required();
  add_yes(*cancel, invocation);
}

}  // namespace sluice::operate
