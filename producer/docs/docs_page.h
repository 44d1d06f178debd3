// The page at /docs.
#pragma once

#include <string>
#include <string_view>

namespace sluice::producer {

// Every operation of an OpenAPI description, as HTML that needs no script; with `has_viewer` also the place
// and the scripts for it. `openapi` must be valid.
std::string docs_page(std::string_view openapi, bool has_viewer);

}  // namespace sluice::producer
