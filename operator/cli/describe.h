// The tree of commands as plain data, for the completion script and the man page.
//
// Pure functions.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace sluice::operate {

struct DescribedOption {
  std::vector<std::string> names;  // "-n", "--limit"; of a positional "JOB"
  std::string value;               // What stands for its value, "" for a flag.
  std::vector<std::string> choices;
  std::string help;
  bool positional = false;
  bool repeated = false;
};

struct DescribedCommand {
  std::string path;  // "dlq list"; of the program itself ""
  std::string help;
  std::string footer;
  std::vector<DescribedOption> options;
  std::vector<std::string> subcommands;
};

// The program first, then its commands in their order, each before its own.
std::vector<DescribedCommand> describe(const CLI::App& app);

}  // namespace sluice::operate
