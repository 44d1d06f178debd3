#include "common/config/settings.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "common/base/check.h"

extern char** environ;

namespace sluice::config {

namespace {

constexpr std::string_view kFileSuffix = "-file";
constexpr std::string_view kVariablePrefix = "SLUICE_";
constexpr std::uintmax_t kFileBytesMax = 1 << 20;
constexpr int kRankFile = 1;
constexpr int kRankEnvironment = 2;
constexpr int kRankFlag = 3;

std::string variable_name(std::string_view name) {
  std::string variable(kVariablePrefix);
  for (const char c : name) {
    variable += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  }
  return variable;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

Result<std::string> read_whole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(ErrorCode::kInvalid, "can't open " + path + ": " + std::strerror(errno));
  std::string text;
  std::array<char, 8192> piece{};
  while (file.read(piece.data(), piece.size()), file.gcount() > 0) {
    text.append(piece.data(), static_cast<std::size_t>(file.gcount()));
    if (text.size() > kFileBytesMax) return fail(ErrorCode::kInvalid, path + " is over 1 MiB");
  }
  if (file.bad()) return fail(ErrorCode::kInvalid, "can't read " + path);
  return text;
}

bool is_name(std::string_view name) {
  const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  return !name.empty() && name.front() != '-' && std::all_of(name.begin(), name.end(), allowed);
}

// The name of a key or flag, safe to show: it came from outside.
std::string shown_name(std::string_view name) {
  std::string shown;
  for (const char c : name.substr(0, 60)) shown += c > 0x20 && c < 0x7f ? c : '?';
  return shown;
}

// A JSON value as the text that the same setting would have in a line; empty: not a plain value.
std::optional<std::string> json_text(const nlohmann::json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean() || value.is_number()) return value.dump();
  if (!value.is_array()) return std::nullopt;
  std::string text;
  for (const nlohmann::json& item : value) {
    if (!item.is_string() && !item.is_number()) return std::nullopt;
    text += (text.empty() ? "" : ",") + (item.is_string() ? item.get<std::string>() : item.dump());
  }
  return text;
}

}  // namespace

Environment process_environment() {
  Environment environment;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

Settings::Settings(std::string program, std::string summary)
    : program_(std::move(program)), summary_(std::move(summary)) {}

detail::Entry& Settings::add_entry(detail::Entry entry) {
  SLUICE_CHECK(is_name(entry.name));
  bool via_file = false;
  SLUICE_CHECK(find(entry.name, via_file) == nullptr);
  for (const std::string_view reserved : {"config", "help", "print-config", "version"}) {
    SLUICE_CHECK(entry.name != reserved);
  }
  stored_.push_back(std::make_unique<Stored>());
  stored_.back()->entry = std::move(entry);
  return stored_.back()->entry;
}

void Settings::add_check(std::function<Status()> check) {
  checks_.push_back(std::move(check));
}

Settings::Stored* Settings::find(std::string_view name, bool& via_file) {
  std::string wanted(name);
  std::replace(wanted.begin(), wanted.end(), '_', '-');
  for (const auto& stored : stored_) {
    if (stored->entry.name == wanted) {
      via_file = false;
      return stored.get();
    }
    if (stored->entry.is_secret && wanted.ends_with(kFileSuffix) &&
        std::string_view(wanted).substr(0, wanted.size() - kFileSuffix.size()) == stored->entry.name) {
      via_file = true;
      return stored.get();
    }
  }
  return nullptr;
}

void Settings::offer(Stored& stored, int rank, std::string place, std::string text, bool via_file,
                     Parsed& parsed) {
  if (stored.rank > rank) return;
  if (stored.rank == rank && rank != kRankFlag) {
    parsed.faults.push_back({place, "sets " + stored.entry.name + " a second time, after " + stored.place});
    return;
  }
  if (stored.rank == rank && stored.place != place) {
    parsed.faults.push_back({place, "can't be given together with " + stored.place});
    return;
  }
  if (via_file) {
    Result<std::string> content = read_whole(text);
    if (!content) {
      parsed.faults.push_back({place, content.error().message});
      stored.failed = true;
      return;
    }
    text = std::move(*content);
    if (text.ends_with('\n')) text.pop_back();
    if (text.ends_with('\r')) text.pop_back();
  }
  stored.rank = rank;
  stored.place = std::move(place);
  stored.text = std::move(text);
}

void Settings::read_arguments(const std::vector<std::string>& args, Parsed& parsed,
                              std::string& config_file) {
  bool flags_over = false;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (flags_over || !arg.starts_with("--")) {
      if (!flags_over && arg.size() > 1 && arg.front() == '-') {
        if (arg == "-h") {
          parsed.help = true;
        } else {
          parsed.faults.push_back({shown_name(arg), "is no flag of " + program_ + " (see --help)"});
        }
      } else if (parsed.positionals.size() < positionals_max_) {
        parsed.positionals.push_back(arg);
      } else {
        parsed.faults.push_back(
            {"argument " + std::to_string(i + 1), "wasn't expected (flags start with --)"});
      }
      continue;
    }
    if (arg == "--") {
      flags_over = true;
      continue;
    }
    const std::size_t equals = arg.find('=');
    const std::string name = arg.substr(2, equals == std::string::npos ? equals : equals - 2);
    const std::string place = "--" + shown_name(name);
    std::optional<std::string> value;
    if (equals != std::string::npos) value = arg.substr(equals + 1);

    if (name == "help" || name == "print-config" || name == "version") {
      if (value) parsed.faults.push_back({place, "takes no value"});
      (name == "help" ? parsed.help : name == "version" ? parsed.version : parsed.print_config) = true;
      continue;
    }
    bool via_file = false;
    Stored* stored = name == "config" ? nullptr : find(name, via_file);
    bool negated = false;
    if (stored == nullptr && name.starts_with("no-")) {
      stored = find(std::string_view(name).substr(3), via_file);
      if (stored != nullptr && stored->entry.is_bool) {
        negated = true;
      } else {
        stored = nullptr;
      }
    }
    if (stored == nullptr && name != "config") {
      parsed.faults.push_back({place, "is no flag of " + program_ + " (see --help)"});
      // What follows is most likely its value: one mistake, one fault.
      if (!value && positionals_max_ == 0 && i + 1 < args.size() && !args[i + 1].starts_with("--")) ++i;
      continue;
    }
    if (stored != nullptr && stored->entry.is_bool) {
      if (negated && value) {
        parsed.faults.push_back({place, "takes no value"});
        continue;
      }
      offer(*stored, kRankFlag, "--" + stored->entry.name, negated ? "false" : value.value_or("true"), false,
            parsed);
      continue;
    }
    if (!value) {
      if (i + 1 == args.size() || args[i + 1].starts_with("--")) {
        parsed.faults.push_back({place, "needs a value"});
        continue;
      }
      value = args[++i];
    }
    if (stored == nullptr) {
      config_file = *value;
    } else {
      offer(*stored, kRankFlag, place, *value, via_file, parsed);
    }
  }
}

