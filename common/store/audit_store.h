// Who did what. Entries are written by the transactions that do it; only reading stands here, and recording
// what changes nothing (an export). Safe for concurrent use. Errors as in job_store.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/ids/ids.h"

namespace sluice {

// Whoever asks for an action.
struct Actor {
  TenantId tenant;
  std::string key;  // Name and hint of the key, for people: "bootstrap-admin ...6789". Never the key.
  bool operator==(const Actor&) const = default;
};

struct AuditEntry {
  AuditId id;
  std::int64_t at_us = 0;
  Actor actor;
  std::string action;  // "dead_letters.redrive"
  std::string target;  // The one thing that it was about; empty: none.
  std::string
      filter_json;  // What was chosen and how: an object, or empty. Never a secret, prompt or completion.
  std::int64_t count = 0;  // Of what it was about.
};

struct AuditFilter {
  std::string action;  // Empty = any; also a prefix that ends with a dot ("keys.").
  AuditId after;       // Empty = from the newest; lists run from new to old.
  int limit = 20;
};

class AuditStore {
 public:
  virtual ~AuditStore() = default;
  // `id` and `at_us` of the entry are filled in here.
  virtual Status record(AuditEntry entry, Deadline deadline) = 0;
  virtual Result<std::vector<AuditEntry>> list_audit(const AuditFilter& filter, Deadline deadline) = 0;
};

}  // namespace sluice
