// dlq list and show.
#include "operator/commands/letters.h"

#include <algorithm>

#include "operator/output/table.h"
#include "operator/output/text.h"

namespace sluice::operate {

using nlohmann::json;

namespace {

constexpr int kLettersOfGroup = 5;
constexpr int kGroupsMax = 500;  // That the server tells of at once; there is no page after it.
constexpr const char* kLetters = "/v1/admin/dead_letters";

Result<std::int64_t> time_of(const Tool& tool, const char* flag, const std::string& text) {
  auto time = parse_time(text, tool.now_s());
  if (!time)
    return fail(ErrorCode::kInvalid,
                std::string(flag) + " '" + safe_text(text) + "': " + time.error().message);
  return time;
}

std::string error_text(const json& letter) {
  const json& error = member_in(letter, "error");
  return text_in(error, "code") + ": " + text_in(error, "message");
}

void print_letters(Tool& tool, const json& letters) {
  Table table({{"JOB"},
               {"STATE"},
               {"REASON"},
               {"FINGERPRINT"},
               {"TENANT"},
               {"MODEL"},
               {"GEN", Align::kRight},
               {"DIED", Align::kRight},
               {"ERROR", Align::kLeft, true}});
  for (const json& letter : data_in(letters)) {
    const std::string state = text_in(letter, "state");
    table.add({text_in(letter, "job_id"),
               {state, state_style(state)},
               text_in(letter, "reason"),
               text_in(letter, "fingerprint"),
               text_in(letter, "tenant"),
               text_in(letter, "model"),
               count_text(number_in(letter, "generation")),
               age_in(tool, letter, "died_at"),
               error_text(letter)});
  }
  table.print(tool.console);
}

Status show_group(Tool& tool, const std::string& fingerprint) {
  SLUICE_ASSIGN(const json groups,
                tool.api.get(std::string(kLetters) + "/groups", {{"fingerprint", fingerprint}}));
  SLUICE_ASSIGN(const json letters,
                get_list(tool.api, kLetters, {{"fingerprint", fingerprint}}, kLettersOfGroup));
  if (data_in(groups).empty()) {
    return fail(ErrorCode::kNotFound, "no unhandled dead letter has the fingerprint " +
                                          safe_text(fingerprint) +
                                          ".\n  sluicectl dlq list shows those there are");
  }
  json all = {{"object", "dead_letter_group"}, {"groups", data_in(groups)}, {"letters", data_in(letters)}};
  if (printed_json(tool, all)) return {};
  for (const json& group : data_in(groups)) {
    Facts facts;
    facts.add("fingerprint", text_in(group, "fingerprint"));
    facts.add("letters", count_text(number_in(group, "count")));
    facts.add("reason", text_in(group, "reason"));
    facts.add("error", {error_text(group), Style::kBad});
    facts.add("first died", when_in(tool, group, "first_died_at"));
    facts.add("last died", when_in(tool, group, "last_died_at"));
    facts.print(tool.console);
    tool.out() << "\n";
  }
  print_letters(tool, letters);
  const std::string safe = safe_text(fingerprint);
  tool.out() << tool.console.styled("one of them in full: sluicectl dlq show " +
                                        safe_text(text_in(data_in(groups).front(), "last_job_id")) +
                                        "\nall of them: sluicectl dlq redrive|discard --fingerprint " + safe,
                                    Style::kDim)
             << "\n";
  return {};
}

void print_attempts(Tool& tool, const json& letter) {
  Table table({{"GEN", Align::kRight},
               {"ATTEMPT", Align::kRight},
               {"WORKER"},
               {"STARTED"},
               {"TOOK", Align::kRight},
               {"ERROR", Align::kLeft, true}});
  for (const json& attempt : member_in(letter, "attempt_log")) {
    const std::int64_t started = number_in(attempt, "started_at");
    const std::int64_t ended = number_in(attempt, "ended_at");
    table.add({count_text(number_in(attempt, "generation")), count_text(number_in(attempt, "attempt")),
               text_in(attempt, "worker"), started == 0 ? "-" : time_text(started),
               started == 0 || ended == 0 ? "-" : duration_text(ended - started), error_text(attempt)});
  }
  if (table.empty()) return;
  tool.out() << "\n";
  table.print(tool.console);
}

}  // namespace

bool is_fingerprint(std::string_view text) {
  return text.size() == 16 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

Result<Query> filter_query(const Tool& tool, const LetterFilter& filter) {
  Query query = {{"tenant", filter.tenant},
                 {"model", filter.model},
                 {"fingerprint", filter.fingerprint},
                 {"error_code", filter.error_code},
                 {"reason", filter.reason}};
  if (!filter.from.empty()) {
    SLUICE_ASSIGN(const std::int64_t from, time_of(tool, "--from", filter.from));
    query.emplace_back("died_from", std::to_string(from));
  }
  if (!filter.before.empty()) {
    SLUICE_ASSIGN(const std::int64_t before, time_of(tool, "--before", filter.before));
    query.emplace_back("died_before", std::to_string(before));
  }
  return query;
}

Result<json> filter_body(const Tool& tool, const LetterFilter& filter) {
  SLUICE_ASSIGN(const Query query, filter_query(tool, filter));
  json body = json::object();
  for (const auto& [name, value] : query) {
    if (value.empty()) continue;
    if (name.starts_with("died_")) {
      body[name] = std::stoll(value);
    } else {
      body[name] = value;
    }
  }
  return body;
}

void print_groups(Tool& tool, const json& groups) {
  Table table({{"FINGERPRINT"},
               {"LETTERS", Align::kRight},
               {"REASON"},
               {"FIRST DIED", Align::kRight},
               {"LAST DIED", Align::kRight},
               {"ERROR", Align::kLeft, true}});
  for (const json& group : groups) {
    table.add({{text_in(group, "fingerprint"), Style::kBold},
               count_text(number_in(group, "count")),
               text_in(group, "reason"),
               age_in(tool, group, "first_died_at"),
               age_in(tool, group, "last_died_at"),
               error_text(group)});
  }
  table.print(tool.console);
}

Status list_letters(Tool& tool, const LetterListOptions& options) {
  SLUICE_ASSIGN(Query query, filter_query(tool, options.filter));
  if (options.each || !options.state.empty() || !options.after.empty()) {
    query.emplace_back("state", options.state);
    query.emplace_back("after", options.after);
    SLUICE_ASSIGN(const json letters,
                  get_list(tool.api, kLetters, std::move(query), options.limit.value_or(kListDefault)));
    if (printed_json(tool, letters)) return {};
    if (data_in(letters).empty()) tool.out() << "no such dead letters\n";
    print_letters(tool, letters);
    print_more(tool, letters);
    return {};
  }
  if (options.limit) {
    const int limit = *options.limit == 0 ? kGroupsMax : std::min(*options.limit, kGroupsMax);
    query.emplace_back("limit", std::to_string(limit));
  }
  SLUICE_ASSIGN(const json groups, tool.api.get(std::string(kLetters) + "/groups", std::move(query)));
  if (printed_json(tool, groups)) return {};
  const json& data = data_in(groups);
  if (data.empty()) {
    tool.out() << "no dead letters\n";
    return {};
  }
  std::int64_t total = 0;
  for (const json& group : data) total += number_in(group, "count");
  print_groups(tool, data);
  const auto kinds = static_cast<std::int64_t>(data.size());
  const bool more = flag_in(groups, "has_more");
  tool.out() << (more ? "at least " : "") << counted(total, "dead letter", "dead letters") << " of "
             << counted(kinds, "cause", "causes")
             << (!more                ? ""
                 : kinds < kGroupsMax ? " (there are more causes: --limit)"
                                      : " (there are more causes: a filter such as --model shows them)")
             << "\n";
  return {};
}

Status show_letter(Tool& tool, const std::string& id) {
  if (is_fingerprint(id)) return show_group(tool, id);
  SLUICE_ASSIGN(const json letter, tool.api.get(std::string(kLetters) + "/" + path_part(id)));
  if (printed_json(tool, letter)) return {};
  const std::string state = text_in(letter, "state");
  Facts facts;
  facts.add("job", text_in(letter, "job_id"));
  facts.add("state", {state, state_style(state)});
  facts.add("reason", text_in(letter, "reason"));
  facts.add("error", {error_text(letter), Style::kBad});
  facts.add("fingerprint", text_in(letter, "fingerprint"));
  facts.add("tenant", text_in(letter, "tenant"));
  facts.add("model", text_in(letter, "model"));
  facts.add("generation", count_text(number_in(letter, "generation")));
  facts.add("died", when_in(tool, letter, "died_at"));
  if (state != "dead") facts.add("handled", when_in(tool, letter, "handled_at"));
  for (const auto& [name, title] :
       {std::pair{"operation_id", "by"}, {"replayed_as", "replayed as"}, {"replay_of", "replay of"}}) {
    if (const std::string value = text_in(letter, name); !value.empty()) facts.add(title, value);
  }
  const json& job = member_in(letter, "job");
  facts.add("job now", {text_in(job, "status"), state_style(text_in(job, "status"))});
  facts.print(tool.console);
  print_attempts(tool, letter);
  tool.out() << tool.console.styled("the request, as it was accepted: --json", Style::kDim) << "\n";
  return {};
}

}  // namespace sluice::operate
