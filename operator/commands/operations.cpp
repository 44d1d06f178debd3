// dlq redrive and discard, and looking after them: operations, watch, continue, stop.
#include <algorithm>

#include "operator/commands/letters.h"
#include "operator/output/table.h"
#include "operator/output/text.h"

namespace sluice::operate {

using nlohmann::json;

namespace {

constexpr int kGroupsShown = 5;
constexpr const char* kOperations = "/v1/admin/operations";

std::string operation_path(const std::string& id) {
  return std::string(kOperations) + "/" + path_part(id);
}

// What is asked of the server, without dry_run. Exactly one of ids, filter and all.
Result<json> move_body(const Tool& tool, const MoveOptions& options, bool redriving) {
  SLUICE_ASSIGN(json filter, filter_body(tool, options.filter));
  const int ways = (options.ids.empty() ? 0 : 1) + (filter.empty() ? 0 : 1) + (options.all ? 1 : 0);
  if (ways != 1) {
    return fail(ErrorCode::kInvalid,
                std::string(redriving ? "redrive" : "discard") +
                    (ways == 0 ? ": say which letters" : ": say in one way which letters") +
                    ": ids of jobs, a filter such as --fingerprint, or --all.\n  sluicectl "
                    "dlq list shows what there is");
  }
  json body = json::object();
  if (!options.ids.empty()) body["ids"] = options.ids;
  if (!filter.empty()) body["filter"] = std::move(filter);
  if (options.all) body["all"] = true;
  if (options.force) body["force"] = true;
  if (options.canary) body["canary"] = *options.canary;
  if (options.rate) body["rate"] = *options.rate;
  if (!options.expires_in.empty()) {
    const auto seconds = parse_duration(options.expires_in);
    if (!seconds) {
      return fail(ErrorCode::kInvalid,
                  "--expires-in '" + safe_text(options.expires_in) + "': " + seconds.error().message);
    }
    body["expires_in"] = *seconds;
  }
  return body;
}

void print_dry_run(Tool& tool, const json& dry, bool redriving) {
  const json& groups = member_in(dry, "groups");
  print_groups(tool, groups.is_array() ? groups : json::array());
  const std::int64_t guarded = number_in(dry, "guarded");
  tool.out() << (redriving ? "would redrive " : "would discard ")
             << counted(number_in(dry, "would_move"), "letter", "letters");
  if (guarded > 0) tool.out() << "; " << count_text(guarded) << " more were redriven too often (--force)";
  tool.out() << "\n";
}

std::string question_of(const json& dry, const MoveOptions& options, bool redriving) {
  const std::int64_t moved = number_in(dry, "would_move");
  std::string text = redriving ? "Run " + counted(moved, "job", "jobs") + " again"
                               : "Discard " + counted(moved, "dead letter", "dead letters") + " for good";
  if (redriving && options.canary) text += " (" + count_text(*options.canary) + " first, as canary)";
  std::string causes;
  int shown = 0;
  for (const json& group : member_in(dry, "groups")) {
    if (++shown > kGroupsShown) {
      causes += "\n  …";
      break;
    }
    const json& error = member_in(group, "error");
    causes += "\n  " + count_text(number_in(group, "count")) + "  " + safe_text(text_in(error, "code")) +
              ": " + cut_text(safe_text(text_in(error, "message")), 80);
  }
  return text + "?" + causes;
}

// Letters that die while somebody thinks about the question were not asked about: they are left out. Times
// are told in whole seconds, hence the one more. Of more causes than a dry run shows, younger letters of
// those that it doesn't show are left out, too: too few can be mended by asking again, too many can't.
void keep_to_what_was_shown(json& body, const json& dry) {
  if (body.contains("ids")) return;
  std::int64_t last = 0;
  for (const json& group : member_in(dry, "groups")) last = std::max(last, number_in(group, "last_died_at"));
  if (last == 0) return;
  body.erase("all");
  json& filter = body["filter"];
  const std::int64_t asked = number_in(filter, "died_before");
  if (asked == 0 || asked > last + 1) filter["died_before"] = last + 1;
}

Status move(Tool& tool, const MoveOptions& options, bool redriving) {
  const std::string path = std::string("/v1/admin/dead_letters/") + (redriving ? "redrive" : "discard");
  SLUICE_ASSIGN(json body, move_body(tool, options, redriving));
  json dry_body = body;
  dry_body["dry_run"] = true;
  SLUICE_ASSIGN(const json dry, tool.api.post(path, std::move(dry_body)));
  if (options.dry_run) {
    if (!printed_json(tool, dry)) print_dry_run(tool, dry, redriving);
    return {};
  }
  if (number_in(dry, "matching") == 0) {
    if (!printed_json(tool, dry)) tool.out() << "no dead letter matches: nothing was done\n";
    return {};
  }
  SLUICE_TRY(confirm(tool, question_of(dry, options, redriving)));
  if (!tool.yes) keep_to_what_was_shown(body, dry);
  if (!options.no_wait) tool.waiter.hold();
  SLUICE_ASSIGN(json operation, tool.api.post(path, std::move(body)));
  if (options.no_wait) {
    if (printed_json(tool, operation)) return {};
    const std::string id = safe_text(text_in(operation, "id"));
    tool.out() << id << " goes on at the server; look after it: sluicectl dlq watch " << id << "\n";
    return {};
  }
  return watch(tool, std::move(operation), {options.outcome, true});
}

}  // namespace

Status redrive_letters(Tool& tool, const MoveOptions& options) {
  return move(tool, options, true);
}

Status discard_letters(Tool& tool, const MoveOptions& options) {
  return move(tool, options, false);
}

Status list_operations(Tool& tool, int limit, const std::string& after) {
  SLUICE_ASSIGN(const json operations, get_list(tool.api, kOperations, {{"after", after}}, limit));
  if (printed_json(tool, operations)) return {};
  Table table({{"OPERATION"},
               {"KIND"},
               {"STATUS"},
               {"DONE", Align::kRight},
               {"GUARDED", Align::kRight},
               {"BEGAN", Align::kRight},
               {"BY"},
               {"FILTER", Align::kLeft, true}});
  for (const json& operation : data_in(operations)) {
    const std::string status = text_in(operation, "status");
    const json& filter = member_in(operation, "filter");
    table.add(
        {text_in(operation, "id"),
         text_in(operation, "kind"),
         {status, state_style(status)},
         count_text(number_in(operation, "handled")) + " of " + count_text(number_in(operation, "total")),
         count_text(number_in(operation, "guarded")),
         age_in(tool, operation, "created_at"),
         text_in(member_in(operation, "actor"), "key"),
         filter.empty() ? std::string("all") : filter.dump(-1, ' ', false, json::error_handler_t::replace)});
  }
  if (table.empty()) tool.out() << "nothing was redriven or discarded yet\n";
  table.print(tool.console);
  print_more(tool, operations);
  return {};
}

Status watch_operation(Tool& tool, const WatchOptions& options) {
  SLUICE_ASSIGN(json operation, tool.api.get(operation_path(options.id)));
  return watch(tool, std::move(operation), {options.outcome, false});
}

Status continue_operation(Tool& tool, const WatchOptions& options) {
  SLUICE_ASSIGN(json operation, tool.api.post(operation_path(options.id) + "/continue", json::object()));
  if (!options.no_wait) return watch(tool, std::move(operation), {options.outcome, true});
  if (!printed_json(tool, operation)) tool.out() << safe_text(options.id) << " goes on\n";
  return {};
}

Status stop_operation(Tool& tool, const WatchOptions& options) {
  SLUICE_ASSIGN(const json operation, tool.api.post(operation_path(options.id) + "/cancel", json::object()));
  if (printed_json(tool, operation)) return {};
  tool.out() << safe_text(options.id) << " is stopped: " << count_text(number_in(operation, "handled"))
             << " of " << counted(number_in(operation, "total"), "letter was", "letters were")
             << " moved and stay so, the others are as they were\n";
  return {};
}

}  // namespace sluice::operate
