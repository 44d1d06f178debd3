// What went wrong with a call, in words for people: what, which field, what to do next.
//
// Pure functions. Texts of the server pass through safe_text.
#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"
#include "operator/client/admin_api.h"

namespace sluice::operate {

// The server answered with `status`, which is not 2xx. `server` is its address as it was given.
Error refusal_error(const ApiRequest& request, int status, std::string_view body,
                    std::string_view retry_after, const std::string& server);

// No answer came. `system_error` is an errno of the generic category, or 0. Of a request that changes
// something, only a failed connect is sure to have done nothing.
Error silence_error(const ApiRequest& request, int system_error, std::string_view reason,
                    const std::string& server);

}  // namespace sluice::operate
