#include "operator/commands/setup.h"

#include <cstdio>
#include <string_view>

#include "common/config/settings.h"
#include "common/mysql/settings.h"
#include "common/rabbitmq/settings.h"
#include "operator/commands/command.h"

namespace sluice::operate {

namespace {

struct Command {
  std::string_view name;
  std::string_view help;
  Status (*run)(Context&, const std::vector<std::string>&);
};

constexpr Command kCommands[] = {
    {"migrate", "migrate up | down [N] | status: bring the database's schema up or down", migrate},
    {"bootstrap", "bootstrap: make the first tenant, its keys and its webhook secret", bootstrap},
    {"topology", "topology apply | verify: declare or check the broker's exchanges and queues", topology},
};

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

}  // namespace

int run_setup(int argc, char** argv) {
  std::vector<std::string> words;
  std::vector<const char*> flags = {argv[0]};
  for (int i = 2; i < argc; ++i) {
    if (flags.size() == 1 && argv[i][0] != '-') {
      words.emplace_back(argv[i]);
    } else {
      flags.push_back(argv[i]);
    }
  }
  const Command* chosen = nullptr;
  for (const Command& command : kCommands) {
    if (command.name == argv[1]) chosen = &command;
  }
  if (chosen == nullptr) return 2;

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

}  // namespace sluice::operate
