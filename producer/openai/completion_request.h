// Bodies of OpenAI's completion routes, from HTTP or from a line of a batch, made into jobs.
//
// Members that change nothing for us, and unknown ones, are passed over as OpenAI-compatible servers do; one
// of the wrong type, or one that asks for what we can't do, is an error that names it.
//
// Pure but for the model's tokenizer and `find_conversation`; safe for concurrent use.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "common/ids/ids.h"
#include "common/job/job.h"
#include "producer/api/submit_request.h"

namespace sluice::producer {

inline constexpr double kOpenAiTemperature = 1;  // Where a request gives none; our own route takes 0.

struct CompletionRequest {
  JobSpec spec;  // With its surface.
  bool stream = false;
  bool include_usage = false;         // A last chunk with the usage (chat, completion).
  bool background = false;            // Answer at once (response).
  bool cancel_on_disconnect = false;  // The job is for this client alone.
};

// The messages of a conversation so far, without its instructions: those that an earlier response was asked
// and its answer. kNotFound: the tenant has no such response, or it has no answer.
using FindConversation = std::function<Result<std::vector<RequestMessage>>(const JobId& response)>;

// `surface` is kChat, kCompletion or kResponse. Without `find_conversation`, previous_response_id is refused.
tl::expected<CompletionRequest, SubmitRefusal> parse_completion(
    Surface surface, const nlohmann::json& body, const ModelCatalog& models,
    const FindConversation& find_conversation = {});

// The route that serves the surface: "/v1/chat/completions" and so on; "/v1/jobs" for our own.
std::string_view surface_route(Surface surface);

}  // namespace sluice::producer