void Settings::read_environment(const Environment& environment, Parsed& parsed, std::string& config_file) {
  if (const auto found = environment.find("SLUICE_CONFIG");
      found != environment.end() && config_file.empty()) {
    config_file = found->second;
  }
  for (const auto& stored : stored_) {
    const std::string variable = variable_name(stored->entry.name);
    if (const auto found = environment.find(variable); found != environment.end() && !found->second.empty()) {
      offer(*stored, kRankEnvironment, variable, found->second, false, parsed);
    }
    if (!stored->entry.is_secret) continue;
    if (const auto found = environment.find(variable + "_FILE");
        found != environment.end() && !found->second.empty()) {
      offer(*stored, kRankEnvironment, found->first, found->second, true, parsed);
    }
  }
}

void Settings::read_file(const std::string& path, const std::string& place, Parsed& parsed) {
  const Result<std::string> text = read_whole(path);
  if (!text) {
    parsed.faults.push_back({place, text.error().message});
    return;
  }
  const auto set = [&](const std::string& where, std::string_view key, std::string value) {
    bool via_file = false;
    Stored* stored = find(key, via_file);
    if (stored == nullptr) {
      parsed.faults.push_back({where, shown_name(key) + " is no setting of " + program_});
    } else {
      offer(*stored, kRankFile, where, std::move(value), via_file, parsed);
    }
  };

  if (const std::size_t first = text->find_first_not_of(" \t\r\n");
      first != std::string::npos && (*text)[first] == '{') {
    const nlohmann::json object = nlohmann::json::parse(*text, nullptr, false);
    if (!object.is_object()) {
      parsed.faults.push_back({path, "starts like JSON but isn't one JSON object"});
      return;
    }
    for (const auto& [key, value] : object.items()) {
      const std::string where = path + ":" + shown_name(key);
      if (std::optional<std::string> plain = json_text(value)) {
        set(where, key, std::move(*plain));
      } else {
        parsed.faults.push_back({where, "must be a text, a number, true, false, or a list of texts"});
      }
    }
    return;
  }

  std::istringstream lines(*text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    const std::string where = path + ":" + std::to_string(number);
    const std::string_view content = trimmed(line);
    if (content.empty() || content.front() == '#') continue;
    const std::size_t equals = content.find('=');
    if (equals == std::string_view::npos) {
      parsed.faults.push_back({where, "must be `name = value`"});
      continue;
    }
    std::string_view value = trimmed(content.substr(equals + 1));
    // Quotes keep spaces at the ends.
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
      value = value.substr(1, value.size() - 2);
    }
    set(where, trimmed(content.substr(0, equals)), std::string(value));
  }
}

