#include "callback/payload/payload.h"

#include <nlohmann/json.hpp>

#include "common/openai/ids.h"

namespace sluice::callback {

using nlohmann::json;

namespace {

constexpr std::string_view kTypePrefix = "job.";
constexpr std::string_view kResponsePrefix = "response.";

std::string dump(const json& value) {
  // Results are a model's output: what is no UTF-8 in it is replaced, never thrown about.
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

bool tells_of(const EventRecord& event, const Job& job) {
  return job.generation == event.generation && is_final(job.state) && job_event_type(job.state) == event.type;
}

// The job as it was at the event, as far as that can still be told.
json moved_on(const EventRecord& event, const std::optional<Job>& job) {
  const std::string_view type = event.type;
  const std::string status(type.substr(type.starts_with(kTypePrefix) ? kTypePrefix.size() : 0));
  Job known;
  if (job) known = *job;
  known.id = event.job_id;
  known.generation = event.generation;
  known.result.reset();
  known.error.reset();
  json data = job_to_json(known);
  data["status"] = status;
  data["finished_at"] = event.created_us / 1'000'000;
  for (const char* key : {"attempt", "started_at", "expires_at"}) data[key] = nullptr;
  if (!job) {
    for (const char* key : {"model", "priority", "created_at"}) data[key] = nullptr;
  }
  if (status != job_state_name(JobState::kSucceeded)) {
    data["error"] = {
        {"code", "superseded"},
        {"message", "The job was started anew before this event was recorded; ask for the job itself."},
        {"type", "server_error"},
        {"param", nullptr}};
  }
  return data;
}

}  // namespace

std::string event_payload(const EventRecord& event, const std::optional<Job>& job,
                          const PayloadConfig& config) {
  json data = job && tells_of(event, *job) ? job_to_json(*job) : moved_on(event, job);
  if (data["result"].is_object() && dump(data["result"]).size() > config.result_bytes_max) {
    data["result"] = nullptr;
    data["result_url"] = config.public_url + "/v1/jobs/" + event.job_id.value;
  }
  return dump({{"id", event.id.value},
               {"object", "event"},
               {"type", event.type},
               {"created_at", event.created_us / 1'000'000},
               {"sequence", event.generation},
               {"data", std::move(data)}});
}

bool tells_id_alone(const EventRecord& event) {
  return is_well_formed_id(event.job_id.value, BatchIdTag::kPrefix) ||
         event.type.starts_with(kResponsePrefix);
}

std::string id_event_payload(const EventRecord& event) {
  const bool response = event.type.starts_with(kResponsePrefix);
  return dump(
      {{"id", event.id.value},
       {"object", "event"},
       {"type", event.type},
       {"created_at", event.created_us / 1'000'000},
       {"sequence", event.generation},
       {"data",
        {{"id", response ? openai::surface_id(Surface::kResponse, event.job_id) : event.job_id.value}}}});
}

}  // namespace sluice::callback
