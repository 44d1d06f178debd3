// dlq: dead letters, and the operations that move many of them.
#include "operator/cli/words.h"
#include "operator/commands/commands.h"

namespace sluice::operate {

namespace {

void add_filter(CLI::App& command, LetterFilter& filter) {
  constexpr const char* kGroup = "Which letters";
  const auto add = [&](const char* name, std::string& target, const char* help, const char* type) {
    return command.add_option(name, target, help)->group(kGroup)->type_name(type)->check(not_empty);
  };
  add("--fingerprint", filter.fingerprint, "Of this cause (dlq list)", "HEX");
  add("--error", filter.error_code, "With this error code", "CODE");
  command
      .add_option("--reason", filter.reason,
                  "Out of attempts, killers of their workers, refused by the engine, or expired")
      ->group(kGroup)
      ->check(CLI::IsMember({"attempts", "poison", "failed", "expired"}));
  add("--model", filter.model, "Of this model", "NAME");
  add("--tenant", filter.tenant, "Of this tenant", "NAME");
  add("--from", filter.from, "Died then or later: 2h (ago), 2026-11-22T07:20 (UTC), @SECONDS", "TIME");
  add("--before", filter.before, "Died before then", "TIME");
}

void add_choice(CLI::App& command, MoveOptions& options) {
  command.add_option("JOB", options.ids, "Ids of jobs, instead of a filter");
  add_filter(command, options.filter);
  command.add_flag("--all", options.all, "Every dead letter there is")->group("Which letters");
  command.add_flag("--dry-run", options.dry_run, "Only say how many, and of which causes");
  command.add_flag("--no-wait", options.no_wait, "Start it and leave it to the server");
}

void add_outcome(CLI::App& command, bool& outcome) {
  command.add_flag("--outcome", outcome,
                   "Wait until the redriven jobs have ended; 1 if one ended badly again");
}

void add_moves(CLI::App& dlq, Invocation& invocation) {
  CLI::App* redrive = dlq.add_subcommand("redrive", "Run the jobs again");
  const auto redriven = on_call<MoveOptions>(*redrive, invocation, redrive_letters);
  add_choice(*redrive, *redriven);
  redrive->add_option("--canary", redriven->canary, "Run so many first, then wait for: dlq continue")
      ->type_name("N")
      ->check(from_to(1, 1'000'000));
  redrive->add_option("--rate", redriven->rate, "At most so many a second")
      ->type_name("N")
      ->check(from_to(0.001, 100'000.0));
  redrive->add_flag("--force", redriven->force, "Also those that were redriven too often before");
  redrive->add_option("--expires-in", redriven->expires_in, "Time given to the jobs; default: as at first")
      ->type_name("DURATION")
      ->check(not_empty);
  add_outcome(*redrive, redriven->outcome);
  add_yes(*redrive, invocation);
  redrive->footer("Ctrl-C leaves the work to the server; dlq watch shows it again, dlq stop ends it.");

  CLI::App* discard = dlq.add_subcommand("discard", "Give the jobs up: they stay as they ended");
  const auto discarded = on_call<MoveOptions>(*discard, invocation, discard_letters);
  add_choice(*discard, *discarded);
  add_yes(*discard, invocation);
}

void add_operations(CLI::App& dlq, Invocation& invocation) {
  CLI::App* operations = dlq.add_subcommand("operations", "Redrives and discards, the newest first");
  struct Listed {
    int limit = kListDefault;
    std::string after;
  };
  const auto listed = on_call<Listed>(*operations, invocation, [](Tool& tool, const Listed& options) {
    return list_operations(tool, options.limit, options.after);
  });
  add_paging(*operations, listed->limit, listed->after);

  const auto add = [&](const char* name, const char* help, Status (*run)(Tool&, const WatchOptions&)) {
    CLI::App* command = dlq.add_subcommand(name, help);
    const auto options = on_call<WatchOptions>(*command, invocation, run);
    command->add_option("OPERATION", options->id, "Its id (dlq operations)")->required();
    return std::pair(command, options);
  };
  const auto [watch, watched] = add("watch", "Follow a redrive or discard to its end", watch_operation);
  add_outcome(*watch, watched->outcome);
  const auto [go_on, continued] = add("continue", "Redrive the rest after the canary", continue_operation);
  add_outcome(*go_on, continued->outcome);
  go_on->add_flag("--no-wait", continued->no_wait, "Leave it to the server");
  add("stop", "End it; what was moved stays moved", stop_operation);
}

}  // namespace

void add_letters(CLI::App& app, Invocation& invocation) {
  CLI::App* dlq = add_group(app, "dlq", "Dead letters: jobs that ended as dead or failed");

  CLI::App* list = dlq->add_subcommand("list", "By cause; with --each, --state or --after single letters");
  const auto listed = on_call<LetterListOptions>(*list, invocation, list_letters);
  list->add_flag("--each", listed->each, "Single letters instead of causes");
  list->add_option("--state", listed->state, "Letters of this state; default dead: nobody has handled them")
      ->check(CLI::IsMember({"dead", "redriven", "replayed", "discarded", "any"}));
  add_filter(*list, listed->filter);
  add_paging(*list, listed->limit, listed->after);

  CLI::App* show = dlq->add_subcommand("show", "One letter with its attempts, or one cause");
  const auto shown = on_call<std::string>(*show, invocation, show_letter);
  show->add_option("JOB", *shown, "Id of the job, or a fingerprint")->required();

  add_moves(*dlq, invocation);
  add_operations(*dlq, invocation);

  CLI::App* replay = dlq->add_subcommand("replay", "Run a corrected copy of one job, as a new job");
  const auto replayed = on_call<ReplayOptions>(*replay, invocation, replay_letter);
  replay->add_option("JOB", replayed->id, "Id of the job")->required();
  replay
      ->add_option("--set", replayed->set,
                   "Change a field of the request, e.g. parameters.max_tokens=64; null drops it")
      ->type_name("FIELD=VALUE")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  replay->add_option("--changes", replayed->changes, "JSON file with the fields to change; -: standard input")
      ->type_name("FILE");

  CLI::App* save = dlq->add_subcommand("export", "Letters with their requests, a line of JSON each");
  const auto saved = on_call<ExportOptions>(*save, invocation, export_letters);
  save->add_option("-o,--output", saved->file, "Default: standard output")->type_name("FILE");
  add_filter(*save, saved->filter);
}

}  // namespace sluice::operate