void Settings::apply(Parsed& parsed) {
  for (const auto& stored : stored_) {
    const detail::Entry& entry = stored->entry;
    if (stored->failed) continue;
    if (entry.required && stored->text.value_or("").empty()) {
      const std::string places = "--" + entry.name + ", " + variable_name(entry.name) + " or the file";
      parsed.faults.push_back({entry.name, "is required: set it by " + places});
      continue;
    }
    if (!stored->text) continue;
    if (const Status status = entry.assign(*stored->text); !status) {
      parsed.faults.push_back({stored->place, status.error().message});
    }
  }
  if (!parsed.faults.empty()) return;
  for (const auto& check : checks_) {
    if (const Status status = check(); !status) parsed.faults.push_back({"settings", status.error().message});
  }
}

Parsed Settings::parse(const std::vector<std::string>& args, const Environment& environment) {
  Parsed parsed;
  std::string config_file;
  read_arguments(args, parsed, config_file);
  const std::string place = config_file.empty() ? "SLUICE_CONFIG" : "--config";
  read_environment(environment, parsed, config_file);
  if (!config_file.empty()) read_file(config_file, place, parsed);
  apply(parsed);
  return parsed;
}

std::optional<int> Settings::load(int argc, const char* const* argv) {
  constexpr int kUsageError = 2;
  const Parsed parsed =
      parse(std::vector<std::string>(argv + std::min(argc, 1), argv + argc), process_environment());
  if (parsed.help) {
    std::cout << help_text();
    return 0;
  }
  if (parsed.version) {
    std::cout << program_ << " " << SLUICE_VERSION << "\n";
    return 0;
  }
  for (const Fault& fault : parsed.faults) {
    std::cerr << program_ << ": " << fault.place << ": " << fault.message << "\n";
  }
  if (!parsed.faults.empty()) return kUsageError;
  if (parsed.print_config) {
    std::cout << print_config_text();
    return 0;
  }
  return std::nullopt;
}

std::string Settings::help_text() const {
  std::string text =
      "Usage: " + program_ + " [flags]" + (positionals_max_ > 0 ? " [arguments]" : "") + "\n" + summary_ +
      "\n\nEach flag --some-name can also be set as SLUICE_SOME_NAME, or as some-name in the file "
      "that --config names.\nFlags win over variables, variables over the file. A secret can be "
      "read from a file: --some-name-file.\n\n";
  for (const auto& stored : stored_) {
    const detail::Entry& entry = stored->entry;
    text += "  --" + entry.name + (entry.is_bool ? "" : " <" + entry.kind + ">") + "\n      " + entry.help;
    std::string notes;
    const auto note = [&notes](const std::string& more) { notes += (notes.empty() ? "" : "; ") + more; };
    if (!entry.unit.empty()) note("in " + entry.unit);
    if (!entry.bounds.empty()) note(entry.bounds);
    if (entry.required) {
      note("required");
    } else if (const std::string shown = entry.show(); !entry.is_secret && !shown.empty()) {
      note((stored->text ? "now " : "default ") + shown);
    }
    text += (notes.empty() ? "" : " (" + notes + ")") + "\n";
  }
  text +=
      "  --config <file>\n      Reads settings from a file\n"
      "  --print-config\n      Prints every setting, secrets masked, and ends\n"
      "  --version\n      Prints the version and ends\n"
      "  --help\n      Prints this and ends\n";
  return text;
}

std::string Settings::print_config_text() const {
  std::string text;
  for (const auto& stored : stored_) {
    // A comment line of its own, so that the rest can be used as a file.
    text += "# from " + (stored->text ? stored->place : std::string("default")) + "\n";
    const std::string shown = stored->entry.show();
    const bool masked = stored->entry.is_secret && !shown.empty();
    text += (masked ? "# " : "") + stored->entry.name + " = " + shown + "\n";
  }
  return text;
}

std::vector<std::pair<std::string, std::string>> Settings::shown() const {
  std::vector<std::pair<std::string, std::string>> all;
  all.reserve(stored_.size());
  for (const auto& stored : stored_) all.emplace_back(stored->entry.name, stored->entry.show());
  return all;
}

}  // namespace sluice::config
