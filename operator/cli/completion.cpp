#include "operator/cli/completion.h"

#include "operator/cli/describe.h"

namespace sluice::operate {

namespace {

std::string joined(const std::vector<std::string>& words, std::string_view between) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : std::string(between)) + word;
  return text;
}

// After which words a value is awaited, and what may stand there.
std::string value_cases(const std::vector<DescribedCommand>& commands) {
  std::string cases;
  for (const DescribedCommand& command : commands) {
    const std::string prefix = command.path.empty() ? "*:" : command.path + ":";
    for (const DescribedOption& option : command.options) {
      if (option.positional || option.value.empty()) continue;
      std::vector<std::string> patterns;
      for (const std::string& name : option.names) {
        patterns.push_back((command.path.empty() ? "*:" : "\"" + prefix + "\"") + name);
      }
      cases += "    " + joined(patterns, "|") + ") ";
      if (!option.choices.empty()) {
        cases += "COMPREPLY=($(compgen -W \"" + joined(option.choices, " ") + "\" -- \"$word\"))";
      } else if (option.value == "FILE") {
        cases += "COMPREPLY=($(compgen -f -- \"$word\"))";
      } else {
        cases += ":";  // Nothing is known of it.
      }
      cases += "; return ;;\n";
    }
  }
  return cases;
}

// The words that may follow each command.
std::string word_cases(const std::vector<DescribedCommand>& commands) {
  std::string globals;
  std::string cases;
  for (const DescribedCommand& command : commands) {
    std::vector<std::string> words = command.subcommands;
    for (const DescribedOption& option : command.options) {
      const std::vector<std::string>& more = option.positional ? option.choices : option.names;
      words.insert(words.end(), more.begin(), more.end());
    }
    if (command.path.empty()) {
      for (const DescribedOption& option : command.options) {
        if (option.names.back() != "--help" && option.names.back() != "--version")
          globals += " " + joined(option.names, " ");
      }
      cases += "    \"\") words=\"" + joined(words, " ") + "\" ;;\n";
    } else {
      cases += "    \"" + command.path + "\") words=\"" + joined(words, " ") + globals + "\" ;;\n";
    }
  }
  return cases;
}

}  // namespace

std::string completion_script(const CLI::App& app, std::string_view shell) {
  const std::vector<DescribedCommand> commands = describe(app);
  std::string paths;
  for (const DescribedCommand& command : commands) {
    if (command.path.empty()) continue;
    paths += (paths.empty() ? "" : "|") + std::string("\"") + command.path + "\"";
  }
  std::string script =
      "# Completion of sluicectl's words, made by: sluicectl completion " + std::string(shell) + "\n";
  if (shell == "zsh") script += "autoload -U +X bashcompinit && bashcompinit\n";
  script +=
      "_sluicectl() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command= words= i\n"
      "  COMPREPLY=()\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case \"${command:+$command }${COMP_WORDS[i]}\" in\n"
      "    " +
      paths +
      ") command=\"${command:+$command }${COMP_WORDS[i]}\" ;;\n"
      "    esac\n"
      "  done\n"
      "  case \"$command:$previous\" in\n" +
      value_cases(commands) +
      "  esac\n"
      "  case \"$command\" in\n" +
      word_cases(commands) +
      "  esac\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
      "}\n"
      "complete -F _sluicectl sluicectl\n";
  return script;
}

}  // namespace sluice::operate
