// Internal to the dead letters' commands: their filter as query and as body, groups as a table.
#pragma once

#include "operator/commands/commands.h"

namespace sluice::operate {

// kInvalid: a time that is none.
Result<Query> filter_query(const Tool& tool, const LetterFilter& filter);
// The "filter" member of a redrive or discard; empty: everything.
Result<nlohmann::json> filter_body(const Tool& tool, const LetterFilter& filter);

void print_groups(Tool& tool, const nlohmann::json& groups);

bool is_fingerprint(std::string_view text);

struct WatchGoal {
  bool outcome = false;  // Until the redriven jobs have ended, too.
  // Who asked for the work is waiting for it: it failed if somebody else stopped it.
  bool asked_here = false;
};
// Shows the operation until it is over (or waits after its canary), then says how it went.
Status watch(Tool& tool, nlohmann::json operation, const WatchGoal& goal);

}  // namespace sluice::operate
