#include "producer/api/job_fields.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/http/body_json.h"
#include "producer/api/json_fields.h"

namespace sluice::producer {

namespace {

using nlohmann::json;

constexpr std::size_t kModelBytesMax = 128;
constexpr std::size_t kSessionIdMax = 64;
constexpr std::size_t kMetadataPairsMax = 16;
constexpr std::size_t kMetadataKeyMax = 64;
constexpr std::size_t kMetadataValueMax = 512;

bool too_long(const std::string& field, const std::string& tokens, std::int64_t context,
              FieldErrors& errors) {
  errors.add(field, "context_length_exceeded",
             "has " + tokens + " tokens; the model's context of " + std::to_string(context) +
                 " tokens leaves no room for an answer");
  return false;
}

}  // namespace

const ServedModel* read_model(const json& value, const ModelCatalog& models, const ServedModel* otherwise,
                              FieldErrors& errors) {
  const std::string* name = read_string(value, "model", errors);
  if (name == nullptr) return otherwise;
  const ServedModel* model = models.find(*name);
  if (model != nullptr) return model;
  if (name->size() > kModelBytesMax) {
    errors.add("model", "model_not_found", "must name a model that is served; there is none of that name");
  } else {
    errors.add("model", "model_not_found", "must name a model that is served; there is no '" + *name + "'");
  }
  return nullptr;
}

void read_priority(const json& value, FieldErrors& errors, Priority& priority) {
  if (value.is_null()) return;
  const auto known = value.is_string() ? priority_from(value.get_ref<const std::string&>()) : std::nullopt;
  if (known) {
    priority = *known;
  } else {
    errors.add("priority", value.is_string() ? "invalid_value" : "invalid_type",
               "must be high, normal or low");
  }
}

void read_metadata(const json& value, FieldErrors& errors, std::string& metadata_json) {
  if (value.is_null()) return;
  if (!value.is_object()) {
    errors.add("metadata", "invalid_type", "must be an object");
    return;
  }
  const std::size_t errors_before = errors.count();
  if (value.size() > kMetadataPairsMax) {
    errors.add("metadata", "out_of_range", "must have at most 16 members");
    return;
  }
  for (const auto& [key, member] : value.items()) {
    if (key.empty() || count_characters(key) > kMetadataKeyMax) {
      errors.add("metadata", "out_of_range", "must have keys of 1 to 64 characters");
    } else if (!member.is_string()) {
      errors.add("metadata." + field_name(key), "invalid_type", "must be a string");
    } else if (count_characters(member.get_ref<const std::string&>()) > kMetadataValueMax) {
      errors.add("metadata." + field_name(key), "out_of_range", "must be at most 512 characters");
    }
  }
  if (errors.count() == errors_before) metadata_json = http::dump_json(value);
}

void read_session_id(const json& value, FieldErrors& errors, std::string& session_id) {
  const std::string* text = read_string(value, "session_id", errors);
  if (text == nullptr) return;
  const auto allowed = [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' ||
           c == '_' || c == '-';
  };
  if (text->empty() || text->size() > kSessionIdMax || !std::all_of(text->begin(), text->end(), allowed)) {
    errors.add("session_id", "invalid_value", "must be 1 to 64 letters, digits, dots, underlines or hyphens");
  } else {
    session_id = *text;
  }
}

void read_role(const json& value, const std::string& path, FieldErrors& errors, RequestMessage& message) {
  if (value.is_string()) message.role = value.get<std::string>();
  if (message.role == "developer") message.role = "system";
  if (message.role != "system" && message.role != "user" && message.role != "assistant") {
    errors.add(path, value.is_string() ? "invalid_value" : "invalid_type",
               "must be system, developer, user or assistant");
  }
}

bool takes_faults(const ModelCatalog& models) {
  return std::any_of(models.all().begin(), models.all().end(),
                     [](const auto& model) { return model->takes_faults(); });
}

bool measure_prompt(JobSpec& spec, const std::string& field, FieldErrors& errors) {
  const std::int64_t context = spec.model->context_tokens();
  const std::int64_t least = spec.model->prompt_tokens_least(spec.request);
  if (least >= context) return too_long(field, "at least " + std::to_string(least), context, errors);
  const auto tokens = spec.model->count_prompt_tokens(spec.request);
  if (!tokens) {
    errors.add(field, "invalid_value", tokens.error().message);
    return false;
  }
  if (*tokens >= context) return too_long(field, std::to_string(*tokens), context, errors);
  spec.prompt_tokens = *tokens;
  spec.request.parameters.max_tokens =
      static_cast<int>(std::min<std::int64_t>(spec.request.parameters.max_tokens, context - *tokens));
  spec.tokens_max = *tokens + spec.request.parameters.max_tokens;
  return true;
}

}  // namespace sluice::producer
