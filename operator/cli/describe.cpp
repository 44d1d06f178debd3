#include "operator/cli/describe.h"

#include <sstream>

namespace sluice::operate {

namespace {

DescribedOption describe_option(const CLI::Option& option) {
  DescribedOption out;
  for (const std::string& name : option.get_snames()) out.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) out.names.push_back("--" + name);
  out.positional = option.get_positional() && out.names.empty();
  if (out.positional) out.names.push_back(option.get_name(true, false));
  out.repeated =
      option.get_expected_max() > 1 || option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
  out.help = option.get_description();
  const bool flag = option.get_type_size_max() == 0;
  if (flag) return out;
  // A check for a member of a set writes the set behind the type: "TEXT:{bash,zsh}".
  const std::string type = option.get_type_name();
  const std::size_t open = type.find('{');
  const std::size_t close = type.rfind('}');
  if (open != std::string::npos && close != std::string::npos && open < close) {
    std::istringstream choices(type.substr(open + 1, close - open - 1));
    for (std::string choice; std::getline(choices, choice, ',');) out.choices.push_back(choice);
  }
  out.value = type.substr(0, type.find(':'));
  if (!out.choices.empty()) {
    out.value.clear();
    for (const std::string& choice : out.choices) out.value += (out.value.empty() ? "" : "|") + choice;
  }
  return out;
}

void describe_command(const CLI::App& app, const std::string& path, std::vector<DescribedCommand>& out) {
  DescribedCommand command;
  command.path = path;
  command.help = app.get_description();
  // Commands that say nothing of their own have their parent's footer.
  const CLI::App* parent = app.get_parent();
  if (parent == nullptr || parent->get_footer() != app.get_footer()) command.footer = app.get_footer();
  for (const CLI::Option* option : app.get_options()) command.options.push_back(describe_option(*option));
  const auto subcommands = app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* sub : subcommands) command.subcommands.push_back(sub->get_name());
  out.push_back(std::move(command));
  for (const CLI::App* sub : subcommands) {
    describe_command(*sub, path.empty() ? sub->get_name() : path + " " + sub->get_name(), out);
  }
}

}  // namespace

std::vector<DescribedCommand> describe(const CLI::App& app) {
  std::vector<DescribedCommand> out;
  describe_command(app, "", out);
  return out;
}

}  // namespace sluice::operate
