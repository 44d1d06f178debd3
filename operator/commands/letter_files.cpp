// dlq export and replay.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "operator/commands/letters.h"
#include "operator/output/text.h"

namespace sluice::operate {

using nlohmann::json;

namespace {

constexpr int kExportPage = 200;

std::int64_t count_lines(const std::string& text) {
  std::int64_t lines = 0;
  for (const char c : text) lines += c == '\n' ? 1 : 0;
  return lines;
}

// Lines of JSON, for a terminal: what would change it is escaped.
std::string escaped_lines(const std::string& text) {
  std::string out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const json parsed = json::parse(line, nullptr, false);
    out += (parsed.is_discarded() ? safe_text(line)
                                  : parsed.dump(-1, ' ', true, json::error_handler_t::replace)) +
           "\n";
  }
  return out;
}

Result<json> read_changes(Tool& tool, const std::string& name) {
  std::string text;
  if (name == "-") {
    text.assign(std::istreambuf_iterator<char>(tool.console.in), {});
  } else {
    std::ifstream file(name, std::ios::binary);
    if (!file) {
      return fail(ErrorCode::kInvalid,
                  "--changes: " + safe_text(name) + " can't be read: " + std::strerror(errno));
    }
    text.assign(std::istreambuf_iterator<char>(file), {});
  }
  json changes = json::parse(text, nullptr, false);
  if (!changes.is_object()) {
    return fail(ErrorCode::kInvalid,
                "--changes: " + safe_text(name) +
                    " must hold a JSON object, such as {\"parameters\": {\"max_tokens\": 64}}");
  }
  return changes;
}

// "parameters.max_tokens=64" sets that member; the value is JSON, or a text if it is none.
Status set_change(json& changes, const std::string& assignment) {
  const std::size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    return fail(ErrorCode::kInvalid, "--set '" + safe_text(assignment) +
                                         "': must be FIELD=VALUE, such as parameters.max_tokens=64");
  }
  json value = json::parse(assignment.substr(equals + 1), nullptr, false);
  if (value.is_discarded()) value = assignment.substr(equals + 1);
  json* at = &changes;
  std::istringstream names(assignment.substr(0, equals));
  for (std::string name; std::getline(names, name, '.');) {
    if (!at->is_object()) *at = json::object();
    at = &(*at)[name];
  }
  *at = std::move(value);
  return {};
}

}  // namespace

Status export_letters(Tool& tool, const ExportOptions& options) {
  SLUICE_ASSIGN(const Query query, filter_query(tool, options.filter));
  const bool to_file = !options.file.empty() && options.file != "-";
  const std::string partial = options.file + ".partial";
  std::ofstream file;
  if (to_file) {
    file.open(partial, std::ios::binary | std::ios::trunc);
    if (!file) {
      return fail(ErrorCode::kInvalid,
                  "--output: " + safe_text(partial) + " can't be written: " + std::strerror(errno));
    }
  }
  std::ostream& out = to_file ? file : tool.out();
  Progress progress(tool.console);
  std::int64_t written = 0;
  std::string after;
  if (to_file) tool.waiter.hold();
  const auto part = [&] {
    return to_file ? ".\n  " + counted(written, "letter is", "letters are") + " in " + safe_text(partial)
                   : std::string();
  };
  do {
    Query page = query;
    page.emplace_back("limit", std::to_string(kExportPage));
    page.emplace_back("after", after);
    auto reply = tool.api.call({"GET", "/v1/admin/dead_letters/export", std::move(page), nullptr});
    if (!reply) {
      reply.error().message += part();
      return fail(std::move(reply).error());
    }
    const bool terminal = !to_file && tool.console.out_is_terminal;
    out << (terminal ? escaped_lines(reply->text) : reply->text) << std::flush;
    if (!out) return fail(ErrorCode::kInternal, "the letters can't be written (is the disk full?)" + part());
    written += count_lines(reply->text);
    if (reply->next_after == after && !after.empty()) {
      return fail(ErrorCode::kInternal, "the server answers the same page again" + part());
    }
    after = reply->next_after;
    if (to_file) progress.show("exported " + count_text(written));
    if (to_file && !after.empty() && tool.waiter.wait(std::chrono::milliseconds(0))) {
      return fail(ErrorCode::kCancelled, "stopped" + part());
    }
  } while (!after.empty());
  progress.clear();
  if (!to_file) return {};
  file.close();
  std::error_code failed;
  std::filesystem::rename(partial, options.file, failed);
  if (!file || failed) {
    return fail(ErrorCode::kInternal, "the letters can't be written to " + safe_text(options.file) + part());
  }
  if (printed_json(tool, {{"object", "export"}, {"file", options.file}, {"count", written}})) return {};
  tool.out() << counted(written, "dead letter", "dead letters") << " in " << safe_text(options.file)
             << ", a line of JSON each\n";
  return {};
}

Status replay_letter(Tool& tool, const ReplayOptions& options) {
  json changes = json::object();
  if (!options.changes.empty()) {
    SLUICE_ASSIGN(changes, read_changes(tool, options.changes));
  }
  for (const std::string& assignment : options.set) SLUICE_TRY(set_change(changes, assignment));
  if (changes.empty()) {
    return fail(
        ErrorCode::kInvalid,
        "replay: say what to change by --set FIELD=VALUE or --changes FILE.\n  To run the same request "
        "again: sluicectl dlq redrive " +
            safe_text(options.id));
  }
  SLUICE_ASSIGN(const json job, tool.api.post("/v1/admin/dead_letters/" + path_part(options.id) + "/replay",
                                              {{"changes", changes}}));
  if (printed_json(tool, job)) return {};
  const std::string fresh = safe_text(text_in(job, "id"));
  tool.out() << "replayed as " << fresh << "; how it goes: sluicectl jobs show " << fresh << "\n";
  return {};
}

}  // namespace sluice::operate
