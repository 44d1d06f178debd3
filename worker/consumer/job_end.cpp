#include "worker/consumer/job_end.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "common/job/request.h"
#include "worker/consumer/held_jobs.h"

namespace sluice::worker {

namespace {

FaultKind fault_kind(RequestFaultKind kind) {
  switch (kind) {
    case RequestFaultKind::kTransient:
      return FaultKind::kTransient;
    case RequestFaultKind::kPermanent:
      return FaultKind::kPermanent;
    case RequestFaultKind::kCrash:
      return FaultKind::kCrash;
    case RequestFaultKind::kSlow:
      return FaultKind::kSlow;
  }
  return FaultKind::kTransient;
}

SamplingParams sampling_of(const JobParameters& p) {
  SamplingParams out;
  out.max_tokens = p.max_tokens;
  out.temperature = static_cast<float>(p.temperature);
  out.top_p = static_cast<float>(p.top_p);
  out.top_k = p.top_k;
  out.min_p = static_cast<float>(p.min_p);
  if (p.seed) out.seed = static_cast<std::uint64_t>(*p.seed);
  out.stop = p.stop;
  out.repetition_penalty = static_cast<float>(p.repetition_penalty);
  out.frequency_penalty = static_cast<float>(p.frequency_penalty);
  out.presence_penalty = static_cast<float>(p.presence_penalty);
  out.logprobs = p.logprobs;
  out.top_logprobs = p.top_logprobs;
  return out;
}

// As good as chance, and the same for each attempt: ids are random.
std::uint64_t seed_of(const TaskRef& ref) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : ref.id.value + "/" + std::to_string(ref.generation)) {
    hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3ULL;
  }
  return hash;
}

PromptInput prompt_of(JobRequest&& request) {
  PromptInput input;
  if (!request.messages.empty()) {
    for (RequestMessage& message : request.messages) {
      input.messages.push_back({std::move(message.role), std::move(message.content)});
    }
  } else if (request.raw) {
    input.raw = std::move(request.prompt);
  } else {
    input.messages.push_back({"user", std::move(request.prompt)});
  }
  return input;
}

// As OpenAI's chat completions have it. Bytes that are no whole characters show as replacement characters in
// `token`, and as they are in `bytes`.
std::string logprobs_json(const std::vector<TokenLogprob>& logprobs) {
  using nlohmann::json;
  const auto one = [](const std::string& bytes, float logprob) {
    json list = json::array();
    for (const char byte : bytes) list.push_back(static_cast<unsigned char>(byte));
    return json{{"token", bytes}, {"logprob", static_cast<double>(logprob)}, {"bytes", std::move(list)}};
  };
  json content = json::array();
  for (const TokenLogprob& token : logprobs) {
    json entry = one(token.bytes, token.logprob);
    entry["top_logprobs"] = json::array();
    for (const TokenLogprob::Likely& likely : token.top)
      entry["top_logprobs"].push_back(one(likely.bytes, likely.logprob));
    content.push_back(std::move(entry));
  }
  return json{{"content", std::move(content)}}.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

Failed failure_of(const Error& error) {
  Failed failed;
  failed.permanent = error.code == ErrorCode::kInvalid;
  failed.error.message = error.message;
  if (!failed.permanent) {
    failed.error.code = error.code == ErrorCode::kUnavailable ? "engine_unavailable" : "engine_error";
    failed.error.type = "server_error";
    return failed;
  }
  // Engines say which of the two it is by naming the context.
  const bool too_long = error.message.find("context") != std::string::npos;
  failed.error.code = too_long ? "context_length_exceeded" : "invalid_request";
  failed.error.type = "invalid_request_error";
  if (too_long) failed.error.param = "messages";
  return failed;
}

JobEnd end_of(Completion&& completion) {
  JobEnd end;
  end.key = std::move(completion.key);
  if (auto* generation = std::get_if<Generation>(&completion.how)) {
    JobResult result;
    result.text = std::move(generation->text);
    result.finish_reason = finish_reason_name(generation->finish_reason);
    result.prompt_tokens = static_cast<std::int64_t>(generation->usage.prompt_tokens);
    result.completion_tokens = static_cast<std::int64_t>(generation->usage.completion_tokens);
    result.reasoning_content = std::move(generation->reasoning);
    result.cached_tokens = static_cast<std::int64_t>(generation->usage.cached_tokens);
    result.reasoning_tokens = static_cast<std::int64_t>(generation->usage.reasoning_tokens);
    result.precision = std::move(generation->weight_type);
    if (!generation->logprobs.empty()) result.logprobs_json = logprobs_json(generation->logprobs);
    end.how = Succeeded{std::move(result)};
  } else if (const auto* error = std::get_if<Error>(&completion.how)) {
    end.how = failure_of(*error);
  } else if (std::holds_alternative<GivenBack>(completion.how)) {
    end.how = Released{};
  } else {
    end.how = Dropped{};
  }
  return end;
}

Failed refused(int refusals) {
  return Failed{JobError{"result_refused", "The result could not be stored.", "server_error", ""},
                refusals < 2};
}

Result<Work> prepare_work(const Engine& engine, const ClaimedJob& job, bool queue_deep) {
  auto request = job_request_from_json(job.request_json);
  if (!request) return fail(ErrorCode::kInvalid, request.error().message);
  Work work;
  work.request.key = start_key(job.ref);
  work.request.scope = job.tenant.value;
  work.request.params = sampling_of(request->parameters);
  work.request.fast = queue_deep && request->parameters.precision == RequestPrecision::kAdaptive;
  if (const auto& asked = request->parameters.fault) {
    work.request.fault = Fault{fault_kind(asked->kind), asked->attempts, asked->ms, job.ref.attempt};
  }
  work.streamed = request->parameters.stream;
  // Every start of a job says the same, so that whoever reads along is not told two different things.
  if (!work.request.params.seed) work.request.params.seed = seed_of(job.ref);
  SLUICE_TRY(validate(work.request.params));
  SLUICE_ASSIGN(work.request.prompt, engine.prepare(prompt_of(std::move(*request))));
  work.kv_tokens = engine.kv_tokens_needed(work.request.prompt, work.request.params);
  return work;
}

}  // namespace sluice::worker
