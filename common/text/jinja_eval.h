// Runs a parsed chat template. Internal to this folder.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/text/jinja_ast.h"
#include "common/text/jinja_value.h"
#include "common/text/marked_text.h"

namespace sluice::jinja {

// How deep expressions, statements and macro calls may be within each other while running.
inline constexpr int kEvalDepthMax = 200;

struct Globals {
  std::vector<std::pair<std::string, Value>> variables;
  std::optional<WallTime> now;  // Without it there is no strftime_now().
};

// `heap` holds the variables' values; `body` and `globals` outlive the call. kInvalid: the template uses
// something that isn't supported, refuses the input (raise_exception), or does more work than the heap's
// budget allows.
Result<MarkedText> evaluate(const Body& body, const Globals& globals, Heap& heap);

}  // namespace sluice::jinja
