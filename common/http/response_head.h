// The header of an answer, as it goes out. Nothing that a handler puts into a field can end the header early.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/http/message.h"

namespace sluice::http {

struct ResponseHead {
  bool close = false;
  std::string_view request_id;  // Empty: the request could not be read that far.
  WallTime now;
  std::optional<std::uint64_t> content_length = std::nullopt;
  bool chunked = false;
};

// Appends status line, fields and the empty line to `out`. Returns how many fields were left out because they
// hold a byte that must not get out.
int append_response_head(const Response& response, const ResponseHead& head, std::string& out);

}  // namespace sluice::http
