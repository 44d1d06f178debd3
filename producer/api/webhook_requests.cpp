#include "producer/api/webhook_requests.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <nlohmann/json.hpp>

#include "common/crypto/webhook_key.h"
#include "common/http/body_json.h"
#include "common/store/webhook_events.h"
#include "producer/api/json_fields.h"
#include "producer/api/url.h"

namespace sluice::producer {

namespace {

using nlohmann::json;

constexpr std::size_t kDescriptionMax = 500;  // Characters.
constexpr std::size_t kEventsMax = 20;
constexpr std::int64_t kOverlapMaxS = std::int64_t{7} * 24 * 3600;

void read_url(const json& value, FieldErrors& errors, std::optional<std::string>& url) {
  const std::string* text = read_string(value, "url", errors);
  if (text == nullptr) return;
  if (const Status good = check_callback_url(*text); !good) {
    errors.add("url", "invalid_value", good.error().message);
  } else {
    url = *text;
  }
}

void read_events(const json& value, FieldErrors& errors, std::optional<std::string>& events) {
  if (value.is_null()) return;
  if (!value.is_array() || value.empty() || value.size() > kEventsMax) {
    errors.add("events", "invalid_type", "must be an array of 1 to 20 types of events, or [\"*\"]");
    return;
  }
  const auto known = webhook_event_types();
  std::string joined;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const std::string field = "events[" + std::to_string(i) + "]";
    const std::string* type = read_string(value[i], field, errors);
    if (type == nullptr) {
      if (value[i].is_null()) errors.add(field, "invalid_type", "must be a string");
      continue;
    }
    if (*type != kAllEvents && std::find(known.begin(), known.end(), *type) == known.end()) {
      errors.add(field, "invalid_value", "is not a type of event");
      continue;
    }
    if (chosen_by_name(joined, *type)) continue;  // Said before.
    joined += (joined.empty() ? "" : ",") + *type;
  }
  events = joined;
}

void read_flag(const json& value, const std::string& field, FieldErrors& errors, std::optional<bool>& flag) {
  if (bool given = false; read_bool(value, field, errors, given)) flag = given;
}

void read_description(const json& value, FieldErrors& errors, std::optional<std::string>& description) {
  const std::string* text = read_string(value, "description", errors);
  if (text == nullptr) return;
  if (count_characters(*text) > kDescriptionMax) {
    errors.add("description", "invalid_value", "must be at most 500 characters");
  } else {
    description = *text;
  }
}

// Never says anything of the secret itself.
void refuse_secret(WebhookSigning signing, FieldErrors& errors) {
  errors.add("secret", "invalid_value",
             signing == WebhookSigning::kHmac ? "must be whsec_ and base64 of 24 to 64 bytes"
                                              : "must be whsk_ and base64 of an Ed25519 private key: its "
                                                "seed of 32 bytes, or that and its public key");
}

void read_secret(const json& value, FieldErrors& errors, std::string& secret) {
  const std::string* text = read_string(value, "secret", errors);
  if (text == nullptr) return;
  const auto key = parse_webhook_secret(Secret(*text));
  if (!key) {
    refuse_secret(text->starts_with("whsk_") ? WebhookSigning::kEd25519 : WebhookSigning::kHmac, errors);
  } else if (key->signing == WebhookSigning::kHmac && key->bytes.reveal().size() < kSecretBytesMin) {
    refuse_secret(WebhookSigning::kHmac, errors);
  } else {
    secret = *text;
  }
}

bool is_of(const std::string& secret, WebhookSigning signing) {
  const auto key = parse_webhook_secret(Secret(secret));
  return key && key->signing == signing;
}

void read_signing(const json& value, FieldErrors& errors, std::optional<WebhookSigning>& signing) {
  const std::string* text = read_string(value, "signing", errors);
  if (text == nullptr) return;
  signing = webhook_signing_from(*text);
  if (!signing) errors.add("signing", "invalid_value", "must be hmac or ed25519");
}

}  // namespace

tl::expected<EndpointFields, SubmitRefusal> parse_endpoint(std::string_view body, bool creating) {
  EndpointFields fields;
  FieldErrors errors;
  const auto read =
      read_object(body, errors, [&](const std::string& name, const json& value, FieldErrors& into) {
        if (name == "url") {
          read_url(value, into, fields.changes.url);
        } else if (name == "description") {
          read_description(value, into, fields.changes.description);
        } else if (name == "events") {
          read_events(value, into, fields.changes.events);
        } else if (name == "ordered") {
          read_flag(value, name, into, fields.changes.ordered);
        } else if (name == "enabled" && !creating) {
          read_flag(value, name, into, fields.changes.enabled);
        } else if (name == "secret" && creating) {
          read_secret(value, into, fields.secret);
        } else if (name == "signing" && creating) {
          read_signing(value, into, fields.signing);
        } else {
          return false;
        }
        return true;
      });
  if (!read) return tl::unexpected(read.error());
  const WebhookSigning signing = fields.signing.value_or(WebhookSigning::kHmac);
  if (!fields.secret.empty() && !is_of(fields.secret, signing)) refuse_secret(signing, errors);
  const bool url_is_wrong = std::any_of(errors.kept().begin(), errors.kept().end(),
                                        [](const FieldError& error) { return error.field == "url"; });
  if (creating && !fields.changes.url && !url_is_wrong) errors.add("url", "missing_field", "is required");
  if (!errors.empty()) return refuse_fields(std::move(errors));
  return fields;
}

tl::expected<RotationFields, SubmitRefusal> parse_rotation(std::string_view body) {
  RotationFields fields;
  FieldErrors errors;
  const auto read =
      read_object(body, errors, [&](const std::string& name, const json& value, FieldErrors& into) {
        if (name == "secret") {
          read_secret(value, into, fields.secret);
        } else if (name == "old_expires_in") {
          read_integer(value, name, 0, kOverlapMaxS, into,
                       [&fields](std::int64_t n) { fields.old_expires_s = n; });
        } else {
          return false;
        }
        return true;
      });
  if (!read) return tl::unexpected(read.error());
  if (!errors.empty()) return refuse_fields(std::move(errors));
  return fields;
}

tl::expected<void, SubmitRefusal> check_rotation(const RotationFields& fields, WebhookSigning signing) {
  if (fields.secret.empty() || is_of(fields.secret, signing)) return {};
  FieldErrors errors;
  refuse_secret(signing, errors);
  return refuse_fields(std::move(errors));
}

tl::expected<EndpointPage, BadQuery> read_endpoint_query(const http::RequestHead& head) {
  EndpointPage page;
  for (const auto& [name, value] : head.query) {
    if (is_given_twice(head, name)) return bad_param(name, "is given twice");
    if (name == "after") {
      if (!is_well_formed_id(value, WebhookEndpointIdTag::kPrefix)) {
        return bad_param(name, "must be the id of a webhook endpoint");
      }
      page.after.value = value;
    } else if (name == "limit") {
      if (!read_limit(value, page.limit)) return bad_param(name, "must be a whole number from 1 to 100");
    } else {
      return bad_param(name, "is not a query parameter of this route");
    }
  }
  return page;
}

}  // namespace sluice::producer
