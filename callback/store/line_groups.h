// Ends of a batch's lines that are told together: from the decisions about their events, which leave rows of
// `line_event`, to one delivery for each group. The row is the truth until the transaction that makes the
// delivery takes it away, so that each end is in one delivery at least, whoever is lost meanwhile.
//
// Safe for concurrent use, by several processes too. Errors as of DeliveryStore.
#pragma once

#include <optional>

#include "callback/store/delivery_store.h"
#include "common/mysql/mysql.h"

namespace sluice::callback {

namespace store {
struct GroupKey;
}

// The bodies of one group, unless one alone is longer.
inline constexpr std::size_t kGroupBytesMax = 1 << 20;
inline constexpr std::string_view kLinesEvent = "batch.lines";

struct Told {
  int deliveries = 0;
  // Of a group that could not be told, or of the database once it was away. What it was about waits on.
  std::optional<Error> failed;
};

class LineGroups {
 public:
  // Both must outlive this.
  LineGroups(MysqlPool& pool, IdMaker& ids) : pool_(pool), ids_(ids) {}

  // Makes deliveries, due now, of groups that are full, in number or in bytes, or have an end that waited
  // long enough: of each that is due one, the longest due first, then of each another; at most `limit`. One
  // that fails keeps none of the others waiting, and is tried again some seconds later.
  Result<Told> tell_due(int limit, Deadline deadline);

 private:
  Result<int> tell_one(const store::GroupKey& key, Deadline deadline);
  void put_off(const store::GroupKey& key, Deadline deadline);

  MysqlPool& pool_;
  IdMaker& ids_;
};

}  // namespace sluice::callback
