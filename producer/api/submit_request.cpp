#include "producer/api/submit_request.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "common/http/body_json.h"
#include "producer/api/job_fields.h"
#include "producer/api/json_fields.h"
#include "producer/api/parameters.h"
#include "producer/api/url.h"

namespace sluice::producer {

namespace {

using nlohmann::json;

// What a batch may give for all its items, and an item for itself.
struct Shared {
  const ServedModel* model = nullptr;  // Null: an unknown one was asked for.
  Priority priority = Priority::kNormal;
  std::string callback_url;
  std::string metadata_json;
  std::int64_t expires_in_s = kExpiresInDefaultS;
  std::optional<bool> cache;
  bool allow_stale = false;
  JobParameters parameters;
};

std::string no_field_message(const std::string& name) {
  if (name == "requests") return "can't be nested";
  std::string message = "is not a field of a job";
  if (is_parameter(name)) message += "; it belongs into 'parameters'";
  return message;
}

class Reader {
 public:
  explicit Reader(const ModelCatalog& models) : models_(models), faults_allowed_(takes_faults(models)) {}

  Shared defaults() const {
    Shared shared;
    shared.model = &models_.default_model();
    return shared;
  }

  // True if `name` is one of the shared members.
  bool read_shared(const std::string& name, const json& value, Shared& shared) {
    if (name == "model") {
      shared.model = read_model(value, models_, shared.model, errors_);
    } else if (name == "priority") {
      read_priority(value, errors_, shared.priority);
    } else if (name == "callback_url") {
      read_callback(value, shared);
    } else if (name == "metadata") {
      read_metadata(value, errors_, shared.metadata_json);
    } else if (name == "expires_in") {
      read_integer(value, name, 1, kExpiresInMaxS, errors_,
                   [&shared](std::int64_t n) { shared.expires_in_s = n; });
    } else if (name == "cache" || name == "allow_stale") {
      bool given = false;
      if (!read_bool(value, name, errors_, given)) return true;
      if (name == "cache") {
        shared.cache = given;
      } else {
        shared.allow_stale = given;
      }
    } else if (name == "parameters") {
      if (value.is_object()) {
        read_parameters(value, faults_allowed_, shared.parameters, errors_);
      } else if (!value.is_null()) {
        errors_.add(name, "invalid_type", "must be an object");
      }
    } else {
      return false;
    }
    return true;
  }

  // `single`: not one of several.
  std::optional<JobSpec> read_job(const json& in, const Shared& defaults, bool single) {
    const std::size_t errors_before = errors_.count();
    Shared shared = defaults;
    JobSpec spec;
    read_input(in, spec.request);
    for (const auto& [name, value] : in.items()) {
      if (name == "messages" || name == "prompt" || name == "raw") continue;
      if (name == "session_id") {
        read_session(value, single, spec);
        continue;
      }
      if (!read_shared(name, value, shared)) {
        errors_.add(field_name(name), "unknown_field", no_field_message(name));
      }
    }
    check_parameters(shared.parameters, errors_);
    if (shared.model == nullptr || errors_.count() != errors_before) return std::nullopt;
    spec.model = shared.model;
    spec.priority = shared.priority;
    spec.callback_url = std::move(shared.callback_url);
    spec.metadata_json = std::move(shared.metadata_json);
    spec.expires_in_s = shared.expires_in_s;
    spec.cache = shared.cache;
    spec.allow_stale = shared.allow_stale;
    spec.request.parameters = std::move(shared.parameters);
    // Counting tokens costs; an answer that is already full of errors needs no more of them.
    const char* const field = spec.request.messages.empty() ? "prompt" : "messages";
    if (errors_.full() || !measure_prompt(spec, field, errors_)) return std::nullopt;
    return spec;
  }

  // Only a single job of messages can be a turn.
  void read_session(const json& value, bool single, JobSpec& spec) {
    if (value.is_null()) return;
    if (!single) {
      errors_.add("session_id", "invalid_value", "goes with a single job only");
    } else if (spec.request.messages.empty()) {
      errors_.add("session_id", "invalid_value", "goes with messages only");
    } else {
      read_session_id(value, errors_, spec.session_id);
    }
  }

  FieldErrors& errors() { return errors_; }

 private:
  void read_callback(const json& value, Shared& shared) {
    const std::string* url = read_string(value, "callback_url", errors_);
    if (url == nullptr) return;
    if (Status status = check_callback_url(*url); !status) {
      errors_.add("callback_url", "invalid_value", status.error().message);
    } else {
      shared.callback_url = *url;
    }
  }

  void read_input(const json& in, JobRequest& request) {
    const auto given = [&in](const char* name) -> const json* {
      const auto found = in.find(name);
      return found == in.end() || found->is_null() ? nullptr : &*found;
    };
    const json* messages = given("messages");
    const json* prompt = given("prompt");
    const json* raw = given("raw");
    if (messages != nullptr && prompt != nullptr) {
      errors_.add("prompt", "invalid_value", "can't stand beside messages: give one of the two");
    }
    if (messages == nullptr && prompt == nullptr) {
      errors_.add("messages", "missing_field", "is required, or prompt instead of it");
    }
    if (messages != nullptr) read_messages(*messages, request);
    if (prompt != nullptr) {
      if (const std::string* text = read_string(*prompt, "prompt", errors_)) {
        if (text->empty()) errors_.add("prompt", "invalid_value", "must not be empty");
        request.prompt = *text;
      }
    }
    if (raw != nullptr) {
      if (!raw->is_boolean()) {
        errors_.add("raw", "invalid_type", "must be true or false");
      } else if (raw->get<bool>() && messages != nullptr && prompt == nullptr) {
        errors_.add("raw", "invalid_value", "goes with prompt only");
      } else {
        request.raw = raw->get<bool>();
      }
    }
  }

