// The body of POST /v1/jobs: one job, or {"requests": […]} with defaults for all beside it.
//
// Pure but for the model's tokenizer; safe for concurrent use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/job/job.h"
#include "common/job/request.h"
#include "producer/api/field_errors.h"
#include "producer/api/models.h"

namespace sluice::producer {

inline constexpr std::size_t kSubmitBodyBytesMax = 8'000'000;
inline constexpr std::size_t kSubmitRequestsMax = 10'000;
inline constexpr std::int64_t kExpiresInDefaultS = 3600;
inline constexpr std::int64_t kExpiresInMaxS = 7 * 24 * 3600;

// One job that can be accepted: checked, defaulted, measured.
struct JobSpec {
  const ServedModel* model = nullptr;  // The catalog's.
  JobRequest request;
  Priority priority = Priority::kNormal;
  Surface surface = Surface::kJob;
  std::string callback_url;
  std::string metadata_json;  // An object, or empty.
  std::string session_id;     // Empty: none. Its conversation isn't part of `request` yet.
  std::int64_t expires_in_s = kExpiresInDefaultS;
  std::int64_t prompt_tokens = 0;
  std::int64_t tokens_max = 0;  // Prompt and answer.
  bool seed_is_ours = false;    // The client asked for none.
  std::optional<bool> cache;    // Whether equal jobs may share its result; unset: as answer_key.h says.
  bool allow_stale = false;     // Rather than being refused, take a result whose time is over.
};

struct ParsedSubmit {
  bool is_batch = false;
  std::vector<JobSpec> jobs;  // In the order of the requests.
};

// Why a body was refused. With field errors, `code`, `message` and `param` are those of the first.
struct SubmitRefusal {
  int status = 400;
  std::string code;
  std::string message;
  std::string param;  // Empty = null.
  FieldErrors errors;
  bool is_batch = false;  // Errors may be about items.
};

// All that is wrong with the fields of a body that is no submission.
SubmitRefusal refusal_of(FieldErrors errors);

// All or nothing.
tl::expected<ParsedSubmit, SubmitRefusal> parse_submit(std::string_view body, const ModelCatalog& models);

}  // namespace sluice::producer
