#include "common/migrations/migrator.h"

#include <algorithm>

#include "common/crypto/crypto.h"

namespace sluice {

namespace {

constexpr std::string_view kTable =
    "CREATE TABLE IF NOT EXISTS schema_migration ("
    "version INT NOT NULL PRIMARY KEY, name VARCHAR(200) NOT NULL, checksum CHAR(64) NOT NULL, "
    "state VARCHAR(16) NOT NULL, applied_at DATETIME(6) NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4";
// One lock for each database of a server; its name may have 64 characters.
constexpr std::string_view kLock = "LEFT(CONCAT('sluice_schema:', DATABASE()), 64)";
constexpr int kNoSuchTable = 1146;

std::string checksum_of(const Migration& migration) {
  const Sha256 digest = sha256(migration.up);
  return to_hex(digest);
}

// The server refuses a statement because what it does is there already: it ran before we were cut off.
bool says_already_done(const Error& error) {
  switch (server_error_number(error)) {
    case 1050:  // Table exists.
    case 1051:  // Unknown table, at DROP.
    case 1060:  // Column exists.
    case 1061:  // Key exists.
    case 1091:  // Column or key to drop does not exist.
    case 1826:
    case 3822:  // Constraint exists.
      return true;
    default:
      return false;
  }
}

// The server's lock, for as long as this lives: it belongs to the session.
class ServerLock {
 public:
  static Result<ServerLock> take(MysqlConnection& db, Deadline deadline) {
    for (;;) {
      auto got = db.query(Sql("SELECT GET_LOCK(").text(kLock).text(", 1)"), deadline);
      if (!got && got.error().code == ErrorCode::kDeadline) {
        return fail(ErrorCode::kExhausted, "another process is migrating this database");
      }
      if (!got) return fail(got.error());
      if (got->front().int64_or(0, 0) == 1) return ServerLock(db);
    }
  }
  ServerLock(ServerLock&& other) noexcept : db_(other.db_) { other.db_ = nullptr; }
  ServerLock& operator=(ServerLock&&) = delete;
  ~ServerLock() {
    if (db_ == nullptr || db_->broken()) return;
    // Long enough that only a hung server misses it, and then the session ends with it.
    const auto released =
        db_->query(Sql("SELECT RELEASE_LOCK(").text(kLock).text(")"), Deadline(SteadyTime::max()));
    (void)released;
  }

