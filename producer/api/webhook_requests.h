// Bodies and queries of the routes of webhook endpoints, read and checked.
//
// Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "common/http/message.h"
#include "common/store/webhook_endpoint_store.h"
#include "producer/api/webhook_fields.h"

namespace sluice::producer {

// What may be given for an endpoint; an empty optional was not.
struct EndpointFields {
  EndpointChanges changes;
  std::string secret;  // One of the client's own; empty: make one.
  std::optional<WebhookSigning> signing;
};

// `creating`: a url is needed, a secret and how to sign are allowed.
tl::expected<EndpointFields, SubmitRefusal> parse_endpoint(std::string_view body, bool creating);

struct RotationFields {
  std::string secret;                         // Empty: make one.
  std::optional<std::int64_t> old_expires_s;  // How long the old one still signs.
};
tl::expected<RotationFields, SubmitRefusal> parse_rotation(std::string_view body);
// Whether the secret that was given, if one was, is for an endpoint that is signed for so.
tl::expected<void, SubmitRefusal> check_rotation(const RotationFields& fields, WebhookSigning signing);

struct EndpointPage {
  WebhookEndpointId after;
  int limit = kListLimitDefault;
};
tl::expected<EndpointPage, BadQuery> read_endpoint_query(const http::RequestHead& head);

}  // namespace sluice::producer
