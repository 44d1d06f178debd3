#include "callback/store/line_groups.h"

#include <algorithm>
#include <map>
#include <set>

#include "callback/store/mysql_rows.h"
#include "common/base/failpoint.h"
#include "common/crypto/crypto.h"

namespace sluice::callback {

namespace {

constexpr std::size_t kStatementBytes = 1'000'000;
constexpr std::size_t kGroupsAsked = 100;      // In one statement.
constexpr std::chrono::seconds kTryAgain{10};  // A group that could not be told.

struct Group {
  std::string tenant;
  std::string url;
  std::string endpoint;
  std::vector<std::string> events;  // Their ids.
};

std::string url_key(const WaitingLine& line) {
  return to_hex(sha256(line.url));
}

// The database's troubles rather than a group's: the next one would fare no better.
bool is_away(ErrorCode code) {
  return code == ErrorCode::kUnavailable || code == ErrorCode::kDeadline || code == ErrorCode::kExhausted;
}

// The next group of what waits, its rows locked; without events: it is not due yet, or others are making it.
Result<Group> lock_group(MysqlConnection& db, const store::GroupKey& key, bool whatever_waits,
                         Deadline deadline) {
  Group group;
  // Those that are being decided about, or told by another process, are waited for by nobody.
  Sql sql(
      "SELECT event_id, tenant_id, url, endpoint, bytes, due <= UTC_TIMESTAMP(6) FROM line_event "
      "FORCE INDEX (line_event_group) WHERE batch_id = ? AND url_key = ? ORDER BY event_id LIMIT ? "
      "FOR UPDATE SKIP LOCKED");
  sql.bind(key.batch_id).bind(key.url_key).bind(key.lines_max);
  SLUICE_ASSIGN(const Rows rows, db.query(sql, deadline));
  if (rows.empty()) return group;
  bool is_due = whatever_waits || static_cast<int>(rows.size()) >= key.lines_max;
  std::size_t bytes = 0;
  bool is_full = false;
  for (const Row row : rows) {
    is_due = is_due || row.int64(5) != 0;
    const auto size = static_cast<std::size_t>(row.int64(4));
    is_full = is_full || (!group.events.empty() && bytes + size > kGroupBytesMax);
    bytes += size;
    if (!is_full) group.events.push_back(row.str(0));
  }
  if (!is_due && bytes < kGroupBytesMax) return Group{};
  group.tenant = rows.front().str(1);
  group.url = rows.front().str(2);
  group.endpoint = rows.front().str(3);
  return group;
}

// The event of a group. Ids and the bodies, which are objects already, need no escaping.
Result<std::string> group_body(MysqlConnection& db, const store::GroupKey& key, const Group& group,
                               const EventId& id, Deadline deadline) {
  Sql about("SELECT UNIX_TIMESTAMP(), COALESCE((SELECT revision FROM file_batch WHERE id = ?), 1)");
  SLUICE_ASSIGN(const Rows now, db.query(about.bind(key.batch_id), deadline));
  const std::string created = std::to_string(now.front().int64(0));
  const std::string revision = std::to_string(now.front().int64(1));
  std::vector<std::string_view> ids(group.events.begin(), group.events.end());
  Sql sql("SELECT body FROM line_event WHERE event_id IN ");
  SLUICE_ASSIGN(const Rows rows, db.query(sql.list(ids).text(" ORDER BY event_id"), deadline));
  std::string body = R"({"id":")" + id.value + R"(","object":"event","type":")" + std::string(kLinesEvent) +
                     R"(","created_at":)" + created + R"(,"sequence":)" + revision +
                     R"(,"data":{"batch_id":")" + key.batch_id + R"(","revision":)" + revision +
                     R"(,"events":[)";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i > 0) body += ',';
    body += rows[i].text(0);
  }
  return body + "]}}";
}

// Of each group that is full and not due one end: it is told with the others, so nothing is left due. `db`: a
// connection, or the pool.
template <class Db>
Result<std::vector<std::string>> find_full_groups(Db& db, const std::set<store::GroupKey>& groups,
                                                  Deadline deadline) {
  std::vector<std::string> first;
  for (auto next = groups.begin(); next != groups.end();) {
    // Of each no more than fills it is looked at, by the key alone.
    Sql sql;
    for (std::size_t asked = 0; next != groups.end() && asked < kGroupsAsked; ++next, ++asked) {
      sql.text(asked > 0 ? " UNION ALL " : "")
          .text(
              "(SELECT MIN(event_id) FROM (SELECT event_id, due, bytes FROM line_event FORCE INDEX "
              "(line_event_group) WHERE batch_id = ? AND url_key = ? ORDER BY event_id LIMIT ?) AS g HAVING "
              "MIN(due) > UTC_TIMESTAMP(6) AND (COUNT(*) >= ? OR SUM(bytes) >= ?))");
      sql.bind(next->batch_id).bind(next->url_key).bind(next->lines_max).bind(next->lines_max);
      sql.bind(kGroupBytesMax);
    }
    SLUICE_ASSIGN(const Rows rows, db.query(sql, deadline));
    for (const Row row : rows) first.push_back(row.str(0));
  }
  return first;
}

