// sluicectl: the operator's command line.
#include <cstdio>
#include <exception>
#include <string_view>

#include "common/config/settings.h"
#include "common/mysql/settings.h"
#include "common/rabbitmq/settings.h"
#include "operator/commands/command.h"

namespace {

using namespace sluice;
using namespace sluice::operate;

struct Command {
  std::string_view name;
  std::string_view usage;
  std::string_view help;
  Status (*run)(Context&, const std::vector<std::string>&);
};

constexpr Command kCommands[] = {
    {"migrate", "migrate up | down [N] | status", "bring the database's schema up or down", migrate},
    {"bootstrap", "bootstrap", "make the first tenant, its keys and its webhook secret", bootstrap},
    {"topology", "topology apply | verify", "declare or check the broker's exchanges and queues", topology},
};

void print_usage(FILE* to) {
  std::fprintf(to, "usage: sluicectl COMMAND … [--setting VALUE …]\n\n");
  for (const Command& command : kCommands) {
    std::fprintf(to, "  %-34.*s  %.*s\n", static_cast<int>(command.usage.size()), command.usage.data(),
                 static_cast<int>(command.help.size()), command.help.data());
  }
  std::fprintf(
      to, "\nSettings come from flags, SLUICE_… variables or a file; sluicectl COMMAND --help lists them.\n");
}

void bind_all(config::Settings& settings, operate::Settings& values) {
  bind(settings, values.mysql);
  bind(settings, values.rabbitmq);
  settings.add("tenant", values.tenant, "Name of the tenant to set up");
  settings.add("master-key", values.master_key,
               "Base64 of 32 bytes: seals secrets in the database; see -file");
  settings.add("api-key", values.api_key, "Key with the scopes submit and read");
  settings.add("admin-key", values.admin_key, "Key with every scope");
  settings.add("webhook-secret", values.webhook_secret, "whsec_…: signs webhooks of per-job callback URLs");
  settings.add("json", values.json, "Print JSON");
  settings.add("timeout", values.timeout, "Longest time for each step");
}

int run(int argc, char** argv) {
  std::vector<std::string> words;
  std::vector<const char*> flags = {argv[0]};
  for (int i = 1; i < argc; ++i) {
    if (flags.size() == 1 && argv[i][0] != '-') {
      words.emplace_back(argv[i]);
    } else {
      flags.push_back(argv[i]);
    }
  }
  const bool wants_help =
      flags.size() > 1 && (std::string_view(flags[1]) == "--help" || std::string_view(flags[1]) == "-h");
  if (words.empty()) {
    print_usage(wants_help ? stdout : stderr);
    return wants_help ? 0 : 2;
  }
  const Command* chosen = nullptr;
  for (const Command& command : kCommands) {
    if (command.name == words[0]) chosen = &command;
  }
  if (chosen == nullptr) {
    std::fprintf(stderr, "sluicectl: there is no command '%s'\n\n", words[0].c_str());
    print_usage(stderr);
    return 2;
  }
  words.erase(words.begin());

  config::Settings settings("sluicectl", std::string(chosen->help));
  operate::Settings values;
  bind_all(settings, values);
  if (const auto code = settings.load(static_cast<int>(flags.size()), flags.data())) return *code;

  SystemClock clock;
  SystemRng rng;
  Context context{std::move(values), clock, rng};
  if (const Status done = chosen->run(context, words); !done) {
    std::fprintf(stderr, "sluicectl: %s\n", done.error().message.c_str());
    return done.error().code == ErrorCode::kInvalid ? 2 : 1;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "sluicectl: %s\n", e.what());
    return 1;
  }
}
