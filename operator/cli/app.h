// The command line of sluicectl, as one tree: what help, completion and the man page are made from.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "operator/commands/tool.h"

namespace sluice::operate {

// What the words of a command line come to.
struct Invocation {
  // Of every command that calls the admin API; empty: the environment's, or none.
  std::string url;
  std::string admin_key_file;
  std::string timeout;
  bool json = false;
  bool yes = false;
  bool no_colour = false;
  // One of these, after a parse that succeeded.
  std::function<Status(Tool&)> call;
  std::function<Status(Console&)> print;  // Needs no server.
};

// `invocation` must outlive the app; parsing fills it.
std::unique_ptr<CLI::App> make_app(Invocation& invocation);

// Each group of commands adds itself.
void add_fleet(CLI::App& app, Invocation& invocation);
void add_limits(CLI::App& app, Invocation& invocation);
void add_jobs(CLI::App& app, Invocation& invocation);
void add_letters(CLI::App& app, Invocation& invocation);
void add_deliveries(CLI::App& app, Invocation& invocation);
void add_accounts(CLI::App& app, Invocation& invocation);

// The words of migrate, bootstrap and topology, which have settings of their own: here only to be known.
void add_setup(CLI::App& app);

}  // namespace sluice::operate
