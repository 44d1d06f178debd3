// Callback URLs: what may be stored. Whether an address may be called is decided when it is.
//
// Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"

namespace sluice::producer {

inline constexpr std::size_t kCallbackUrlBytesMax = 2048;

// kInvalid unless it is an absolute http or https URL of visible ASCII with a host, without user or password.
// The message says what is wrong.
Status check_callback_url(std::string_view url);

}  // namespace sluice::producer
