// Rate limits, as operators set them.
//
// Safe for concurrent use. Errors as in job_store.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/ids/ids.h"
#include "common/store/audit_store.h"

namespace sluice {

enum class LimitUnit { kRequests, kTokens };
std::string_view limit_unit_name(LimitUnit unit);

struct RateLimit {
  std::string name;          // What clients and operators know it by.
  std::string tenant = "*";  // "*": each tenant by itself.
  std::string key = "*";     // A key's name; "*": each key by itself; empty: all keys of the tenant together.
  std::string region = "*";  // "*": each region by itself.
  std::string route = "*";   // "*", a class of routes ("submit"), or a path ("/v1/jobs/{id}").
  LimitUnit unit = LimitUnit::kRequests;
  std::int64_t quota = 0;
  std::int64_t window_s = 0;
  std::int64_t changed_us = 0;
};

// As the audit log keeps it: an object without the name.
std::string limit_to_json(const RateLimit& limit);

class LimitStore {
 public:
  virtual ~LimitStore() = default;
  // By name.
  virtual Result<std::vector<RateLimit>> list_limits(Deadline deadline) = 0;
  // Makes it, or replaces the one of that name.
  virtual Result<RateLimit> set_limit(const RateLimit& limit, const Actor& actor, Deadline deadline) = 0;
  // kNotFound: there is no such limit.
  virtual Status unset_limit(const std::string& name, const Actor& actor, Deadline deadline) = 0;
};

}  // namespace sluice
