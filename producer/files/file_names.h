// Names of uploaded files: as they are kept, and as they go into a header.
//
// Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sluice::producer {

// The last component of what a client sent, as a name that no system takes for a path: empty and dotted names
// become "file". Empty optional: not UTF-8, with a control character, or too long.
std::optional<std::string> plain_filename(std::string_view sent);

// `attachment; filename="…"; filename*=UTF-8''…` (RFC 6266): no content of the name gets out of its quotes.
std::string content_disposition(std::string_view filename);

}  // namespace sluice::producer
