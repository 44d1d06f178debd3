// Ids: a prefix that says what they name, and a UUIDv7 (RFC 9562) whose last hex digit is the shard, so that
// a bare id finds its database. No two kinds of id share a type.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/rng.h"

namespace sluice {

inline constexpr int kShards = 16;  // Logical; configuration maps them onto servers.

template <class Tag>
struct Id {
  std::string value;
  auto operator<=>(const Id&) const = default;
  bool empty() const { return value.empty(); }
};

struct JobIdTag {
  static constexpr std::string_view kPrefix = "job_";
};
struct BatchIdTag {
  static constexpr std::string_view kPrefix = "batch_";
};
struct EventIdTag {
  static constexpr std::string_view kPrefix = "evt_";
};
struct DeliveryIdTag {
  static constexpr std::string_view kPrefix = "dlv_";
};
struct OperationIdTag {
  static constexpr std::string_view kPrefix = "op_";
};
struct AuditIdTag {
  static constexpr std::string_view kPrefix = "aud_";
};
struct TenantIdTag {
  static constexpr std::string_view kPrefix = "tenant_";
};
using JobId = Id<JobIdTag>;
using BatchId = Id<BatchIdTag>;
using EventId = Id<EventIdTag>;
using DeliveryId = Id<DeliveryIdTag>;
using OperationId = Id<OperationIdTag>;
using AuditId = Id<AuditIdTag>;
using TenantId = Id<TenantIdTag>;  // Free text ("default"), not a UUID.

// The shard that holds all of a tenant's rows.
int shard_of_tenant(const TenantId& tenant);
// The shard written into an id; nullopt if `id` does not end in a UUIDv7.
std::optional<int> shard_of_id(std::string_view id);
// True for `prefix` followed by a UUIDv7 in lower case with hyphens.
bool is_well_formed_id(std::string_view id, std::string_view prefix);

// Makes ids that sort by creation, also within one millisecond of one process. Safe for concurrent use.
// A clock that jumps back does not: the last millisecond is kept until it is passed again.
class IdMaker {
 public:
  IdMaker(const Clock& clock, Rng& rng) : clock_(clock), rng_(rng) {}  // Both must outlive this.
  template <class T>
  T make(int shard) {
    return T{uuid(shard, prefix_of(static_cast<T*>(nullptr)))};
  }

 private:
  template <class Tag>
  static std::string_view prefix_of(Id<Tag>*) {
    return Tag::kPrefix;
  }
  std::string uuid(int shard, std::string_view prefix);

  const Clock& clock_;
  Rng& rng_;
  std::mutex mutex_;
  std::int64_t last_ms_ = 0;
  std::uint32_t sequence_ = 0;  // 12 bits of rand_a.
};

}  // namespace sluice

template <class Tag>
struct std::hash<sluice::Id<Tag>> {
  std::size_t operator()(const sluice::Id<Tag>& id) const noexcept {
    return std::hash<std::string>{}(id.value);
  }
};
