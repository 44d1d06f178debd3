// Pieces that several groups of commands share. Internal to operator/cli.
#pragma once

#include <charconv>
#include <memory>
#include <sstream>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include "operator/cli/app.h"

namespace sluice::operate {

// A command that calls the server: options of type Options that live as long as the app, and what to do with
// them.
template <class Options>
std::shared_ptr<Options> on_call(CLI::App& command, Invocation& invocation,
                                 Status (*run)(Tool&, const Options&)) {
  auto options = std::make_shared<Options>();
  command.callback([&invocation, options, run] {
    invocation.call = [options, run](Tool& tool) { return run(tool, *options); };
  });
  return options;
}

inline void on_call(CLI::App& command, Invocation& invocation, Status (*run)(Tool&)) {
  command.callback([&invocation, run] { invocation.call = run; });
}

// What a variable of a script that was never set leaves behind: taken as "not given", it would choose more
// than was meant.
inline std::string not_empty(const std::string& value) {
  return value.empty() ? "must not be empty" : "";
}

// A number from `least` to `most` (as the server takes it), a whole one if Number is.
template <class Number>
auto from_to(Number least, Number most) {
  return [least, most](const std::string& value) -> std::string {
    Number number{};
    const char* const end = value.data() + value.size();
    const auto [at, error] = std::from_chars(value.data(), end, number);
    if (error == std::errc() && at == end && number >= least && number <= most) return "";
    std::ostringstream message;
    message << "must be a " << (std::is_integral_v<Number> ? "whole " : "") << "number from " << least
            << " to " << most;
    return message.str();
  };
}

inline void add_yes(CLI::App& command, Invocation& invocation) {
  command.add_flag("-y,--yes", invocation.yes, "Don't ask; needed where nobody is at a terminal");
}

// Limit: int or std::optional<int>.
template <class Limit>
void add_paging(CLI::App& command, Limit& limit, std::string& after) {
  command.add_option("-n,--limit", limit, "At most so many, the newest first; 0: all")
      ->type_name("N")
      ->check(from_to(0, 1'000'000'000));
  command.add_option("--after", after, "Go on after this one (the end of the list before)")
      ->type_name("ID")
      ->check(not_empty);
}

inline CLI::App* add_group(CLI::App& app, const std::string& name, const std::string& help) {
  CLI::App* group = app.add_subcommand(name, help);
  group->require_subcommand(1);
  return group;
}

}  // namespace sluice::operate
