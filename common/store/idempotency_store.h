// Requests that must not be done twice, though they may be sent again: which resource each of them made.
//
// A client names its request by a key (header Idempotency-Key). An SDK that repeats a request by itself, and
// names none, is recognised by the request itself, for a while. The row is written in the transaction that
// makes the resource (JobStore::submit, insert_claims), so it is never there without that. It goes before its
// time with a job that is erased, or is cancelled since its client left (JobStore::erase, cancel_left).
//
// Safe for concurrent use. Errors as in job_store.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/ids/ids.h"

namespace sluice {

// What a request says of itself.
struct IdempotencyClaim {
  std::string key_hash;     // Of the client's key: 64 hex digits. Empty: it gave none.
  std::string fingerprint;  // Of route and body: 64 hex digits.
  std::int64_t keep_s = 86'400;
};

struct IdempotencyRecord {
  std::string resource_id;  // The job's, or the batch's.
  std::string fingerprint;
  bool operator==(const IdempotencyRecord&) const = default;
};

class IdempotencyStore {
 public:
  virtual ~IdempotencyStore() = default;
  // What the request with this key made; nullopt: there was none, or it is longer ago than it was to be kept.
  virtual Result<std::optional<IdempotencyRecord>> find_key(const TenantId& tenant,
                                                            const std::string& key_hash,
                                                            Deadline deadline) = 0;
  // What the same request made last, within `within_s`, without a key.
  virtual Result<std::optional<IdempotencyRecord>> find_request(const TenantId& tenant,
                                                                const std::string& fingerprint,
                                                                std::int64_t within_s, Deadline deadline) = 0;
  // Deletes up to `limit` rows that are kept no longer. Answers their number.
  virtual Result<int> forget_expired(int limit, Deadline deadline) = 0;
};

}  // namespace sluice
