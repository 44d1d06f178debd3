// From a claimed delivery to the POST that is sent for it: the headers of Standard Webhooks 1.0.
//
// Safe for concurrent use.
#pragma once

#include <span>

#include "callback/delivery/delivery.h"
#include "callback/sender/sender.h"
#include "callback/signature/signature.h"
#include "common/base/clock.h"

namespace sluice::callback {

// `now` is the time of this attempt; the id is the event's and the same at each. Moves the body out of
// `delivery`.
SendRequest webhook_request(ClaimedDelivery& delivery, std::span<const SigningKey> keys, WallTime now);

}  // namespace sluice::callback
