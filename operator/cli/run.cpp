#include "operator/cli/run.h"

#include <algorithm>
#include <iostream>
#include <vector>

#include "common/config/settings.h"
#include "operator/cli/app.h"
#include "operator/client/http_admin_api.h"
#include "operator/output/text.h"

namespace sluice::operate {

namespace {

using nlohmann::json;

// How many letters lie between two words.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t corner = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, corner + (a[i - 1] == b[j - 1] ? 0 : 1)});
      corner = above;
    }
  }
  return row[b.size()];
}

// The command whose words were taken last, and its path: "sluicectl dlq".
const CLI::App& deepest(const CLI::App& app, std::string& path) {
  const CLI::App* at = &app;
  path = at->get_name();
  for (auto subs = at->get_subcommands(); !subs.empty(); subs = at->get_subcommands()) {
    at = subs.front();
    path += " " + at->get_name();
  }
  return *at;
}

// "did you mean", for the first word that fits nowhere.
std::string suggestion(const CLI::App& command, const std::string& word) {
  std::string best;
  std::size_t least = 3;
  const auto offer = [&](const std::string& name) {
    if (const std::size_t apart = distance(word, name); apart < least) {
      least = apart;
      best = name;
    }
  };
  for (const CLI::App* sub : command.get_subcommands([](const CLI::App*) { return true; }))
    offer(sub->get_name());
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) offer("--" + name);
  }
  return best.empty() ? best : " Did you mean '" + best + "'?";
}

int report_words(const CLI::App& app, const CLI::ParseError& error) {
  std::string path;
  const CLI::App& command = deepest(app, path);
  std::string message = error.what();
  const std::vector<std::string> rest = app.remaining(true);
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr && !rest.empty()) {
    message = "'" + rest.front() + "' is no word of " + path + "." + suggestion(command, rest.front());
  } else if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr && !rest.empty()) {
    message = "'" + rest.front() + "' is no command of " + path + "." + suggestion(command, rest.front());
  }
  std::cerr << "sluicectl: " << safe_text(message) << "\n  " << safe_text(path) << " --help says more\n";
  return kExitUsage;
}

int report(const Error& error, bool as_json) {
  if (as_json) {
    const json out = {{"error", {{"code", error_code_name(error.code)}, {"message", error.message}}}};
    std::cerr << out.dump(-1, ' ', true, json::error_handler_t::replace) << "\n";
  } else {
    // Its parts were made safe where they came from, its line ends are ours.
    std::cerr << "sluicectl: " << error.message << "\n";
  }
  return exit_code(error.code);
}

Result<Connection> connection_of(const Invocation& invocation) {
  Connection connection;
  config::Settings settings("sluicectl", "");
  settings.add("url", connection.url, "");
  settings.add("admin-key", connection.key, "");
  std::vector<std::string> flags;
  if (!invocation.url.empty()) flags.push_back("--url=" + invocation.url);
  if (!invocation.admin_key_file.empty()) flags.push_back("--admin-key-file=" + invocation.admin_key_file);
  const config::Parsed parsed = settings.parse(flags, config::process_environment());
  if (!parsed.faults.empty()) {
    const config::Fault& fault = parsed.faults.front();
    return fail(ErrorCode::kInvalid, safe_text(fault.place) + ": " + safe_text(fault.message));
  }
  if (!invocation.timeout.empty()) {
    const auto seconds = parse_duration(invocation.timeout);
    if (!seconds || *seconds < 1 || *seconds > 3'600) {
      return fail(ErrorCode::kInvalid,
                  "--timeout '" + safe_text(invocation.timeout) + "': must be a duration from 1s to 1h");
    }
    connection.timeout = std::chrono::seconds(*seconds);
  }
  return connection;
}

Status call(const Invocation& invocation, Console& console) {
  SLUICE_ASSIGN(Connection connection, connection_of(invocation));
  SLUICE_ASSIGN(const auto api, HttpAdminApi::open(std::move(connection)));
  SystemClock clock;
  SignalWaiter waiter;
  Tool tool{*api, console, clock, waiter, invocation.json, invocation.yes};
  return invocation.call(tool);
}

}  // namespace

int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalid:
      return kExitUsage;
    case ErrorCode::kCancelled:
      return kExitInterrupted;
    default:
      return kExitFailed;
  }
}

int run_command_line(int argc, const char* const* argv) {
  Invocation invocation;
  const auto app = make_app(invocation);
  if (argc < 2) {
    std::cerr << app->help();
    return kExitUsage;
  }
  try {
    app->parse(argc, argv);
  } catch (const CLI::Success& wanted) {  // --help, --version
    return app->exit(wanted);
  } catch (const CLI::ParseError& error) {
    return report_words(*app, error);
  }
  if (!invocation.call && !invocation.print) {
    return report({ErrorCode::kInvalid,
                   "migrate, bootstrap and topology must come first, their options after them: sluicectl "
                   "migrate status --json"},
                  invocation.json);
  }
  Console console = process_console(!invocation.no_colour);
  const Status done = invocation.call ? call(invocation, console) : invocation.print(console);
  std::cout.flush();
  if (!done) return report(done.error(), invocation.json);
  if (!std::cout) return report({ErrorCode::kInternal, "standard output can't be written"}, false);
  return kExitDone;
}

}  // namespace sluice::operate
