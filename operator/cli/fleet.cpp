// status, queues, workers, drain, undrain, pause, resume, pauses.
#include "operator/cli/words.h"
#include "operator/commands/commands.h"

namespace sluice::operate {

namespace {

void add_pause(CLI::App& app, Invocation& invocation, const char* name, const char* help,
               Status (*run)(Tool&, const PauseOptions&), bool with_reason) {
  CLI::App* command = app.add_subcommand(name, help);
  const auto options = on_call<PauseOptions>(*command, invocation, run);
  command->add_option("KIND", options->kind, "model or tenant")
      ->required()
      ->check(CLI::IsMember({"model", "tenant"}));
  command->add_option("NAME", options->name, "Its name")->required();
  if (with_reason)
    command->add_option("--reason", options->reason, "For people who wonder")->type_name("TEXT");
}

}  // namespace

void add_fleet(CLI::App& app, Invocation& invocation) {
  on_call(*app.add_subcommand("status", "What waits, what runs, what needs somebody"), invocation,
          show_status);
  on_call(*app.add_subcommand("queues", "Jobs by model and priority, and what is at the broker"), invocation,
          list_queues);
  on_call(*app.add_subcommand("workers", "Workers, and what they hold"), invocation, list_workers);

  CLI::App* drain = app.add_subcommand("drain", "Let a worker finish what it holds and take no more");
  const auto options = on_call<DrainOptions>(*drain, invocation, drain_worker);
  drain->add_option("WORKER", options->worker, "Its id (sluicectl workers)")->required();
  drain->add_flag("--wait", options->wait, "Wait until it holds no job");

  CLI::App* undrain = app.add_subcommand("undrain", "Let a drained worker take jobs again");
  const auto undo = on_call<DrainOptions>(*undrain, invocation, drain_worker);
  undo->undo = true;
  undrain->add_option("WORKER", undo->worker, "Its id (sluicectl workers)")->required();

  add_pause(app, invocation, "pause", "Hold back the jobs of a model or a tenant", pause, true);
  add_pause(app, invocation, "resume", "End a pause", resume, false);
  on_call(*app.add_subcommand("pauses", "What is paused"), invocation, list_pauses);
}

}  // namespace sluice::operate
