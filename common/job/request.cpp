#include "common/job/request.h"

#include <array>
#include <nlohmann/json.hpp>

namespace sluice {

namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 4> kFaultNames = {"transient", "permanent", "crash", "slow"};
constexpr std::array<std::string_view, 2> kPrecisionNames = {"full", "adaptive"};

json parameters_to_json(const JobParameters& p) {
  json out = {{"max_tokens", p.max_tokens},
              {"temperature", p.temperature},
              {"top_p", p.top_p},
              {"top_k", p.top_k},
              {"min_p", p.min_p},
              {"presence_penalty", p.presence_penalty},
              {"frequency_penalty", p.frequency_penalty},
              {"repetition_penalty", p.repetition_penalty},
              {"logprobs", p.logprobs},
              {"top_logprobs", p.top_logprobs},
              {"precision", request_precision_name(p.precision)}};
  if (p.stream) out["stream"] = true;
  if (p.seed) out["seed"] = *p.seed;
  if (!p.stop.empty()) out["stop"] = p.stop;
  if (p.fault) {
    out["fault"] = request_fault_name(p.fault->kind);
    if (p.fault->attempts) out["fault_attempts"] = *p.fault->attempts;
    if (p.fault->ms != 0) out["fault_ms"] = p.fault->ms;
  }
  return out;
}

// Takes `name` if it is there; a member of another type throws, and the caller calls it corrupt.
template <class T>
void take(const json& in, const char* name, T& field) {
  if (const auto found = in.find(name); found != in.end() && !found->is_null()) field = found->get<T>();
}

JobParameters parameters_from_json(const json& in) {
  JobParameters p;
  take(in, "max_tokens", p.max_tokens);
  take(in, "temperature", p.temperature);
  take(in, "top_p", p.top_p);
  take(in, "top_k", p.top_k);
  take(in, "min_p", p.min_p);
  if (const auto seed = in.find("seed"); seed != in.end() && !seed->is_null()) {
    p.seed = seed->get<std::int64_t>();
  }
  take(in, "stop", p.stop);
  take(in, "presence_penalty", p.presence_penalty);
  take(in, "frequency_penalty", p.frequency_penalty);
  take(in, "repetition_penalty", p.repetition_penalty);
  take(in, "logprobs", p.logprobs);
  take(in, "top_logprobs", p.top_logprobs);
  take(in, "stream", p.stream);
  if (const auto precision = in.find("precision"); precision != in.end() && precision->is_string()) {
    p.precision =
        request_precision_from(precision->get_ref<const std::string&>()).value_or(RequestPrecision::kFull);
  }
  if (const auto fault = in.find("fault"); fault != in.end() && fault->is_string()) {
    if (const auto kind = request_fault_from(fault->get_ref<const std::string&>())) {
      p.fault.emplace();
      p.fault->kind = *kind;
      if (const auto attempts = in.find("fault_attempts"); attempts != in.end()) {
        p.fault->attempts = attempts->get<int>();
      }
      take(in, "fault_ms", p.fault->ms);
    }
  }
  return p;
}

}  // namespace

std::string_view request_fault_name(RequestFaultKind kind) {
  return kFaultNames[static_cast<std::size_t>(kind)];
}

std::optional<RequestFaultKind> request_fault_from(std::string_view name) {
  for (std::size_t i = 0; i < kFaultNames.size(); ++i) {
    if (kFaultNames[i] == name) return static_cast<RequestFaultKind>(i);
  }
  return std::nullopt;
}

std::string_view request_precision_name(RequestPrecision precision) {
  return kPrecisionNames[static_cast<std::size_t>(precision)];
}

std::optional<RequestPrecision> request_precision_from(std::string_view name) {
  for (std::size_t i = 0; i < kPrecisionNames.size(); ++i) {
    if (kPrecisionNames[i] == name) return static_cast<RequestPrecision>(i);
  }
  return std::nullopt;
}

std::string job_request_to_json(const JobRequest& request) {
  json out = json::object();
  if (!request.messages.empty()) {
    json& messages = out["messages"] = json::array();
    for (const RequestMessage& message : request.messages) {
      messages.push_back({{"role", message.role}, {"content", message.content}});
    }
  } else {
    out["prompt"] = request.prompt;
    out["raw"] = request.raw;
  }
  out["parameters"] = parameters_to_json(request.parameters);
  if (!request.echo_json.empty()) {
    json echo = json::parse(request.echo_json, nullptr, false);
    if (echo.is_object()) out["echo"] = std::move(echo);
  }
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<JobRequest> job_request_from_json(std::string_view text) {
  try {
    const json in = json::parse(text);
    JobRequest request;
    if (const auto messages = in.find("messages"); messages != in.end()) {
      for (const json& message : *messages) {
        request.messages.push_back(
            {message.at("role").get<std::string>(), message.at("content").get<std::string>()});
      }
      if (request.messages.empty()) return fail(ErrorCode::kCorrupt, "stored request: no messages");
    } else {
      request.prompt = in.at("prompt").get<std::string>();
      take(in, "raw", request.raw);
    }
    if (const auto parameters = in.find("parameters"); parameters != in.end()) {
      request.parameters = parameters_from_json(*parameters);
    }
    if (const auto echo = in.find("echo"); echo != in.end() && echo->is_object()) {
      request.echo_json = echo->dump();
    }
    return request;
  } catch (const json::exception& e) {
    // The library's text may quote what it read; its number says enough.
    return fail(ErrorCode::kCorrupt, "stored request: not readable (" + std::to_string(e.id) + ")");
  }
}

}  // namespace sluice
