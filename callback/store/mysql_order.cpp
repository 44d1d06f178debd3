// Endpoints that want each job's events in their order: which deliveries wait behind an earlier one.
#include <algorithm>
#include <map>

#include "callback/store/mysql_rows.h"
#include "common/store/webhook_delivery_log.h"

namespace sluice::callback {

namespace {

using std::chrono::seconds;

// An end that nobody noticed delays the next one by so much.
constexpr seconds kLookSoon{5};
// And so do hours of waiting for an attempt: an operator may end them sooner.
constexpr seconds kLookAtLeast = kLookSoon * 512;

// When to look again at one whose predecessor is tried in `due_in`. Never later than that, and soon if it may
// be under way. Steps of two, so that thousands are put off by few statements.
seconds put_off_for(seconds due_in) {
  const seconds at_rest = due_in - seconds(kDeliveryHoldMax);
  seconds wait = kLookSoon;
  while (wait < kLookAtLeast && wait * 2 <= at_rest) wait *= 2;
  return wait;
}

}  // namespace

Result<std::set<std::string, std::less<>>> store::put_behind(MysqlConnection& db,
                                                             std::span<const std::string_view> due,
                                                             Deadline deadline) {
  std::set<std::string, std::less<>> behind;
  if (due.empty()) return behind;
  // Looked up row by row, whatever the tables' statistics say: they are old when there is much to look at.
  // Read after the rows were locked, and outside of any snapshot: whatever decided about the later event is
  // seen to have decided about the earlier one, or that one is seen to be undecided.
  Sql sql(
      "SELECT d.id, COALESCE(TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(6), MIN(q.attempt_due)), 0) FROM delivery d "
      "FORCE INDEX (PRIMARY) STRAIGHT_JOIN event e FORCE INDEX (PRIMARY) ON e.id = d.event_id "
      "STRAIGHT_JOIN event p FORCE INDEX (event_job) ON p.job_id = e.job_id AND p.generation < e.generation "
      "LEFT JOIN delivery q FORCE INDEX (delivery_event) ON q.event_id = p.id AND q.endpoint_id = "
      "d.endpoint_id AND q.state = 'pending' "
      "WHERE (p.publish_due IS NOT NULL OR q.id IS NOT NULL) AND d.id IN ");
  SLUICE_ASSIGN(const Rows rows, db.query(sql.list(due).text(" GROUP BY d.id"), deadline));
  std::map<seconds, std::vector<std::string_view>> by_wait;
  for (const Row row : rows) {
    behind.insert(row.str(0));
    by_wait[put_off_for(seconds(row.int64(1)))].push_back(row.text(0));
  }
  for (const auto& [wait, ids] : by_wait) {
    Sql update(
        "UPDATE delivery SET behind = 1, attempt_due = UTC_TIMESTAMP(6) + INTERVAL ? SECOND WHERE id IN ");
    SLUICE_TRY(db.execute(update.bind(wait.count()).list(ids), deadline));
  }
  return behind;
}

Status store::let_next_go(MysqlConnection& db, std::span<const std::string_view> over, Deadline deadline) {
  if (over.empty()) return {};
  // Nobody holds what waits behind another, so nothing that is under way is touched. Found by way of the
  // job's events, which are few: deliveries without one, of an endpoint's own events say, share their job_id
  // by the thousands, and nothing waits behind them.
  Sql sql(
      "SELECT w.id FROM delivery d FORCE INDEX (PRIMARY) "
      "STRAIGHT_JOIN event e FORCE INDEX (event_job) ON e.job_id = d.job_id "
      "STRAIGHT_JOIN delivery w FORCE INDEX (delivery_event) ON w.event_id = e.id AND w.endpoint_id = "
      "d.endpoint_id "
      "WHERE w.behind = 1 AND w.state = 'pending' AND d.id IN ");
  SLUICE_ASSIGN(const Rows rows, db.query(sql.list(over), deadline));
  if (rows.empty()) return {};
  std::vector<std::string_view> next;
  for (const Row row : rows) next.push_back(row.text(0));
  std::sort(next.begin(), next.end());
  Sql update(
      "UPDATE delivery SET behind = 0, attempt_due = UTC_TIMESTAMP(6) WHERE behind = 1 AND state = 'pending' "
      "AND id IN ");
  SLUICE_TRY(db.execute(update.list(next), deadline));
  return {};
}

}  // namespace sluice::callback
