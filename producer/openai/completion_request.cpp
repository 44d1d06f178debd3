#include "producer/openai/completion_request.h"

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/http/body_json.h"
#include "common/openai/ids.h"
#include "producer/api/job_fields.h"
#include "producer/api/json_fields.h"
#include "producer/api/parameters.h"
#include "producer/openai/input_messages.h"

namespace sluice::producer {

namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 13> kSampling = {"temperature",
                                                        "top_p",
                                                        "top_k",
                                                        "min_p",
                                                        "seed",
                                                        "stop",
                                                        "presence_penalty",
                                                        "frequency_penalty",
                                                        "repetition_penalty",
                                                        "precision",
                                                        "fault",
                                                        "fault_attempts",
                                                        "fault_ms"};
constexpr int kCompletionLogprobsMax = 20;
constexpr std::size_t kUserBytesMax = 512;

// What we can't do, unless it is asked for in a way that asks for nothing.
constexpr std::array<const char*, 7> kUnsupported = {
    "tools", "functions", "audio", "web_search_options", "logit_bias", "suffix", "conversation"};

class CompletionReader {
 public:
  CompletionReader(Surface surface, const json& body, const ModelCatalog& models)
      : surface_(surface), body_(body), models_(models), faults_allowed_(takes_faults(models)) {}

  void read() {
    JobSpec& spec = out_.spec;
    spec.surface = surface_;
    spec.model = &models_.default_model();
    spec.request.parameters.temperature = kOpenAiTemperature;
    if (const json* model = given("model")) spec.model = read_model(*model, models_, spec.model, errors_);
    if (const json* priority = given("priority")) read_priority(*priority, errors_, spec.priority);
    if (const json* metadata = given("metadata")) read_metadata(*metadata, errors_, spec.metadata_json);
    if (const json* expires = given("expires_in")) {
      read_integer(*expires, "expires_in", 1, kExpiresInMaxS, errors_,
                   [&spec](std::int64_t n) { spec.expires_in_s = n; });
    }
    read_bool("stream", out_.stream);
    read_bool("cancel_on_disconnect", out_.cancel_on_disconnect);
    if (given("cache") != nullptr) read_bool("cache", spec.cache.emplace());
    read_bool("allow_stale", spec.allow_stale);
    read_stream_options();
    read_sampling();
    read_max_tokens();
    read_logprobs();
    read_session();
    refuse_unsupported();
    switch (surface_) {
      case Surface::kChat:
        read_chat();
        break;
      case Surface::kCompletion:
        read_prompt();
        break;
      default:
        read_response();
    }
  }

  // A conversation goes between the instructions and what this request adds to it.
  void continue_conversation(const FindConversation& find) {
    const json* previous = given("previous_response_id");
    if (surface_ != Surface::kResponse || previous == nullptr || !errors_.empty()) return;
    const std::string* id = read_string(*previous, "previous_response_id", errors_);
    if (id == nullptr) return;
    if (!find) {
      errors_.add("previous_response_id", "unsupported_parameter", "is not taken here");
      return;
    }
    const auto job = openai::job_id_from(Surface::kResponse, *id);
    auto earlier = job ? find(*job) : Result<std::vector<RequestMessage>>(fail(ErrorCode::kNotFound, ""));
    if (!earlier) {
      failure_ = earlier.error();
      return;
    }
    std::vector<RequestMessage>& messages = out_.spec.request.messages;
    messages.insert(messages.begin() + (has_instructions_ ? 1 : 0), std::make_move_iterator(earlier->begin()),
                    std::make_move_iterator(earlier->end()));
    if (messages.size() > kMessagesMax) {
      errors_.add("previous_response_id", "out_of_range",
                  "leads to a conversation of more than 1000 messages");
    }
    echo_["previous_response_id"] = *id;
  }

  void measure() {
    if (!errors_.empty() || failure_) return;
    if (surface_ == Surface::kResponse) out_.spec.request.echo_json = http::dump_json(echo_);
    const char* field = surface_ == Surface::kChat         ? "messages"
                        : surface_ == Surface::kCompletion ? "prompt"
                                                           : "input";
    measure_prompt(out_.spec, field, errors_);
  }

  FieldErrors& errors() { return errors_; }
  const std::optional<Error>& failure() const { return failure_; }
  CompletionRequest take() { return std::move(out_); }

 private:
  // The member, unless it is absent or null.
  const json* given(const char* name) const {
    const auto found = body_.find(name);
    return found == body_.end() || found->is_null() ? nullptr : &*found;
  }

  void read_bool(const char* name, bool& target) {
    if (const json* value = given(name)) producer::read_bool(*value, name, errors_, target);
  }

