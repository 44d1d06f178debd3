#include "producer/admin/admin_json.h"

#include <nlohmann/json.hpp>

#include "producer/admin/admin_input.h"
#include "producer/api/answers.h"

namespace sluice::producer {

using nlohmann::json;

json actor_json(const Actor& actor) {
  return {{"tenant", actor.tenant.value}, {"key", actor.key}};
}

json letter_json(const DeadLetter& letter) {
  return {
      {"job_id", letter.job_id.value},
      {"object", "dead_letter"},
      {"generation", letter.generation},
      {"tenant", letter.tenant.value},
      {"model", letter.model},
      {"reason", dead_reason_name(letter.reason)},
      {"fingerprint", letter.fingerprint},
      {"error", {{"code", letter.error_code}, {"message", letter.error_message}}},
      {"attempts", letter.attempts},
      {"died_at", seconds_or_null(letter.died_us)},
      {"state", letter_state_name(letter.state)},
      {"handled_at", seconds_or_null(letter.handled_us)},
      {"operation_id", text_or_null(letter.operation_id.value)},
      {"replayed_as", text_or_null(letter.replayed_as.value)},
  };
}

json letter_json(const DeadLetterDetail& detail) {
  json out = letter_json(detail.letter);
  out["job"] = job_to_json(detail.job);
  out["job"]["callback_url"] = text_or_null(detail.job.callback_url);
  json request = json::parse(detail.request_json, nullptr, false);
  out["request"] = request.is_discarded() ? json() : std::move(request);
  json& attempts = out["attempt_log"] = json::array();
  for (const AttemptRecord& attempt : detail.attempts) {
    attempts.push_back({{"generation", attempt.generation},
                        {"attempt", attempt.attempt},
                        {"worker", attempt.worker_id},
                        {"started_at", seconds_or_null(attempt.started_us)},
                        {"ended_at", seconds_or_null(attempt.ended_us)},
                        {"error", {{"code", attempt.error_code}, {"message", attempt.error_message}}}});
  }
  json& earlier = out["earlier"] = json::array();
  for (const DeadLetter& letter : detail.earlier) earlier.push_back(letter_json(letter));
  out["replay_of"] = text_or_null(detail.replay_of.value);
  return out;
}

json group_json(const DeadLetterGroup& group) {
  return {{"fingerprint", group.fingerprint},
          {"object", "dead_letter_group"},
          {"reason", dead_reason_name(group.reason)},
          {"error", {{"code", group.error_code}, {"message", group.error_message}}},
          {"last_job_id", group.last_job.value},
          {"count", group.count},
          {"first_died_at", seconds_or_null(group.first_us)},
          {"last_died_at", seconds_or_null(group.last_us)}};
}

json operation_json(const Operation& operation) {
  const NewOperation& asked = operation.asked;
  return {{"id", operation.id.value},
          {"object", "operation"},
          {"kind", operation_kind_name(asked.kind)},
          {"status", operation_state_name(operation.state)},
          {"filter", json::parse(filter_to_json(asked.filter))},
          {"force", asked.forced},
          {"rate", asked.rate_max ? json(*asked.rate_max) : json()},
          {"canary", asked.canary ? json(*asked.canary) : json()},
          {"expires_in", asked.expires_in_s ? json(*asked.expires_in_s) : json()},
          {"total", operation.total},
          {"handled", operation.handled},
          {"guarded", operation.guarded},
          {"skipped", operation.skipped},
          {"last_error", text_or_null(operation.last_error)},
          {"created_at", seconds_or_null(operation.created_us)},
          {"finished_at", seconds_or_null(operation.finished_us)},
          {"actor", actor_json(operation.actor)}};
}

json outcome_json(const OperationOutcome& outcome) {
  return {{"succeeded", outcome.succeeded},
          {"ended_otherwise", outcome.ended_otherwise},
          {"unfinished", outcome.unfinished}};
}

json audit_json(const AuditEntry& entry) {
  json filter = json::parse(entry.filter_json, nullptr, false);
  return {{"id", entry.id.value},
          {"object", "audit_entry"},
          {"at", seconds_or_null(entry.at_us)},
          {"actor", actor_json(entry.actor)},
          {"action", entry.action},
          {"target", text_or_null(entry.target)},
          {"filter", filter.is_discarded() ? json() : std::move(filter)},
          {"count", entry.count}};
}

json list_json(json data, int limit, const char* id) {
  const bool more = data.size() > static_cast<std::size_t>(limit);
  if (more) data.erase(data.begin() + limit, data.end());
  json out = {{"object", "list"}, {"first_id", nullptr}, {"last_id", nullptr}, {"has_more", more}};
  if (!data.empty()) {
    out["first_id"] = data.front().at(id);
    out["last_id"] = data.back().at(id);
  }
  out["data"] = std::move(data);
  return out;
}

json list_json(std::span<const DeadLetter> letters, int limit) {
  json data = json::array();
  for (const DeadLetter& letter : letters) data.push_back(letter_json(letter));
  json out = list_json(std::move(data), limit, "job_id");
  const std::size_t shown = out["data"].size();
  if (shown == 0) return out;
  out["first_id"] = letter_cursor(letters.front());
  out["last_id"] = letter_cursor(letters[shown - 1]);
  return out;
}

}  // namespace sluice::producer