Status make_due(MysqlConnection& db, const std::vector<std::string>& first, Deadline deadline) {
  Sql due("UPDATE line_event SET due = UTC_TIMESTAMP(6) WHERE event_id IN ");
  SLUICE_TRY(db.execute(due.list(first), deadline));
  return {};
}

}  // namespace

Result<int> store::group_lines(MysqlConnection& db, IdMaker& ids, const GroupKey& key, bool whatever_waits,
                               Deadline deadline) {
  SLUICE_ASSIGN(const Group group, lock_group(db, key, whatever_waits, deadline));
  if (group.events.empty()) return 0;
  const int shard = shard_of_id(key.batch_id).value_or(0);
  const EventId event = ids.make<EventId>(shard);
  SLUICE_ASSIGN(const std::string body, group_body(db, key, group, event, deadline));
  Sql payload("INSERT INTO event_payload (event_id, body) VALUES ");
  SLUICE_TRY(db.execute(payload.row(event.value, body), deadline));
  Sql delivery(
      "INSERT INTO delivery (id, shard, tenant_id, event_id, job_id, endpoint_id, url, endpoint, state, "
      "attempt_due, "
      "created_at) VALUES (?, ?, ?, ?, ?, '', ?, ?, 'pending', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))");
  delivery.bind(ids.make<DeliveryId>(shard).value).bind(shard).bind(group.tenant).bind(event.value);
  delivery.bind(key.batch_id).bind(group.url).bind(group.endpoint);
  SLUICE_TRY(db.execute(delivery, deadline));
  std::vector<std::string_view> told(group.events.begin(), group.events.end());
  SLUICE_TRY(db.execute(Sql("DELETE FROM line_event WHERE event_id IN ").list(told), deadline));
  // The one that said that a group is full may have gone with this one.
  if (key.lines_max > 1) SLUICE_TRY(call_full_groups(db, {key}, deadline));
  return static_cast<int>(told.size());
}

Status store::keep_waiting_lines(MysqlConnection& db, std::span<const Decision* const> decisions,
                                 Deadline deadline) {
  constexpr const char* kHead =
      "INSERT INTO line_event (event_id, batch_id, tenant_id, url, url_key, endpoint, lines_max, bytes, due, "
      "body) "
      "VALUES ";
  Sql sql(kHead);
  bool any = false;
  const auto flush = [&]() -> Status {
    if (any) {
      // One that an operator made undecided again while it waits goes on waiting.
      SLUICE_TRY(db.execute(sql.text(" ON DUPLICATE KEY UPDATE event_id = VALUES(event_id)"), deadline));
    }
    sql = Sql(kHead);
    any = false;
    return {};
  };
  std::map<std::string_view, std::vector<std::string_view>> events_of;  // Of each batch.
  for (const Decision* decision : decisions) {
    if (!decision->waiting) continue;
    const WaitingLine& line = *decision->waiting;
    const Together& all = line.all;
    events_of[all.batch.value].push_back(decision->event_id.value);
    sql.text(any ? "," : "").text("(?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(6) + INTERVAL ? SECOND, ?)");
    sql.bind(decision->event_id.value).bind(all.batch.value).bind(line.tenant.value);
    sql.bind(line.url).bind(url_key(line)).bind(line.endpoint).bind(all.lines_max);
    sql.bind(decision->body.size()).bind(all.lines_max > 1 ? all.wait.count() : 0).bind(decision->body);
    any = true;
    if (sql.size() >= kStatementBytes) SLUICE_TRY(flush());
  }
  SLUICE_TRY(flush());
  if (events_of.empty()) return {};
  // Where no line has still to end there is nothing to wait for. Asked in a statement of its own, which locks
  // nothing that those who end lines need; and after the rows were written: the batch's own decision finds
  // them, or this finds that all lines have ended.
  std::vector<std::string_view> batches;
  for (const auto& [batch, events] : events_of) batches.push_back(batch);
  Sql ended("SELECT id FROM file_batch WHERE open_lines = 0 AND id IN ");
  SLUICE_ASSIGN(const Rows rows, db.query(ended.list(batches), deadline));
  for (const Row row : rows) {
    Sql due("UPDATE line_event SET due = UTC_TIMESTAMP(6) WHERE due > UTC_TIMESTAMP(6) AND event_id IN ");
    SLUICE_TRY(db.execute(due.list(events_of.at(row.text(0))), deadline));
  }
  return {};
}

