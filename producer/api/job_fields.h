// Members that requests for jobs have in common, whatever their shape.
//
// Pure but for the model's tokenizer; safe for concurrent use. What is wrong goes to `errors`; null counts as
// not given.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "common/job/request.h"
#include "producer/api/field_errors.h"
#include "producer/api/models.h"
#include "producer/api/submit_request.h"

namespace sluice::producer {

inline constexpr std::size_t kMessagesMax = 1000;

// `otherwise` if none is named; null if there is none of that name.
const ServedModel* read_model(const nlohmann::json& value, const ModelCatalog& models,
                              const ServedModel* otherwise, FieldErrors& errors);
void read_priority(const nlohmann::json& value, FieldErrors& errors, Priority& priority);
void read_metadata(const nlohmann::json& value, FieldErrors& errors, std::string& metadata_json);
void read_session_id(const nlohmann::json& value, FieldErrors& errors, std::string& session_id);
// `developer` is the newer name of `system`.
void read_role(const nlohmann::json& value, const std::string& path, FieldErrors& errors,
               RequestMessage& message);

// Whether one of the models obeys `fault`.
bool takes_faults(const ModelCatalog& models);

// Counts the prompt and sets what follows from it: prompt_tokens, tokens_max, and max_tokens cut to what the
// context has left. False: it doesn't fit, or the model's template refuses it; `field` is to blame.
bool measure_prompt(JobSpec& spec, const std::string& field, FieldErrors& errors);

}  // namespace sluice::producer
