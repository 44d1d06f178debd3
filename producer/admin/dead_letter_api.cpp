#include "producer/admin/dead_letter_api.h"

#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "common/http/body_json.h"
#include "common/http/error_response.h"
#include "producer/admin/admin_json.h"
#include "producer/admin/admin_route.h"
#include "producer/admin/replay.h"
#include "producer/api/answers.h"
#include "producer/api/job_intake.h"

namespace sluice::producer {

using nlohmann::json;

namespace {

constexpr int kGroupsDefault = 50;
constexpr int kGroupsMax = 500;
// Letters with their requests in one answer: so many, and no more once they come to so much.
constexpr int kExportMax = 200;
constexpr std::size_t kExportBytesMax = 16'000'000;
constexpr std::size_t kExpandedAtOnce = 10;
constexpr int kLookAgainS = 5;

http::Response letter_failure(const Error& error) {
  return admin_failure(error, "dead_letter_not_found", "There is no dead letter of such a job.",
                       "dead_letter_handled");
}

http::Response operation_failure(const Error& error) {
  return admin_failure(error, "operation_not_found", "There is no such operation.", "operation_over");
}

std::optional<JobId> job_id_of(const http::Request& request) {
  const std::string_view id = request.path_param("id");
  if (!is_well_formed_id(id, JobIdTag::kPrefix)) return std::nullopt;
  return JobId{std::string(id)};
}

std::optional<OperationId> operation_id_of(const http::Request& request) {
  const std::string_view id = request.path_param("id");
  if (!is_well_formed_id(id, OperationIdTag::kPrefix)) return std::nullopt;
  return OperationId{std::string(id)};
}

http::Response start_unknown() {
  return http::busy_response(
      503, "outcome_unknown",
      "It is not known whether the operation was started: look at GET /v1/admin/operations before you ask "
      "again.",
      kLookAgainS);
}

http::Response operation_answer(int status, const Operation& operation,
                                const std::optional<OperationOutcome>& outcome) {
  const bool redrive = operation.asked.kind == OperationKind::kRedrive;
  json out = operation_json(operation);
  out["outcome"] = redrive && outcome ? outcome_json(*outcome) : json();
  return http::json_response(status, out);
}

const Error kNoSuchId{ErrorCode::kNotFound, "not an id"};

}  // namespace

void DeadLetterApi::add_routes(http::Router& router) {
  using http::Method;
  const auto add = admin_routes(router, parts_.authenticator, this);
  add(Method::kGet, "/v1/admin/dead_letters", 0, &DeadLetterApi::list);
  add(Method::kGet, "/v1/admin/dead_letters/groups", 0, &DeadLetterApi::groups);
  add(Method::kGet, "/v1/admin/dead_letters/export", 0, &DeadLetterApi::export_letters);
  add(Method::kPost, "/v1/admin/dead_letters/redrive", kAdminBodyBytesMax, &DeadLetterApi::redrive);
  add(Method::kPost, "/v1/admin/dead_letters/discard", kAdminBodyBytesMax, &DeadLetterApi::discard);
  add(Method::kGet, "/v1/admin/dead_letters/{id}", 0, &DeadLetterApi::show);
  add(Method::kPost, "/v1/admin/dead_letters/{id}/replay", kSubmitBodyBytesMax, &DeadLetterApi::replay);
  add(Method::kGet, "/v1/admin/operations", 0, &DeadLetterApi::list_operations);
  add(Method::kGet, "/v1/admin/operations/{id}", 0, &DeadLetterApi::get_operation);
  add(Method::kPost, "/v1/admin/operations/{id}/continue", kAdminBodyBytesMax,
      &DeadLetterApi::continue_operation);
  add(Method::kPost, "/v1/admin/operations/{id}/cancel", kAdminBodyBytesMax,
      &DeadLetterApi::cancel_operation);
  add(Method::kGet, "/v1/admin/audit", 0, &DeadLetterApi::list_audit);
}

http::Response DeadLetterApi::list(const http::Request& request) {
  QueryReader reader(request);
  DeadLetterQuery query;
  query.filter = take_filter(reader);
  query.after = take_letter(reader, "after");
  const int limit = reader.take_limit();
  if (const std::string* state = reader.take("state")) {
    query.state = letter_state_from(*state);
    if (!query.state && *state != "any")
      reader.refuse("state", "must be dead, redriven, replayed, discarded or any");
  }
  if (const auto bad = reader.finish()) return bad_query(*bad);
  query.limit = limit + 1;  // One more tells whether there are more.
  const auto letters = parts_.letters.list_letters(query, call_deadline());
  if (!letters) return letter_failure(letters.error());
  return http::json_response(200, list_json(*letters, limit));
}

http::Response DeadLetterApi::groups(const http::Request& request) {
  QueryReader reader(request);
  const DeadLetterFilter filter = take_filter(reader);
  const bool limited = request.query_value("limit").has_value();
  const int asked = reader.take_limit(kGroupsMax);
  if (const auto bad = reader.finish()) return bad_query(*bad);
  const int limit = limited ? asked : kGroupsDefault;
  const auto groups = parts_.letters.group_letters(filter, limit + 1, call_deadline());
  if (!groups) return letter_failure(groups.error());
  json data = json::array();
  for (const DeadLetterGroup& group : *groups) data.push_back(group_json(group));
  return http::json_response(200, list_json(std::move(data), limit, "fingerprint"));
}

// JSON lines, a page at a time. A page shows requests, so each is worth an entry in the audit log, written
// before anything is shown.
http::Response DeadLetterApi::export_letters(const http::Request& request) {
  QueryReader reader(request);
  DeadLetterQuery query;
  query.filter = take_filter(reader);
  query.after = take_letter(reader, "after");
  const int limit = reader.take_limit(kExportMax);
  if (const auto bad = reader.finish()) return bad_query(*bad);
  query.limit = limit + 1;
  auto letters = parts_.letters.list_letters(query, call_deadline());
  if (!letters) return letter_failure(letters.error());
  std::vector<JobId> ids;
  for (const DeadLetter& letter : *letters) ids.push_back(letter.job_id);
  const std::size_t page = std::min(ids.size(), static_cast<std::size_t>(limit));
  std::size_t shown = 0;
  std::string lines;
  while (shown < page && lines.size() < kExportBytesMax) {
    const std::size_t few = std::min(kExpandedAtOnce, page - shown);
    const auto details = parts_.letters.expand_letters(std::span(ids).subspan(shown, few), call_deadline());
    if (!details) return letter_failure(details.error());
    for (const DeadLetterDetail& detail : *details) {
      json line = letter_json(detail);
      // These are not looked up here, and must not say that there is none.
      line.erase("earlier");
      line.erase("replay_of");
      lines += http::dump_json(line) + "\n";
    }
    shown += few;
  }
  AuditEntry entry;
  entry.actor = actor_of(request);
  entry.action = "dead_letters.export";
  entry.filter_json = filter_to_json(query.filter);
  entry.count = static_cast<std::int64_t>(shown);
  if (const Status kept = parts_.audit.record(entry, call_deadline()); !kept)
    return letter_failure(kept.error());
  http::Response response = http::Response::text(200, std::move(lines));
  response.headers.set("Content-Type", "application/x-ndjson");
  if (shown < ids.size()) response.headers.set("X-Next-After", letter_cursor((*letters)[shown - 1]));
  return response;
}

http::Response DeadLetterApi::show(const http::Request& request) {
  if (const auto none = read_no_query(request); !none) return bad_query(none.error());
  const auto id = job_id_of(request);
  if (!id) return letter_failure(kNoSuchId);
  const auto detail = parts_.letters.show_letter(*id, call_deadline());
  if (!detail) return letter_failure(detail.error());
  return http::json_response(200, letter_json(*detail));
}

http::Response DeadLetterApi::replay(const http::Request& request) {
  if (const auto none = read_no_query(request); !none) return bad_query(none.error());
  const auto id = job_id_of(request);
  if (!id) return letter_failure(kNoSuchId);
  const auto detail = parts_.letters.show_letter(*id, call_deadline());
  if (!detail) return letter_failure(detail.error());
  auto replay = read_replay(request.body, *detail, parts_.models);
  if (!replay) return refusal_answer(replay.error());

  const TenantId& tenant = detail->letter.tenant;
  NewJob fresh = new_job(parts_.ids.make<JobId>(shard_of_tenant(tenant)), tenant, std::move(replay->spec));
  const std::string changed =
      http::dump_json({{"changed", replay->changed}, {"replayed_as", fresh.job.id.value}});
  const Status done = parts_.letters.replay_letter({*id, detail->letter.generation}, fresh, actor_of(request),
                                                   changed, call_deadline());
  if (!done) return letter_failure(done.error());
  parts_.on_queued();
  json out = job_to_json(fresh.job);
  out["replay_of"] = id->value;
  http::Response response = http::json_response(202, out);
  response.headers.set("Location", "/v1/jobs/" + fresh.job.id.value);
  return response;
}

std::optional<http::Response> DeadLetterApi::check_ids(const NewOperation& asked) {
  if (asked.filter.ids.empty()) return std::nullopt;
  DeadLetterQuery query;
  query.filter.ids = asked.filter.ids;
  query.state.reset();
  query.limit = std::numeric_limits<int>::max();  // Every end of these jobs; the last of each counts.
  const auto found = parts_.letters.list_letters(query, call_deadline());
  if (!found) return letter_failure(found.error());
  std::map<std::string, const DeadLetter*> known;
  for (const DeadLetter& letter : *found) {
    const DeadLetter*& last = known[letter.job_id.value];
    if (last == nullptr || last->generation < letter.generation) last = &letter;
  }
  json handled = json::array();
  for (const auto& [id, letter] : known) {
    if (letter->state == LetterState::kDead) continue;
    handled.push_back({{"job_id", id}, {"state", letter_state_name(letter->state)}});
  }
  json unknown = json::array();
  for (const JobId& id : asked.filter.ids) {
    if (!known.contains(id.value)) unknown.push_back(id.value);
  }
  if (!unknown.empty()) {
    return http::error_response(404, http::error_type::kNotFound, "dead_letter_not_found",
                                std::to_string(unknown.size()) +
                                    " of the ids have no dead letter, the first is " +
                                    unknown.front().get<std::string>() + ".",
                                "ids", {{"unknown_ids", unknown}});
  }
  if (!handled.empty()) {
    return http::error_response(409, http::error_type::kConflict, "dead_letter_handled",
                                std::to_string(handled.size()) + " of the letters were handled before: " +
                                    handled.front()["job_id"].get<std::string>() + " is " +
                                    handled.front()["state"].get<std::string>() + ".",
                                "ids", {{"handled", handled}});
  }
  return std::nullopt;
}

http::Response DeadLetterApi::operate(const http::Request& request, OperationKind kind) {
  if (const auto none = read_no_query(request); !none) return bad_query(none.error());
  const auto asked = read_letters_asked(request.body, kind);
  if (!asked) return refusal_answer(asked.error());
  if (auto refused = check_ids(asked->operation)) return std::move(*refused);
  const bool guards = kind == OperationKind::kRedrive && !asked->operation.forced;
  DeadLetterCount count;
  if (asked->dry_run || guards) {
    const auto counted =
        parts_.letters.count_letters(asked->operation.filter, parts_.rules.redrives_max, call_deadline());
    if (!counted) return letter_failure(counted.error());
    count = *counted;
  }
  if (asked->dry_run) return dry_run(*asked, count);
  if (guards && count.matching > 0 && count.guarded == count.matching) {
    return http::error_response(
        409, http::error_type::kConflict, "redriven_too_often",
        "Each of these was redriven " + std::to_string(parts_.rules.redrives_max) +
            " times already and died again: only \"force\": true redrives them once more.",
        "force");
  }
  const auto started =
      parts_.operations.start_operation(asked->operation, actor_of(request), call_deadline());
  if (!started && started.error().code == ErrorCode::kOutcomeUnknown) return start_unknown();
  if (!started) return operation_failure(started.error());
  parts_.on_operation();
  // It has moved nothing yet, so there is nothing to look up that could fail.
  http::Response response = operation_answer(202, *started, OperationOutcome{});
  response.headers.set("Location", "/v1/admin/operations/" + started->id.value);
  return response;
}

http::Response DeadLetterApi::dry_run(const LettersAsked& asked, const DeadLetterCount& count) {
  const auto groups = parts_.letters.group_letters(asked.operation.filter, kGroupsDefault, call_deadline());
  if (!groups) return letter_failure(groups.error());
  const bool redriving = asked.operation.kind == OperationKind::kRedrive;
  const std::int64_t guarded = redriving && !asked.operation.forced ? count.guarded : 0;
  json out = {{"object", "dry_run"},        {"kind", operation_kind_name(asked.operation.kind)},
              {"matching", count.matching}, {"would_move", count.matching - guarded},
              {"guarded", guarded},         {"groups", json::array()}};
  for (const DeadLetterGroup& group : *groups) out["groups"].push_back(group_json(group));
  return http::json_response(200, out);
}

std::optional<OperationOutcome> DeadLetterApi::outcome_of(const Operation& operation) {
  if (operation.asked.kind != OperationKind::kRedrive) return std::nullopt;
  const auto outcome = parts_.operations.operation_outcome(operation.id, call_deadline());
  return outcome ? std::optional(*outcome) : std::nullopt;
}

http::Response DeadLetterApi::list_operations(const http::Request& request) {
  QueryReader reader(request);
  OperationFilter filter;
  filter.after = reader.take_id<OperationId>("after", OperationIdTag::kPrefix);
  const int limit = reader.take_limit();
  if (const auto bad = reader.finish()) return bad_query(*bad);
  filter.limit = limit + 1;
  const auto operations = parts_.operations.list_operations(filter, call_deadline());
  if (!operations) return operation_failure(operations.error());
  json data = json::array();
  for (const Operation& operation : *operations) data.push_back(operation_json(operation));
  return http::json_response(200, list_json(std::move(data), limit, "id"));
}

http::Response DeadLetterApi::get_operation(const http::Request& request) {
  if (const auto none = read_no_query(request); !none) return bad_query(none.error());
  const auto id = operation_id_of(request);
  if (!id) return operation_failure(kNoSuchId);
  const auto operation = parts_.operations.get_operation(*id, call_deadline());
  if (!operation) return operation_failure(operation.error());
  const auto outcome = outcome_of(*operation);
  // Who waits for the jobs of a canary, or of what is done, asks for just this.
  const bool wanted =
      operation->asked.kind == OperationKind::kRedrive && operation->state != OperationState::kRunning;
  if (wanted && !outcome) return operation_failure(Error{ErrorCode::kUnavailable, "no outcome"});
  return operation_answer(200, *operation, outcome);
}

http::Response DeadLetterApi::continue_operation(const http::Request& request) {
  if (const auto none = read_no_query(request); !none) return bad_query(none.error());
  const auto id = operation_id_of(request);
  if (!id) return operation_failure(kNoSuchId);
  const auto operation = parts_.operations.continue_operation(*id, actor_of(request), call_deadline());
  if (!operation) return operation_failure(operation.error());
  parts_.on_operation();
  return operation_answer(200, *operation, outcome_of(*operation));
}

http::Response DeadLetterApi::cancel_operation(const http::Request& request) {
  if (const auto none = read_no_query(request); !none) return bad_query(none.error());
  const auto id = operation_id_of(request);
  if (!id) return operation_failure(kNoSuchId);
  const auto operation = parts_.operations.cancel_operation(*id, actor_of(request), call_deadline());
  if (!operation) return operation_failure(operation.error());
  return operation_answer(200, *operation, outcome_of(*operation));
}

http::Response DeadLetterApi::list_audit(const http::Request& request) {
  QueryReader reader(request);
  AuditFilter filter;
  filter.after = reader.take_id<AuditId>("after", AuditIdTag::kPrefix);
  const int limit = reader.take_limit();
  filter.action = take_action(reader);
  if (const auto bad = reader.finish()) return bad_query(*bad);
  filter.limit = limit + 1;
  const auto entries = parts_.audit.list_audit(filter, call_deadline());
  if (!entries) return store_failure(entries.error());
  json data = json::array();
  for (const AuditEntry& entry : *entries) data.push_back(audit_json(entry));
  return http::json_response(200, list_json(std::move(data), limit, "id"));
}

}  // namespace sluice::producer