Status store::call_full_groups(MysqlConnection& db, const std::set<GroupKey>& groups, Deadline deadline) {
  SLUICE_ASSIGN(const std::vector<std::string> full, find_full_groups(db, groups, deadline));
  if (full.empty()) return {};
  return make_due(db, full, deadline);
}

Status store::call_full_groups(MysqlPool& pool, const std::set<GroupKey>& groups, Deadline deadline) {
  // Mostly none is full: a transaction is for those that are.
  SLUICE_ASSIGN(const std::vector<std::string> full, find_full_groups(pool, groups, deadline));
  if (full.empty()) return {};
  return pool.transaction(deadline, [&](MysqlConnection& db) { return make_due(db, full, deadline); });
}

std::set<store::GroupKey> store::groups_of(std::span<const Decision> decisions) {
  std::set<GroupKey> groups;
  for (const Decision& decision : decisions) {
    if (!decision.waiting || decision.waiting->all.lines_max <= 1) continue;  // Full by itself, and due.
    const WaitingLine& line = *decision.waiting;
    groups.insert({line.all.batch.value, url_key(line), line.all.lines_max});
  }
  return groups;
}

Status store::tell_waiting_lines(MysqlConnection& db, IdMaker& ids, std::string_view batch_id,
                                 Deadline deadline) {
  // In the transaction of a decision. A batch that waits to tell more URLs than that has the rest told soon.
  constexpr int kGroups = 20;
  // Waits for decisions that are under way, which it does by this key only: by the primary one it would pass
  // over what they have written. Those that come later find that all lines have ended.
  Sql due("UPDATE line_event FORCE INDEX (line_event_group) SET due = UTC_TIMESTAMP(6) WHERE batch_id = ?");
  SLUICE_ASSIGN(const auto waiting, db.execute(due.bind(batch_id), deadline));
  if (waiting == 0) return {};
  Sql sql(
      "SELECT DISTINCT url_key, lines_max FROM line_event FORCE INDEX (line_event_group) WHERE batch_id = ? "
      "LIMIT ?");
  SLUICE_ASSIGN(const Rows keys, db.query(sql.bind(batch_id).bind(kGroups), deadline));
  int groups = 0;
  for (const Row row : keys) {
    for (int told = 1; told > 0 && groups < kGroups; ++groups) {
      const GroupKey key{std::string(batch_id), row.str(0), static_cast<int>(row.int64(1))};
      SLUICE_ASSIGN(told, group_lines(db, ids, key, true, deadline));
    }
  }
  return {};
}

Result<int> LineGroups::tell_one(const store::GroupKey& key, Deadline deadline) {
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<int> {
    SLUICE_ASSIGN(const int lines, store::group_lines(db, ids_, key, false, deadline));
    SLUICE_FAILPOINT("callback.lines_before_commit");
    return lines;
  });
}

Result<Told> LineGroups::tell_due(int limit, Deadline deadline) {
  // By the key alone, which says what is due first; nothing else is read of what waits.
  Sql sql(
      "SELECT DISTINCT batch_id, url_key, lines_max FROM line_event FORCE INDEX (line_event_due) "
      "WHERE due <= UTC_TIMESTAMP(6) LIMIT ?");
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql.bind(limit), deadline));
  std::vector<store::GroupKey> due;
  for (const Row row : rows) due.push_back({row.str(0), row.str(1), static_cast<int>(row.int64(2))});
  Told told;
  std::set<store::GroupKey> made;
  while (!due.empty() && told.deliveries < limit) {
    std::vector<store::GroupKey> again;
    for (const store::GroupKey& key : due) {
      if (told.deliveries == limit) break;
      const auto lines = tell_one(key, deadline);
      if (!lines) {
        told.failed = lines.error();
        if (is_away(lines.error().code)) return told;
        put_off(key, deadline);
        continue;
      }
      if (*lines == 0) continue;
      ++told.deliveries;
      made.insert(key);
      again.push_back(key);
    }
    due = std::move(again);
  }
  // Decided meanwhile, and full with what the last one left: whoever decided may have seen the one before.
  if (told.deliveries == limit) static_cast<void>(store::call_full_groups(pool_, made, deadline));
  return told;
}

void LineGroups::put_off(const store::GroupKey& key, Deadline deadline) {
  Sql sql(
      "UPDATE line_event SET due = UTC_TIMESTAMP(6) + INTERVAL ? SECOND WHERE batch_id = ? AND url_key = ? "
      "AND due <= UTC_TIMESTAMP(6)");
  // Should it fail, the group is merely tried again sooner.
  static_cast<void>(
      pool_.execute(sql.bind(kTryAgain.count()).bind(key.batch_id).bind(key.url_key), deadline));
}

}  // namespace sluice::callback
