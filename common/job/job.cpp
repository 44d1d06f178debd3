#include "common/job/job.h"

#include <array>
#include <nlohmann/json.hpp>

#include "common/base/check.h"
#include "common/job/result_json.h"

namespace sluice {

namespace {

constexpr std::array<std::string_view, kJobStates> kStateNames = {
    "queued", "running", "succeeded", "failed", "dead", "cancelled", "expired"};
constexpr std::array<std::string_view, kPriorities> kPriorityNames = {"high", "normal", "low"};

constexpr std::array<std::string_view, kSurfaces> kSurfaceNames = {"job", "chat", "completion", "response"};

// Rows: from; columns: to, both in the order of JobState.
constexpr bool kTransitions[kJobStates][kJobStates] = {
    // queued running succeeded failed dead cancelled expired
    {false, true, true, true, true, true, true},        // queued
    {true, false, true, true, true, true, true},        // running
    {false, false, false, false, false, false, false},  // succeeded
    {true, false, false, false, false, false, false},   // failed
    {true, false, false, false, false, false, false},   // dead
    {true, false, false, false, false, false, false},   // cancelled
    {true, false, false, false, false, false, false},   // expired
};

std::int64_t seconds(std::int64_t us) {
  return us / 1'000'000;
}

nlohmann::json time_or_null(std::int64_t us) {
  return us == 0 ? nlohmann::json() : nlohmann::json(seconds(us));
}

}  // namespace

std::string_view job_state_name(JobState state) {
  return kStateNames[static_cast<std::size_t>(state)];
}

std::optional<JobState> job_state_from(std::string_view name) {
  for (std::size_t i = 0; i < kStateNames.size(); ++i) {
    if (kStateNames[i] == name) return static_cast<JobState>(i);
  }
  return std::nullopt;
}

bool is_final(JobState state) {
  return state != JobState::kQueued && state != JobState::kRunning;
}

bool can_become(JobState from, JobState to) {
  return kTransitions[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)];
}

std::string_view job_event_type(JobState final_state) {
  switch (final_state) {
    case JobState::kSucceeded:
      return "job.succeeded";
    case JobState::kFailed:
      return "job.failed";
    case JobState::kDead:
      return "job.dead";
    case JobState::kCancelled:
      return "job.cancelled";
    case JobState::kExpired:
      return "job.expired";
    case JobState::kQueued:
    case JobState::kRunning:
      break;
  }
  SLUICE_CHECK(!"only final states have events");
  return {};
}

std::string_view priority_name(Priority priority) {
  return kPriorityNames[static_cast<std::size_t>(priority)];
}

std::optional<Priority> priority_from(std::string_view name) {
  for (std::size_t i = 0; i < kPriorityNames.size(); ++i) {
    if (kPriorityNames[i] == name) return static_cast<Priority>(i);
  }
  return std::nullopt;
}

std::string_view surface_name(Surface surface) {
  return kSurfaceNames[static_cast<std::size_t>(surface)];
}

std::optional<Surface> surface_from(std::string_view name) {
  for (std::size_t i = 0; i < kSurfaceNames.size(); ++i) {
    if (kSurfaceNames[i] == name) return static_cast<Surface>(i);
  }
  return std::nullopt;
}

nlohmann::json job_to_json(const Job& job) {
  nlohmann::json out = {
      {"id", job.id.value},
      {"object", "job"},
      {"batch_id", text_or_null(job.batch_id.value)},
      {"model", job.model},
      {"status", job_state_name(job.state)},
      {"attempt", job.attempt},
      {"generation", job.generation},
      {"priority", priority_name(job.priority)},
      {"created_at", seconds(job.created_us)},
      {"started_at", time_or_null(job.started_us)},
      {"finished_at", time_or_null(job.finished_us)},
      {"expires_at", time_or_null(job.expires_us)},
      {"metadata", nullptr},
      {"result", nullptr},
      {"error", nullptr},
      {"leader_id", text_or_null(job.leader_id.value)},
  };
  if (!job.metadata_json.empty()) {
    auto metadata = nlohmann::json::parse(job.metadata_json, nullptr, false);
    if (metadata.is_object()) out["metadata"] = std::move(metadata);
  }
  if (job.result) out["result"] = result_to_json(*job.result);
  if (job.error) {
    out["error"] = {{"code", job.error->code},
                    {"message", job.error->message},
                    {"type", job.error->type},
                    {"param", text_or_null(job.error->param)}};
  }
  return out;
}

std::string job_to_cache(const Job& job) {
  nlohmann::json out = job_to_json(job);
  out["tenant"] = job.tenant.value;
  out["callback_url"] = job.callback_url;
  out["surface"] = surface_name(job.surface);
  out["times_us"] = {job.created_us, job.started_us, job.finished_us, job.expires_us};
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<Job> job_from_cache(std::string_view text) {
  try {
    const auto in = nlohmann::json::parse(text);
    const auto text_at = [&in](const char* key) {
      return in.at(key).is_null() ? "" : in.at(key).get<std::string>();
    };
    Job job;
    job.id.value = in.at("id").get<std::string>();
    job.tenant.value = in.at("tenant").get<std::string>();
    job.batch_id.value = text_at("batch_id");
    job.model = in.at("model").get<std::string>();
    const auto priority = priority_from(in.at("priority").get<std::string>());
    const auto state = job_state_from(in.at("status").get<std::string>());
    if (!priority || !state) return fail(ErrorCode::kCorrupt, "cached job: unknown state or priority");
    job.priority = *priority;
    job.state = *state;
    job.generation = in.at("generation").get<std::int64_t>();
    job.attempt = in.at("attempt").get<int>();
    const auto& times = in.at("times_us");
    job.created_us = times.at(0).get<std::int64_t>();
    job.started_us = times.at(1).get<std::int64_t>();
    job.finished_us = times.at(2).get<std::int64_t>();
    job.expires_us = times.at(3).get<std::int64_t>();
    if (in.at("metadata").is_object()) job.metadata_json = in.at("metadata").dump();
    job.callback_url = in.at("callback_url").get<std::string>();
    if (in.contains("leader_id"))
      job.leader_id.value = text_at("leader_id");  // Copies of an earlier version lack it.
    if (const auto surface = in.find("surface"); surface != in.end()) {  // An earlier version knew only jobs.
      const auto known = surface_from(surface->get<std::string>());
      if (!known) return fail(ErrorCode::kCorrupt, "cached job: unknown surface");
      job.surface = *known;
    }
    if (const auto& result = in.at("result"); result.is_object()) job.result = result_from_json(result);
    if (const auto& error = in.at("error"); error.is_object()) {
      JobError e;
      e.code = error.at("code").get<std::string>();
      e.message = error.at("message").get<std::string>();
      e.type = error.at("type").get<std::string>();
      if (error.at("param").is_string()) e.param = error.at("param");
      job.error = std::move(e);
    }
    return job;
  } catch (const nlohmann::json::exception& e) {
    return fail(ErrorCode::kCorrupt, std::string("cached job: ") + e.what());
  }
}

}  // namespace sluice
