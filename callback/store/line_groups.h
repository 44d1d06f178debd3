// Ends of a batch's lines that are told together: from the decisions about their events, which leave rows of
// `line_event`, to one delivery for each group. The row is the truth until the transaction that makes the
// delivery takes it away, so that each end is in one delivery at least, whoever is lost meanwhile.
//
// Safe for concurrent use, by several processes too. Errors as of DeliveryStore.
#pragma once

#include "callback/store/delivery_store.h"
#include "common/mysql/mysql.h"

namespace sluice::callback {

// The bodies of one group, unless one alone is longer.
inline constexpr std::size_t kGroupBytesMax = 1 << 20;
inline constexpr std::string_view kLinesEvent = "batch.lines";

class LineGroups {
 public:
  // Both must outlive this.
  LineGroups(MysqlPool& pool, IdMaker& ids, std::size_t bytes_max = kGroupBytesMax)
      : pool_(pool), ids_(ids), bytes_max_(bytes_max) {}

  // Makes deliveries, due now, of groups that are full, in number or in bytes, or have an end that waited
  // long enough; about `limit` of them. Answers how many.
  Result<int> tell_due(int limit, Deadline deadline);

 private:
  MysqlPool& pool_;
  IdMaker& ids_;
  const std::size_t bytes_max_;
};

}  // namespace sluice::callback
