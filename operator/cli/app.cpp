#include "operator/cli/app.h"

#include <array>

#include "operator/cli/completion.h"
#include "operator/cli/man_page.h"
#include "operator/cli/run.h"

namespace sluice::operate {

namespace {

struct SetupCommand {
  const char* name;
  const char* help;
  std::vector<std::pair<const char*, const char*>> verbs;
};

const std::array<SetupCommand, 3>& setup_commands() {
  static const std::array<SetupCommand, 3> commands = {{
      {"migrate",
       "Bring the database's schema up or down",
       {{"up", "Apply what is missing"},
        {"down", "Revert the last N (default 1)"},
        {"status", "Show what is applied"}}},
      {"bootstrap", "Make the first tenant, its keys and its webhook secret", {}},
      {"topology",
       "Declare or check the broker's exchanges and queues",
       {{"apply", "Declare them"}, {"verify", "Check them"}}},
  }};
  return commands;
}

void add_printing(CLI::App& app, Invocation& invocation) {
  CLI::App* completion =
      app.add_subcommand("completion", "Print what makes a shell complete sluicectl's words");
  auto shell = std::make_shared<std::string>();
  completion->add_option("SHELL", *shell, "bash or zsh")->required()->check(CLI::IsMember({"bash", "zsh"}));
  completion->footer("bash: source <(sluicectl completion bash)\nzsh:  source <(sluicectl completion zsh)");
  completion->callback([&app, &invocation, shell] {
    invocation.print = [&app, shell](Console& console) -> Status {
      console.out << completion_script(app, *shell);
      return {};
    };
  });
  CLI::App* man = app.add_subcommand("man", "Print the man page (man -l <(sluicectl man))");
  man->callback([&app, &invocation] {
    invocation.print = [&app](Console& console) -> Status {
      console.out << man_page(app);
      return {};
    };
  });
}

}  // namespace

bool is_setup_command(std::string_view word) {
  for (const SetupCommand& command : setup_commands()) {
    if (word == command.name) return true;
  }
  return false;
}

void add_setup(CLI::App& app) {
  for (const SetupCommand& command : setup_commands()) {
    CLI::App* added =
        app.add_subcommand(command.name, command.help)->group("Set-up (with the servers' settings)");
    for (const auto& [verb, help] : command.verbs) added->add_subcommand(verb, help);
    added->footer(std::string("sluicectl ") + command.name + " --help lists its settings.");
  }
}

std::unique_ptr<CLI::App> make_app(Invocation& invocation) {
  auto app = std::make_unique<CLI::App>("Looks after an installation of sluice.", "sluicectl");
  app->fallthrough();
  app->require_subcommand(1);
  app->set_version_flag("--version", SLUICE_VERSION);
  app->get_formatter()->column_width(34);
  app->add_option("--url", invocation.url, "Address of a producer; else SLUICE_URL")->type_name("URL");
  app->add_option("--admin-key-file", invocation.admin_key_file,
                  "File with a key of the scope admin; else SLUICE_ADMIN_KEY or SLUICE_ADMIN_KEY_FILE")
      ->type_name("FILE");
  app->add_option("--timeout", invocation.timeout, "Longest time for each call; default 30s")
      ->type_name("DURATION");
  app->add_flag("--json", invocation.json, "Print JSON, as the server answered it");
  app->add_flag("--no-color", invocation.no_colour, "No colour, on a terminal either; so does NO_COLOR");
  app->footer(
      "These options may stand after every command but those of set-up. sluicectl COMMAND --help says more.\n"
      "Exit codes: 0 done, 1 failed, 2 the command line or a value in it is wrong, 130 left by Ctrl-C.");
  add_fleet(*app, invocation);
  add_limits(*app, invocation);
  add_jobs(*app, invocation);
  add_letters(*app, invocation);
  add_deliveries(*app, invocation);
  add_accounts(*app, invocation);
  add_setup(*app);
  add_printing(*app, invocation);
  return app;
}

}  // namespace sluice::operate