  void read_messages(const json& in, JobRequest& request) {
    if (!in.is_array() || in.empty() || in.size() > kMessagesMax) {
      errors_.add("messages", in.is_array() ? "out_of_range" : "invalid_type",
                  "must be an array of 1 to 1000 messages");
      return;
    }
    request.messages.reserve(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) {
      const std::string path = "messages[" + std::to_string(i) + "]";
      RequestMessage message;
      if (!in[i].is_object()) {
        errors_.add(path, "invalid_type", "must be an object with role and content");
        continue;
      }
      if (!in[i].contains("role")) errors_.add(path + ".role", "missing_field", "is required");
      if (!in[i].contains("content")) errors_.add(path + ".content", "missing_field", "is required");
      for (const auto& [name, value] : in[i].items()) {
        if (name == "role") {
          read_role(value, path + ".role", errors_, message);
        } else if (name == "content") {
          read_content(value, path + ".content", message);
        } else {
          errors_.add(path + "." + field_name(name), "unknown_field", "is not a field of a message");
        }
      }
      request.messages.push_back(std::move(message));
    }
  }

  void read_content(const json& value, const std::string& path, RequestMessage& message) {
    if (value.is_string()) {
      message.content = value.get<std::string>();
      return;
    }
    if (!value.is_array() || value.empty()) {
      errors_.add(path, "invalid_type", "must be a string or an array of text parts");
      return;
    }
    for (std::size_t i = 0; i < value.size(); ++i) {
      const json& part = value[i];
      const bool is_text = part.is_object() && part.contains("type") && part["type"] == "text" &&
                           part.contains("text") && part["text"].is_string() && part.size() == 2;
      if (!is_text) {
        errors_.add(path + "[" + std::to_string(i) + "]", "invalid_value",
                    "must be {\"type\": \"text\", \"text\": \"…\"}");
        continue;
      }
      if (i > 0) message.content += '\n';
      message.content += part["text"].get_ref<const std::string&>();
    }
  }

  const ModelCatalog& models_;
  const bool faults_allowed_;
  FieldErrors errors_;
};

tl::unexpected<SubmitRefusal> refuse(int status, std::string code, std::string message,
                                     std::string param = {}) {
  return tl::unexpected(SubmitRefusal{status, std::move(code), std::move(message), std::move(param)});
}

tl::unexpected<SubmitRefusal> refuse(FieldErrors errors, bool is_batch) {
  const FieldError& first = errors.kept().front();
  SubmitRefusal refusal;
  refusal.code = first.code;
  refusal.param = first.index < 0 ? first.field
                                  : "requests[" + std::to_string(first.index) + "]" +
                                        (first.field.empty() ? "" : "." + first.field);
  refusal.message = (refusal.param.empty() ? "The body" : refusal.param) + " " + first.message + ".";
  if (errors.count() > 1) {
    refusal.message += " (" + std::to_string(errors.count()) + " errors in all: see errors.)";
  }
  if (!is_batch && errors.count() == 1 && first.code == "model_not_found") refusal.status = 404;
  refusal.errors = std::move(errors);
  refusal.is_batch = is_batch;
  return tl::unexpected(std::move(refusal));
}

}  // namespace

SubmitRefusal refusal_of(FieldErrors errors) {
  const FieldError& first = errors.kept().front();
  SubmitRefusal refusal;
  refusal.code = first.code;
  refusal.param = first.field;
  refusal.message = (first.field.empty() ? "The body" : first.field) + " " + first.message + ".";
  refusal.errors = std::move(errors);
  return refusal;
}

tl::expected<ParsedSubmit, SubmitRefusal> parse_submit(std::string_view body, const ModelCatalog& models) {
  const auto parsed = http::parse_json(body);
  if (!parsed) return refuse(400, "invalid_json", parsed.error().message);
  const json& in = *parsed;
  if (!in.is_object()) return refuse(400, "invalid_type", "The body must be a JSON object.");

  Reader reader(models);
  ParsedSubmit out;
  const auto requests = in.find("requests");
  if (requests == in.end()) {
    auto job = reader.read_job(in, reader.defaults(), true);
    if (!reader.errors().empty()) return refuse(std::move(reader.errors()), false);
    out.jobs.push_back(std::move(*job));
    return out;
  }

  out.is_batch = true;
  if (!requests->is_array() || requests->empty()) {
    return refuse(400, requests->is_array() ? "out_of_range" : "invalid_type",
                  "requests must be an array of 1 to 10000 jobs.", "requests");
  }
  if (requests->size() > kSubmitRequestsMax) {
    return refuse(
        413, "too_many_requests_in_batch",
        "requests holds " + std::to_string(requests->size()) + " jobs; at most 10000 fit into one call.",
        "requests");
  }
  Shared shared = reader.defaults();
  for (const auto& [name, value] : in.items()) {
    if (name == "session_id") {
      JobSpec none;
      reader.read_session(value, false, none);
    } else if (name != "requests" && !reader.read_shared(name, value, shared)) {
      reader.errors().add(field_name(name), "unknown_field", "is not a field beside requests");
    }
  }
  out.jobs.reserve(requests->size());
  for (std::size_t i = 0; i < requests->size(); ++i) {
    reader.errors().about(static_cast<int>(i));
    const json& item = (*requests)[i];
    if (!item.is_object()) {
      reader.errors().add("", "invalid_type", "must be an object");
      continue;
    }
    auto job = reader.read_job(item, shared, false);
    // Nothing will be accepted any more: read on for errors, keep no jobs.
    if (job && reader.errors().empty()) out.jobs.push_back(std::move(*job));
  }
  if (!reader.errors().empty()) return refuse(std::move(reader.errors()), true);
  return out;
}

}  // namespace sluice::producer
