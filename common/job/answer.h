// Results that are shared: equal requests of a tenant are computed once
// (docs/adr/0015-equal-requests-run-once.md).
//
// Plain values; the functions are safe for concurrent use.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/ids/ids.h"
#include "common/job/job.h"

namespace sluice {

// After its time a result is kept for so long, for clients that take a stale one rather than none.
inline constexpr std::int64_t kStaleAnswerS = 86'400;

struct Answer {
  JobId job;                  // Which computed it.
  std::int64_t until_us = 0;  // Microseconds since 1970: later it is stale.
  JobResult result;
  bool operator==(const Answer&) const = default;
};

// Where Redis keeps it. `key` is 64 hex digits: see NewJob::answer_key.
std::string answer_cache_key(const TenantId& tenant, std::string_view key);
std::string answer_to_cache(const Answer& answer);
// kCorrupt if it is not one.
Result<Answer> answer_from_cache(std::string_view text);

}  // namespace sluice
