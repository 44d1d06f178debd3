#include "operator/client/refusal.h"

#include <cerrno>

#include "operator/output/text.h"

namespace sluice::operate {

using nlohmann::json;

namespace {

constexpr std::size_t kFieldsShownMax = 10;

std::string text_of(const json& object, const char* name) {
  if (!object.is_object()) return {};
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

ErrorCode code_of(int status) {
  switch (status) {
    case 400:
    case 413:
    case 422:
      return ErrorCode::kInvalid;
    case 404:
      return ErrorCode::kNotFound;
    case 409:
      return ErrorCode::kConflict;
    case 429:
    case 503:
      return ErrorCode::kUnavailable;
    default:
      return ErrorCode::kInternal;
  }
}

// What to do about it; empty: the message says it.
std::string advice(int status, const std::string& code, std::string_view retry_after,
                   const std::string& server) {
  if (code == "missing_api_key" || code == "invalid_api_key") {
    return "SLUICE_ADMIN_KEY (or SLUICE_ADMIN_KEY_FILE) must hold a key of the installation at " + server +
           "; on a local stack: eval \"$(deploy/local/stack env)\"; export SLUICE_URL SLUICE_ADMIN_KEY";
  }
  if (code == "insufficient_scope") {
    return "use a key with the scope admin; whoever has one makes another by: sluicectl keys create --scope "
           "admin";
  }
  if (code == "route_not_found") {
    return "is " + server + " a producer, and of the same version as this sluicectl (sluicectl --version)?";
  }
  if (code == "dead_letter_not_found" || code == "dead_letter_handled") {
    return "sluicectl dlq list --each --state any shows what became of each letter";
  }
  if (code == "operation_not_found" || code == "operation_over") {
    return "sluicectl dlq operations lists them";
  }
  if (code == "redriven_too_often") return "--force redrives them in spite of that";
  if (code == "job_not_found") return "sluicectl jobs list shows the newest";
  if (code == "worker_not_found") return "sluicectl workers lists them";
  if (code == "key_not_found") return "sluicectl keys list shows the ids";
  if (code == "webhook_endpoint_not_found") return "sluicectl endpoints list shows those of the key's tenant";
  if (code == "webhook_delivery_not_found")
    return "sluicectl deliveries list shows those of the key's tenant";
  if (code == "limit_not_found") return "sluicectl limits list shows them";
  if (code == "not_paused") return "sluicectl pauses lists what is";
  if (code == "outcome_unknown") return "look whether it was done before you repeat it";
  if (status == 429 || status == 503) {
    return retry_after.empty()
               ? "try again in a few seconds"
               : "try again in " + safe_text(retry_after) + " s; sluicectl status, and /ready of " + server +
                     ", tell what is missing";
  }
  return {};
}

// Nobody knows how far it came.
Error no_answer(const ApiRequest& request, const std::string& what) {
  if (request.method == "GET") {
    return Error{ErrorCode::kUnavailable, what + ".\n  Try again; sluicectl status tells more."};
  }
  return Error{ErrorCode::kOutcomeUnknown,
               what + ": whether it was done is not known.\n  Look before you repeat it: " +
                   "sluicectl audit, or sluicectl dlq operations"};
}

}  // namespace

Error refusal_error(const ApiRequest& request, int status, std::string_view body,
                    std::string_view retry_after, const std::string& server) {
  const json parsed = json::parse(body, nullptr, false);
  const json error = parsed.is_object() && parsed.contains("error") ? parsed["error"] : json();
  const std::string code = text_of(error, "code");
  std::string message = safe_text(text_of(error, "message"));
  if (!error.is_object() || message.empty()) {
    if (status == 502 || status == 504) {
      return no_answer(request, "a proxy at " + server + " got no answer of a producer (status " +
                                    std::to_string(status) + ")");
    }
    return Error{code_of(status) == ErrorCode::kInvalid ? ErrorCode::kInternal : code_of(status),
                 request.method + " " + safe_text(request.path) + " was answered with status " +
                     std::to_string(status) + ", and not as a producer of sluice answers.\n  Is " + server +
                     " the address of one?"};
  }
  if (!code.empty()) message += " (" + safe_text(code) + ")";
  if (parsed.contains("errors") && parsed["errors"].is_array() && parsed["errors"].size() > 1) {
    std::size_t shown = 0;
    for (const json& field : parsed["errors"]) {
      if (++shown > kFieldsShownMax) break;
      message += "\n  " + safe_text(text_of(field, "field")) + " " + safe_text(text_of(field, "message"));
    }
  }
  if (const std::string next = advice(status, code, retry_after, server); !next.empty())
    message += "\n  " + next;
  const ErrorCode kind = code == "outcome_unknown" ? ErrorCode::kOutcomeUnknown : code_of(status);
  return Error{kind, std::move(message)};
}

Error silence_error(const ApiRequest& request, int system_error, std::string_view reason,
                    const std::string& server) {
  // A name that has no address has several error values, and one of them TLS uses for an answer cut short.
  const bool unreached = system_error == EHOSTUNREACH || system_error == ECONNREFUSED ||
                         reason.starts_with("Error resolving address");
  if (unreached) {
    return Error{
        ErrorCode::kUnavailable,
        server + " can't be reached (" + safe_text(reason) +
            ").\n  Is the producer running, and is the address right (--url, SLUICE_URL)? On a local "
            "stack: deploy/local/stack status"};
  }
  const std::string what = system_error == ETIMEDOUT ? "did not answer in time (--timeout)"
                                                     : "broke off (" + safe_text(reason) + ")";
  return no_answer(request, server + " " + what);
}

}  // namespace sluice::operate
