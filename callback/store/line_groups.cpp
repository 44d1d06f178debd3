#include "callback/store/line_groups.h"

#include <algorithm>
#include <map>

#include "callback/store/mysql_rows.h"
#include "common/base/failpoint.h"
#include "common/crypto/crypto.h"

namespace sluice::callback {

namespace {

constexpr std::size_t kStatementBytes = 1'000'000;
constexpr int kLinesMax = 1'000;  // Of any group.

struct Group {
  std::string tenant;
  std::string url;
  std::string endpoint;
  std::vector<std::string> events;  // Their ids.
};

// The next group of what waits, its rows locked; without events: it is not due yet, or somebody else made it.
Result<Group> lock_group(MysqlConnection& db, const store::GroupKey& key, bool whatever_waits,
                         std::size_t bytes_max, Deadline deadline) {
  // Whoever waits here for another process sees what that one left.
  Sql sql(
      "SELECT event_id, tenant_id, url, endpoint, lines_max, bytes, due <= UTC_TIMESTAMP(6) FROM line_event "
      "WHERE "
      "batch_id = ? AND url_key = ? ORDER BY event_id LIMIT ? FOR UPDATE");
  sql.bind(key.batch_id).bind(key.url_key).bind(kLinesMax);
  SLUICE_ASSIGN(const Rows rows, db.query(sql, deadline));
  Group group;
  if (rows.empty()) return group;
  const auto lines_max = static_cast<std::size_t>(rows.front().int64(4));
  bool is_due = whatever_waits || rows.size() >= lines_max;
  std::size_t bytes = 0;
  bool is_full = false;
  for (const Row row : rows) {
    is_due = is_due || row.int64(6) != 0;
    const auto size = static_cast<std::size_t>(row.int64(5));
    is_full =
        is_full || group.events.size() == lines_max || (!group.events.empty() && bytes + size > bytes_max);
    bytes += size;
    if (!is_full) group.events.push_back(row.str(0));
  }
  if (!is_due && bytes < bytes_max) return Group{};
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

}  // namespace

Result<int> store::group_lines(MysqlConnection& db, IdMaker& ids, const GroupKey& key, bool whatever_waits,
                               std::size_t bytes_max, Deadline deadline) {
  SLUICE_ASSIGN(const Group group, lock_group(db, key, whatever_waits, bytes_max, deadline));
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
  return static_cast<int>(told.size());
}

Status store::keep_waiting_lines(MysqlConnection& db, std::span<const Decision* const> decisions,
                                 const std::map<std::string_view, std::string_view>& tenants,
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
  for (const Decision* decision : decisions) {
    if (!decision->waiting) continue;
    const WaitingLine& line = *decision->waiting;
    // Where no line has still to end there is nothing to wait for.
    sql.text(any ? "," : "")
        .text(
            "(?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(6) + INTERVAL IF((SELECT open_lines FROM file_batch "
            "WHERE id = ?) = 0, 0, "
            "?) SECOND, ?)");
    sql.bind(decision->event_id.value).bind(line.batch.value).bind(tenants.at(decision->event_id.value));
    sql.bind(line.url).bind(to_hex(sha256(line.url))).bind(line.endpoint).bind(line.lines_max);
    sql.bind(decision->body.size()).bind(line.batch.value).bind(line.wait.count()).bind(decision->body);
    any = true;
    if (sql.size() >= kStatementBytes) SLUICE_TRY(flush());
  }
  return flush();
}

Status store::tell_waiting_lines(MysqlConnection& db, IdMaker& ids, std::string_view batch_id,
                                 Deadline deadline) {
  // In the transaction of a decision. A batch that waits to tell more URLs than that has the rest told soon.
  constexpr int kGroups = 20;
  // Waits for decisions that are under way. Those that come later find that all lines have ended.
  Sql due("UPDATE line_event SET due = UTC_TIMESTAMP(6) WHERE batch_id = ?");
  SLUICE_ASSIGN(const auto waiting, db.execute(due.bind(batch_id), deadline));
  if (waiting == 0) return {};
  Sql sql("SELECT DISTINCT url_key FROM line_event WHERE batch_id = ? LIMIT ?");
  SLUICE_ASSIGN(const Rows keys, db.query(sql.bind(batch_id).bind(kGroups), deadline));
  int groups = 0;
  for (const Row row : keys) {
    for (int told = 1; told > 0 && groups < kGroups; ++groups) {
      const GroupKey key{std::string(batch_id), row.str(0)};
      SLUICE_ASSIGN(told, group_lines(db, ids, key, true, kGroupBytesMax, deadline));
    }
  }
  return {};
}

Result<int> LineGroups::tell_due(int limit, Deadline deadline) {
  // Answered by the key alone, and mostly by its emptiness.
  Sql sql(
      "SELECT batch_id, url_key FROM line_event GROUP BY batch_id, url_key HAVING MIN(due) <= "
      "UTC_TIMESTAMP(6) OR "
      "COUNT(*) >= MIN(lines_max) OR SUM(bytes) >= ? LIMIT ?");
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql.bind(bytes_max_).bind(limit), deadline));
  int made = 0;
  for (const Row row : rows) {
    const store::GroupKey key{row.str(0), row.str(1)};
    while (made < limit) {
      const auto told = pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<int> {
        SLUICE_ASSIGN(const int lines, store::group_lines(db, ids_, key, false, bytes_max_, deadline));
        SLUICE_FAILPOINT("callback.lines_before_commit");
        return lines;
      });
      if (!told) return fail(told.error());
      if (*told == 0) break;
      ++made;
    }
  }
  return made;
}

}  // namespace sluice::callback