  void read_stream_options() {
    const json* options = given("stream_options");
    if (options == nullptr) return;
    if (!options->is_object()) {
      errors_.add("stream_options", "invalid_type", "must be an object");
      return;
    }
    const auto usage = options->find("include_usage");
    if (usage == options->end() || usage->is_null()) return;
    if (usage->is_boolean()) {
      out_.include_usage = usage->get<bool>();
    } else {
      errors_.add("stream_options.include_usage", "invalid_type", "must be true or false");
    }
  }

  void read_sampling() {
    json sampling = json::object();
    for (const std::string_view name : kSampling) {
      if (const auto found = body_.find(name); found != body_.end()) sampling[std::string(name)] = *found;
    }
    // What others take for "off" or "the likeliest alone".
    if (sampling.contains("top_k") && sampling["top_k"] == -1) sampling["top_k"] = 0;
    const bool greedy = sampling.contains("top_p") && sampling["top_p"].is_number() && sampling["top_p"] == 0;
    if (greedy) sampling["top_p"] = 1e-6;
    read_parameters(sampling, faults_allowed_, out_.spec.request.parameters, errors_, "");
  }

  void read_max_tokens() {
    std::int64_t limit = 0;
    const auto take = [&limit](std::int64_t n) { limit = n; };
    constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
    // Of the two names of a chat completion's limit the newer one counts.
    for (const char* name : {"max_tokens", "max_completion_tokens", "max_output_tokens"}) {
      const bool for_response = std::string_view(name) == "max_output_tokens";
      if (for_response != (surface_ == Surface::kResponse)) continue;
      if (const json* value = given(name)) read_integer(*value, name, 1, kMax, errors_, take);
    }
    if (limit == 0) return;
    out_.spec.request.parameters.max_tokens =
        static_cast<int>(std::min<std::int64_t>(limit, std::numeric_limits<int>::max()));
    echo_["max_output_tokens"] = limit;
  }

  void read_logprobs() {
    JobParameters& parameters = out_.spec.request.parameters;
    const auto take_top = [&parameters](std::int64_t n) { parameters.top_logprobs = static_cast<int>(n); };
    if (surface_ == Surface::kCompletion) {
      const json* count = given("logprobs");
      if (count == nullptr) return;
      const std::size_t before = errors_.count();
      read_integer(*count, "logprobs", 0, kCompletionLogprobsMax, errors_, take_top);
      parameters.logprobs = errors_.count() == before;
      return;
    }
    if (surface_ == Surface::kChat) read_bool("logprobs", parameters.logprobs);
    if (const json* top = given("top_logprobs")) {
      read_integer(*top, "top_logprobs", 0, 20, errors_, take_top);
    }
    if (surface_ == Surface::kResponse) parameters.logprobs = parameters.top_logprobs > 0;
    check_parameters(parameters, errors_, "");
  }

  void read_session() {
    const json* session = given("session_id");
    if (session == nullptr) return;
    if (surface_ != Surface::kChat) {
      refuse("session_id", surface_ == Surface::kResponse
                               ? "is not taken here: previous_response_id goes on with a conversation"
                               : "goes with messages only");
    } else if (given("previous_response_id") != nullptr) {
      errors_.add("session_id", "invalid_value", "can't stand beside previous_response_id");
    } else {
      read_session_id(*session, errors_, out_.spec.session_id);
    }
  }

  void refuse(const std::string& field, std::string message) {
    errors_.add(field, "unsupported_parameter", std::move(message));
  }

  // Takes a choice that comes to `allowed` only.
  void only(const char* name, std::initializer_list<json> allowed, const char* message) {
    const json* value = given(name);
    if (value == nullptr || std::find(allowed.begin(), allowed.end(), *value) != allowed.end()) return;
    refuse(name, message);
  }

  void refuse_unsupported() {
    for (const char* name : kUnsupported) {
      const json* value = given(name);
      if (value == nullptr || is_blank(*value)) continue;
      refuse(name, "is not supported by this server");
    }
    only("tool_choice", {"none", "auto"}, "must be none or auto: this server calls no tools");
    only("function_call", {"none", "auto"}, "must be none or auto: this server calls no tools");
    only("modalities", {json::array(), json::array({"text"})}, "must be [\"text\"]");
    for (const char* name : {"n", "best_of"}) {
      const json* value = given(name);
      if (value == nullptr || *value == 1) continue;
      if (value->is_number_integer()) {
        refuse(name, "must be 1: one request has one answer");
      } else {
        errors_.add(name, "invalid_type", "must be a whole number");
      }
    }
    if (const json* echo = given("echo"); echo != nullptr && *echo != false) {
      if (echo->is_boolean()) {
        refuse("echo", "must be false: the answer is without its prompt");
      } else {
        errors_.add("echo", "invalid_type", "must be true or false");
      }
    }
    if (const json* format = given("response_format")) check_format(*format, "response_format");
  }

