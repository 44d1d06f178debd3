// What a job asks of an engine: the text of column job_payload.request. The producer writes it fully
// defaulted, so that a later change of a default never changes an accepted job; the worker reads it.
//
//   {"messages": [{"role": "user", "content": "…"}], "parameters": {…}}
//   {"prompt": "…", "raw": true, "parameters": {…}, "echo": {…}}
//
// Reading is lenient towards other versions of sluice: unknown members are ignored, missing parameters take
// the defaults below. Plain values; the functions are safe for concurrent use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace sluice {

struct RequestMessage {
  std::string role;  // system | user | assistant
  std::string content;
  bool operator==(const RequestMessage&) const = default;
};

// Misbehaviour that a test asks for; only the echo engine obeys.
enum class RequestFaultKind { kTransient, kPermanent, kCrash, kSlow };
std::string_view request_fault_name(RequestFaultKind kind);  // transient | permanent | crash | slow
std::optional<RequestFaultKind> request_fault_from(std::string_view name);

struct RequestFault {
  RequestFaultKind kind = RequestFaultKind::kTransient;
  std::optional<int> attempts;  // How many attempts misbehave, from the first. Unset: the engine's default.
  int ms = 0;                   // kSlow: how long the answer takes at least.
  bool operator==(const RequestFault&) const = default;
};

// How exact the weights must be that compute a job.
enum class RequestPrecision {
  kFull,      // Those of the model that the worker serves.
  kAdaptive,  // While the queue is deep, a faster format of the same model will do.
};
std::string_view request_precision_name(RequestPrecision precision);  // full | adaptive
std::optional<RequestPrecision> request_precision_from(std::string_view name);

struct JobParameters {
  int max_tokens = 256;
  double temperature = 0;
  double top_p = 1;  // 1 = off.
  int top_k = 0;     // 0 = off.
  double min_p = 0;  // 0 = off.
  std::optional<std::int64_t> seed;
  std::vector<std::string> stop;
  double presence_penalty = 0;
  double frequency_penalty = 0;
  double repetition_penalty = 1;  // 1 = off.
  bool logprobs = false;          // Tell how likely each token was,
  int top_logprobs = 0;           // and which others were likeliest (0-20; above 0 only with logprobs).
  RequestPrecision precision = RequestPrecision::kFull;
  bool stream = false;  // Somebody reads along: tell the text from the first token on.
  std::optional<RequestFault> fault;
  bool operator==(const JobParameters&) const = default;
};

struct JobRequest {
  std::vector<RequestMessage> messages;  // Not empty: they count, through the chat template.
  std::string prompt;                    // Else this one.
  bool raw = false;                      // `prompt` goes in bare; false: it is one user message.
  JobParameters parameters;
  // What an answer repeats of its request: a response's members, a session's turn (an object), or empty. No
  // engine reads it.
  std::string echo_json;
  bool operator==(const JobRequest&) const = default;
};

// Text that isn't valid UTF-8 gets replacement characters.
std::string job_request_to_json(const JobRequest& request);
// kCorrupt: not such a text. The message quotes nothing of it.
Result<JobRequest> job_request_from_json(std::string_view text);

}  // namespace sluice