 private:
  explicit ServerLock(MysqlConnection& db) : db_(&db) {}
  MysqlConnection* db_;
};

}  // namespace

struct Migrator::Applied {
  int version = 0;
  std::string name;
  std::string checksum;
  std::string state;
  std::string applied_at;
};

Migrator::Migrator(MysqlPool& pool, std::span<const Migration> migrations)
    : pool_(pool), migrations_(migrations) {}

const Migration* Migrator::find(int version) const {
  const auto at = std::find_if(migrations_.begin(), migrations_.end(),
                               [&](const Migration& one) { return one.version == version; });
  return at == migrations_.end() ? nullptr : &*at;
}

Result<std::vector<Migrator::Applied>> Migrator::read_applied(MysqlConnection& db, Deadline deadline) const {
  std::vector<Applied> applied;
  auto rows =
      db.query(Sql("SELECT version, name, checksum, state, DATE_FORMAT(applied_at, '%Y-%m-%d %H:%i:%S') "
                   "FROM schema_migration ORDER BY version"),
               deadline);
  if (!rows && server_error_number(rows.error()) == kNoSuchTable)
    return applied;  // Nothing was ever applied.
  if (!rows) return fail(rows.error());
  for (const Row row : *rows) {
    applied.push_back({static_cast<int>(row.int64(0)), row.str(1), row.str(2), row.str(3), row.str(4)});
  }
  return applied;
}

std::string Migrator::problem_of(const Applied& applied) const {
  const Migration* known = find(applied.version);
  if (known == nullptr) return "applied by a newer version of this program";
  if (checksum_of(*known) != applied.checksum) return "changed since it was applied";
  return "";
}

Status Migrator::check(const std::vector<Applied>& applied) const {
  for (const Applied& one : applied) {
    if (const std::string problem = problem_of(one); !problem.empty()) {
      return fail(ErrorCode::kConflict,
                  "migration " + std::to_string(one.version) + " (" + one.name + ") was " + problem);
    }
  }
  for (const Migration& migration : migrations_) {
    const bool is_applied = std::any_of(applied.begin(), applied.end(),
                                        [&](const Applied& one) { return one.version == migration.version; });
    if (!is_applied && !applied.empty() && migration.version < applied.back().version) {
      return fail(ErrorCode::kConflict, "migration " + std::to_string(migration.version) +
                                            " is missing below " + std::to_string(applied.back().version) +
                                            ", which is applied");
    }
  }
  return {};
}

Status Migrator::apply(MysqlConnection& db, const Migration& migration, bool cut_off, Deadline deadline) {
  SLUICE_TRY(db.execute(
      Sql("INSERT INTO schema_migration (version, name, checksum, state, applied_at) VALUES (?, ?, "
          "?, 'applying', UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE state = 'applying'")
          .bind(migration.version)
          .bind(migration.name)
          .bind(checksum_of(migration)),
      deadline));
  const auto done = db.execute(Sql::verbatim(migration.up), deadline);
  if (!done && !(cut_off && says_already_done(done.error()))) {
    Error error = done.error();
    error.message = "migration " + std::to_string(migration.version) + " (" + std::string(migration.name) +
                    "): " + error.message;
    // Refused by the server: it was not applied. Lost on the way: the mark stays, and the next run finds out.
    if (!db.broken()) {
      SLUICE_TRY(db.execute(Sql("DELETE FROM schema_migration WHERE version = ?").bind(migration.version),
                            deadline));
    }
    return fail(std::move(error));
  }
  SLUICE_TRY(db.execute(
      Sql("UPDATE schema_migration SET state = 'applied', applied_at = UTC_TIMESTAMP(6) WHERE version = ?")
          .bind(migration.version),
      deadline));
  return {};
}

Status Migrator::revert(MysqlConnection& db, const Migration& migration, bool cut_off, Deadline deadline) {
  SLUICE_TRY(db.execute(
      Sql("UPDATE schema_migration SET state = 'reverting' WHERE version = ?").bind(migration.version),
      deadline));
  const auto done = db.execute(Sql::verbatim(migration.down), deadline);
  if (!done && !(cut_off && says_already_done(done.error()))) {
    Error error = done.error();
    error.message = "reverting migration " + std::to_string(migration.version) + " (" +
                    std::string(migration.name) + "): " + error.message;
    if (!db.broken()) {
      SLUICE_TRY(db.execute(
          Sql("UPDATE schema_migration SET state = 'applied' WHERE version = ?").bind(migration.version),
          deadline));
    }
    return fail(std::move(error));
  }
  SLUICE_TRY(
      db.execute(Sql("DELETE FROM schema_migration WHERE version = ?").bind(migration.version), deadline));
  return {};
}

Result<int> Migrator::up(Deadline deadline) {
  SLUICE_ASSIGN(const MysqlPool::Lease db, pool_.acquire(deadline));
  SLUICE_ASSIGN(const ServerLock lock, ServerLock::take(*db, deadline));
  SLUICE_TRY(db->execute(Sql(kTable), deadline));
  SLUICE_ASSIGN(const std::vector<Applied> applied, read_applied(*db, deadline));
  SLUICE_TRY(check(applied));
  int count = 0;
  for (const Migration& migration : migrations_) {
    const auto found = std::find_if(applied.begin(), applied.end(),
                                    [&](const Applied& one) { return one.version == migration.version; });
    if (found != applied.end() && found->state == "applied") continue;
    SLUICE_TRY(apply(*db, migration, found != applied.end(), deadline));
    ++count;
  }
  return count;
}

Result<int> Migrator::down(int steps, Deadline deadline) {
  SLUICE_ASSIGN(const MysqlPool::Lease db, pool_.acquire(deadline));
  SLUICE_ASSIGN(const ServerLock lock, ServerLock::take(*db, deadline));
  SLUICE_ASSIGN(const std::vector<Applied> applied, read_applied(*db, deadline));
  SLUICE_TRY(check(applied));
  int count = 0;
  for (auto one = applied.rbegin(); one != applied.rend() && count < steps; ++one, ++count) {
    SLUICE_TRY(revert(*db, *find(one->version), one->state != "applied", deadline));
  }
  return count;
}

Result<std::vector<MigrationState>> Migrator::status(Deadline deadline) {
  SLUICE_ASSIGN(const MysqlPool::Lease db, pool_.acquire(deadline));
  SLUICE_ASSIGN(const std::vector<Applied> applied, read_applied(*db, deadline));
  std::vector<MigrationState> states;
  for (const Applied& one : applied) {
    const bool whole = one.state == "applied";
    std::string problem = problem_of(one);
    if (problem.empty() && !whole) problem = "cut off while " + one.state + ": run migrate up";
    states.push_back({one.version, one.name, whole, whole ? one.applied_at : "", std::move(problem)});
  }
  for (const Migration& migration : migrations_) {
    const bool known = std::any_of(applied.begin(), applied.end(),
                                   [&](const Applied& one) { return one.version == migration.version; });
    if (!known) states.push_back({migration.version, std::string(migration.name), false, "", ""});
  }
  std::sort(states.begin(), states.end(), [](const auto& a, const auto& b) { return a.version < b.version; });
  return states;
}

Status Migrator::verify(Deadline deadline) {
  SLUICE_ASSIGN(const std::vector<MigrationState> states, status(deadline));
  for (const MigrationState& one : states) {
    // A database ahead of this binary serves it still: that is how a rolling upgrade begins.
    if (!one.applied && find(one.version) != nullptr) {
      return fail(ErrorCode::kUnavailable, "migration " + std::to_string(one.version) + " (" + one.name +
                                               ") is not applied: run sluicectl migrate up");
    }
  }
  return {};
}

}  // namespace sluice