  void check_format(const json& format, const std::string& field) {
    if (!format.is_object()) {
      errors_.add(field, "invalid_type", "must be an object");
      return;
    }
    const auto type = format.find("type");
    if (type == format.end() || !type->is_string()) {
      errors_.add(field + ".type", type == format.end() ? "missing_field" : "invalid_type",
                  "must be a string");
    } else if (*type != "text") {
      refuse(field + ".type", "must be text");
    }
  }

  void read_chat() {
    if (const json* messages = given("messages")) {
      out_.spec.request.messages = read_chat_messages(*messages, errors_);
    } else {
      errors_.add("messages", "missing_field", "is required");
    }
  }

  void read_prompt() {
    const json* prompt = given("prompt");
    if (prompt == nullptr) {
      errors_.add("prompt", "missing_field", "is required");
      return;
    }
    const json& text = prompt->is_array() && prompt->size() == 1 ? prompt->front() : *prompt;
    if (!text.is_string()) {
      if (prompt->is_array()) {
        refuse("prompt", "must be one string: a request has one prompt, and no token numbers");
      } else {
        errors_.add("prompt", "invalid_type", "must be a string");
      }
      return;
    }
    if (text.get_ref<const std::string&>().empty()) {
      errors_.add("prompt", "invalid_value", "must not be empty");
      return;
    }
    out_.spec.request.prompt = text.get<std::string>();
    out_.spec.request.raw = true;
  }

  void read_response() {
    read_bool("background", out_.background);
    bool store = true;
    read_bool("store", store);
    if (out_.background && !store) {
      errors_.add("background", "invalid_value", "needs store to be true");
    }
    if (out_.background && out_.cancel_on_disconnect) {
      errors_.add("cancel_on_disconnect", "invalid_value", "can't be true in the background");
    }
    echo_["background"] = out_.background;
    echo_["store"] = store;
    if (const json* user = given("user"); user != nullptr && user->is_string()) {
      if (user->get_ref<const std::string&>().size() <= kUserBytesMax) echo_["user"] = *user;
    }
    std::vector<RequestMessage>& messages = out_.spec.request.messages;
    if (const json* instructions = given("instructions")) {
      if (const std::string* text = read_string(*instructions, "instructions", errors_)) {
        messages.push_back({"system", *text});
        has_instructions_ = true;
        echo_["instructions"] = *text;
      }
    }
    if (const json* input = given("input")) {
      auto added = read_response_input(*input, errors_);
      std::move(added.begin(), added.end(), std::back_inserter(messages));
    } else {
      errors_.add("input", "missing_field", "is required");
    }
    const json* prompt = given("prompt");
    if (prompt != nullptr) refuse("prompt", "names a stored prompt; this server stores none");
    if (const json* text = given("text")) {
      if (!text->is_object()) {
        errors_.add("text", "invalid_type", "must be an object");
      } else if (const auto format = text->find("format"); format != text->end() && !format->is_null()) {
        check_format(*format, "text.format");
      }
    }
  }

  const Surface surface_;
  const json& body_;
  const ModelCatalog& models_;
  const bool faults_allowed_;
  CompletionRequest out_;
  FieldErrors errors_;
  std::optional<Error> failure_;
  bool has_instructions_ = false;
  json echo_ = json::object();
};

SubmitRefusal refusal_for(const Error& failure) {
  SubmitRefusal refusal;
  refusal.param = "previous_response_id";
  if (failure.code == ErrorCode::kNotFound) {
    refusal.status = 404;
    refusal.code = "previous_response_not_found";
    refusal.message = "There is no such response, or it has no answer to go on from.";
  } else {
    refusal.status = 503;
    refusal.code = "database_unavailable";
    refusal.message = "The earlier response can't be read just now.";
  }
  return refusal;
}

}  // namespace

tl::expected<CompletionRequest, SubmitRefusal> parse_completion(Surface surface, const json& body,
                                                                const ModelCatalog& models,
                                                                const FindConversation& find_conversation) {
  if (!body.is_object()) {
    return tl::unexpected(SubmitRefusal{400, "invalid_type", "The body must be a JSON object.", ""});
  }
  CompletionReader reader(surface, body, models);
  reader.read();
  reader.continue_conversation(find_conversation);
  reader.measure();
  if (reader.failure()) return tl::unexpected(refusal_for(*reader.failure()));
  if (!reader.errors().empty()) {
    SubmitRefusal refusal = refusal_of(std::move(reader.errors()));
    if (refusal.code == "model_not_found") refusal.status = 404;
    return tl::unexpected(std::move(refusal));
  }
  return reader.take();
}

std::string_view surface_route(Surface surface) {
  constexpr std::array<std::string_view, kSurfaces> kRoutes = {"/v1/jobs", "/v1/chat/completions",
                                                               "/v1/completions", "/v1/responses"};
  return kRoutes[static_cast<std::size_t>(surface)];
}

}  // namespace sluice::producer
