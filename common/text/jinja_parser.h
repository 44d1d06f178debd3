// From the source of a chat template to its parsed form. What the language has and this subset has not is
// refused by name, with line and column. Internal to this folder.
//
// A pure function: safe for concurrent use.
#pragma once

#include <string_view>

#include "common/base/result.h"
#include "common/text/jinja_ast.h"

namespace sluice::jinja {

// How deep expressions and statements may be nested.
inline constexpr int kExprDepthMax = 100;
inline constexpr int kBlockDepthMax = 40;

Result<Body> parse(std::string_view source);

}  // namespace sluice::jinja
