// What operators see, as JSON. Times are Unix seconds, what is absent is null.
//
// Pure functions.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>

#include "common/store/audit_store.h"
#include "common/store/dead_letter_store.h"
#include "common/store/operation_store.h"

namespace sluice::producer {

nlohmann::json letter_json(const DeadLetter& letter);
// With the job, its request and its attempts.
nlohmann::json letter_json(const DeadLetterDetail& detail);
nlohmann::json group_json(const DeadLetterGroup& group);
nlohmann::json operation_json(const Operation& operation);
nlohmann::json outcome_json(const OperationOutcome& outcome);
nlohmann::json audit_json(const AuditEntry& entry);
nlohmann::json actor_json(const Actor& actor);

// An OpenAI list of at most `limit` of `data`, an array; one more than that means that there are more. `id`
// names the member that pages begin after.
nlohmann::json list_json(nlohmann::json data, int limit, const char* id);
// The same for letters, by letter_cursor().
nlohmann::json list_json(std::span<const DeadLetter> letters, int limit);

}  // namespace sluice::producer
