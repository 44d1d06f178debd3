// Internal to the MySQL store: the database's clock, and the locking of claims.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "callback/store/delivery_store.h"
#include "common/mysql/mysql.h"

namespace sluice::callback::store {

inline std::int64_t micros(std::chrono::milliseconds time) {
  return std::chrono::microseconds(time).count();
}

// The database's now, as a literal for the statements of one transaction.
Result<std::string> now_text(MysqlConnection& db, Deadline deadline);

// Whether what is slow or dead together is a registered endpoint, whose id that then is.
bool is_registered(std::string_view endpoint);

struct Endpoint {
  std::string url;
  bool enabled = false;
  bool failing = false;
  bool ordered = false;  // It wants each job's events in their order.
};
using Endpoints = std::map<std::string, Endpoint, std::less<>>;  // By id.
// Registered endpoints as they are now; those that are gone are absent. Takes no locks.
Result<Endpoints> read_endpoints(MysqlConnection& db, const std::set<std::string_view>& ids,
                                 Deadline deadline);

// Fails what is due to registered endpoints that were seen to be disabled or gone, and still are; some
// thousands at most. What somebody holds, or is to be tried later, is left alone until it is due.
Status pass_over(MysqlPool& pool, std::span<const std::string_view> endpoints, Deadline deadline);

// What these attempts say of their registered endpoints: how long they have been failing, and whether they
// are disabled for it, which their tenant's other endpoints are then told.
Status judge_endpoints(MysqlConnection& db, std::span<const AttemptRecord* const> records,
                       const Endpoints& endpoints, IdMaker& ids, std::chrono::milliseconds disable_after,
                       Deadline deadline);

// Of due deliveries to ordered endpoints, whose rows the caller has locked: puts off those that must wait
// because an earlier event of the same job is undecided or pending at the same endpoint, and tells which they
// are.
Result<std::set<std::string, std::less<>>> put_behind(MysqlConnection& db,
                                                      std::span<const std::string_view> due,
                                                      Deadline deadline);
// Makes due what waits behind these deliveries, which are over.
Status let_next_go(MysqlConnection& db, std::span<const std::string_view> over, Deadline deadline);

// What is told together: ends of lines of one batch, to one URL.
struct GroupKey {
  std::string batch_id;
  std::string url_key;
  int lines_max = 1;  // Of any one delivery; the batch says so, once and for all.
  auto operator<=>(const GroupKey&) const = default;
};
// Makes one delivery of what waits and nobody else has locked, if it is due or full, or of whatever waits;
// should what is left be full again, it is due. Answers of how many ends; 0: it is not due.
Result<int> group_lines(MysqlConnection& db, IdMaker& ids, const GroupKey& key, bool whatever_waits,
                        Deadline deadline);
// Writes down the ends that wait; where no line of the batch has still to end they are due.
Status keep_waiting_lines(MysqlConnection& db, std::span<const Decision* const> decisions, Deadline deadline);
// The groups that these decisions add to, but those of one end each.
std::set<GroupKey> groups_of(std::span<const Decision> decisions);
// Makes due those of `groups` that are full. Whoever added to one asks after the commit: of several that fill
// it together the last one sees them all.
Status call_full_groups(MysqlConnection& db, const std::set<GroupKey>& groups, Deadline deadline);
Status call_full_groups(MysqlPool& pool, const std::set<GroupKey>& groups, Deadline deadline);
// Has whatever waits of a batch told: now, as far as that is little, and the rest soon.
Status tell_waiting_lines(MysqlConnection& db, IdMaker& ids, std::string_view batch_id, Deadline deadline);

// Locks the rows of `claims` in the order of their ids and tells, in the order of `claims`, which of them are
// still held as claimed.
Result<std::vector<bool>> lock_claims(MysqlConnection& db, std::span<const DeliveryRef* const> claims,
                                      Deadline deadline);

}  // namespace sluice::callback::store
