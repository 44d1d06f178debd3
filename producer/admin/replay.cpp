#include "producer/admin/replay.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/http/body_json.h"
#include "producer/admin/admin_input.h"

namespace sluice::producer {

using nlohmann::json;

namespace {

tl::unexpected<SubmitRefusal> refuse(std::string field, std::string code, std::string message) {
  FieldErrors errors;
  errors.add(std::move(field), std::move(code), std::move(message));
  return tl::unexpected(refusal_of(std::move(errors)));
}

// What the job was given to finish in: by its last redrive, or else by its client.
std::int64_t lifetime_s(const DeadLetterDetail& letter) {
  std::int64_t lifetime = (letter.job.expires_us - letter.job.created_us) / 1'000'000;
  for (const DeadLetter& earlier : letter.earlier) lifetime = earlier.expires_in_s.value_or(lifetime);
  return std::clamp<std::int64_t>(lifetime, 1, kExpiresInMaxS);
}

// What one would submit to get the letter's job.
json submit_body(const DeadLetterDetail& letter) {
  json body = json::parse(letter.request_json, nullptr, false);
  if (!body.is_object()) return nullptr;
  body.erase("echo");  // The new job is one of ours, whatever shape the first was asked for in.
  const Job& job = letter.job;
  body["model"] = job.model;
  body["priority"] = priority_name(job.priority);
  body["expires_in"] = lifetime_s(letter);
  if (!job.callback_url.empty()) body["callback_url"] = job.callback_url;
  if (!job.metadata_json.empty()) body["metadata"] = json::parse(job.metadata_json, nullptr, false);
  return body;
}

}  // namespace

tl::expected<Replay, SubmitRefusal> read_replay(std::string_view body, const DeadLetterDetail& letter,
                                                const ModelCatalog& models) {
  const auto parsed = http::parse_json(body);
  if (!parsed) return tl::unexpected(SubmitRefusal{400, "invalid_json", parsed.error().message, "", {}});
  if (!parsed->is_object()) return refuse("", "invalid_type", "must be a JSON object");
  for (const auto& [name, value] : parsed->items()) {
    if (name != "changes") return refuse(field_name(name), "unknown_field", "is not a field of a replay");
  }
  const auto changes = parsed->find("changes");
  if (changes == parsed->end()) {
    return refuse("changes", "missing_field", "is required: to run the same request again, redrive it");
  }
  if (!changes->is_object() || changes->empty()) {
    return refuse("changes", "invalid_type", "must be an object with what to change");
  }
  json corrected = submit_body(letter);
  if (corrected.is_null())
    return refuse("", "not_replayable", "can't be replayed: the stored request is not readable");
  const json before = corrected;
  if (changes->contains("messages")) {
    corrected.erase("prompt");
    corrected.erase("raw");
  } else if (changes->contains("prompt")) {
    corrected.erase("messages");
  }
  corrected.merge_patch(*changes);
  // The loop guard counts redrives: the same request again is to be one.
  if (corrected == before)
    return refuse("changes", "invalid_value", "changes nothing: to run the same request again, redrive it");
  auto accepted = parse_submit(http::dump_json(corrected), models);
  if (!accepted) return tl::unexpected(std::move(accepted).error());
  if (accepted->is_batch) return refuse("changes.requests", "unknown_field", "is not a field of one job");
  Replay replay;
  replay.spec = std::move(accepted->jobs.front());
  for (const auto& [name, value] : changes->items()) replay.changed.push_back(name);
  return replay;
}

}  // namespace sluice::producer
