// The id of a webhook endpoint that a tenant registered. Apart from the other ids because few need it.
#pragma once

#include "common/ids/ids.h"

namespace sluice {

struct WebhookEndpointIdTag {
  static constexpr std::string_view kPrefix = "we_";
};
using WebhookEndpointId = Id<WebhookEndpointIdTag>;

}  // namespace sluice
