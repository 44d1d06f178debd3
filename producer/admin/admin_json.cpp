#include "producer/admin/admin_json.h"

#include <nlohmann/json.hpp>

#include "producer/admin/admin_input.h"

namespace sluice::producer {

using nlohmann::json;

json time_json(std::int64_t us) {
  return us == 0 ? json() : json(us / 1'000'000);
}

json text_json(const std::string& text) {
  return text.empty() ? json() : json(text);
}

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
      {"died_at", time_json(letter.died_us)},
      {"state", letter_state_name(letter.state)},
      {"handled_at", time_json(letter.handled_us)},
      {"operation_id", text_json(letter.operation_id.value)},
      {"replayed_as", text_json(letter.replayed_as.value)},
  };
}

json letter_json(const DeadLetterDetail& detail) {
  json out = letter_json(detail.letter);
  out["job"] = job_to_json(detail.job);
  out["job"]["callback_url"] = text_json(detail.job.callback_url);
  json request = json::parse(detail.request_json, nullptr, false);
  out["request"] = request.is_discarded() ? json() : std::move(request);
  json& attempts = out["attempt_log"] = json::array();
  for (const AttemptRecord& attempt : detail.attempts) {
    attempts.push_back({{"generation", attempt.generation},
                        {"attempt", attempt.attempt},
                        {"worker", attempt.worker_id},
                        {"started_at", time_json(attempt.started_us)},
                        {"ended_at", time_json(attempt.ended_us)},
                        {"error", {{"code", attempt.error_code}, {"message", attempt.error_message}}}});
  }
  json& earlier = out["earlier"] = json::array();
  for (const DeadLetter& letter : detail.earlier) earlier.push_back(letter_json(letter));
  out["replay_of"] = text_json(detail.replay_of.value);
  return out;
}

json group_json(const DeadLetterGroup& group) {
  return {{"fingerprint", group.fingerprint},
          {"object", "dead_letter_group"},
          {"reason", dead_reason_name(group.reason)},
          {"error", {{"code", group.error_code}, {"message", group.error_message}}},
          {"last_job_id", group.last_job.value},
          {"count", group.count},
          {"first_died_at", time_json(group.first_us)},
          {"last_died_at", time_json(group.last_us)}};
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
          {"last_error", text_json(operation.last_error)},
          {"created_at", time_json(operation.created_us)},
          {"finished_at", time_json(operation.finished_us)},
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
          {"at", time_json(entry.at_us)},
          {"actor", actor_json(entry.actor)},
          {"action", entry.action},
          {"target", text_json(entry.target)},
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
  const bool more = letters.size() > static_cast<std::size_t>(limit);
  if (more) letters = letters.first(static_cast<std::size_t>(limit));
  json out = {{"object", "list"},
              {"first_id", nullptr},
              {"last_id", nullptr},
              {"has_more", more},
              {"data", json::array()}};
  for (const DeadLetter& letter : letters) out["data"].push_back(letter_json(letter));
  if (letters.empty()) return out;
  out["first_id"] = letter_cursor(letters.front());
  out["last_id"] = letter_cursor(letters.back());
  return out;
}

}  // namespace sluice::producer
