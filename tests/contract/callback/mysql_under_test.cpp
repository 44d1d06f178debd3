#include "callback/store/mysql_delivery_store.h"
#include "tests/contract/callback/store_under_test.h"
#include "tests/support/mysql_database.h"

namespace sluice::callback::testing {

namespace {

class MysqlUnderTest final : public StoreUnderTest {
 public:
  explicit MysqlUnderTest(::sluice::testing::MysqlDatabase& database)
      : database_(database), store_(database.pool(), ids_) {
    database_.clear_jobs();
  }
  DeliveryStore& store() override { return store_; }
  Clock& clock() override { return database_.clock(); }
  Rng& rng() override { return database_.rng(); }

  void put_event(const EventRecord& event) override {
    Sql job(
        "INSERT INTO job (id, shard, tenant_id, model, priority, state, attempts_max, prompt_tokens, "
        "tokens_max, "
        "callback_url, created_at, finished_at, expires_at) VALUES (?, 1, ?, 'm', 1, 'succeeded', 5, 1, 1, "
        "?, "
        "UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))");
    job.bind(event.job_id.value).bind(event.tenant.value);
    must(job.bind(event.callback_url.empty() ? std::nullopt : std::optional(event.callback_url)));
    Sql row(
        "INSERT INTO event (id, shard, tenant_id, job_id, generation, type, created_at, publish_due) VALUES "
        "(?, 1, ?, ?, ?, ?, FROM_UNIXTIME(?) + INTERVAL ? MICROSECOND, UTC_TIMESTAMP(6))");
    row.bind(event.id.value).bind(event.tenant.value).bind(event.job_id.value).bind(event.generation);
    row.bind(event.type).bind(event.created_us / 1'000'000);
    must(row.bind(event.created_us % 1'000'000));
  }

  SeenDelivery look(const DeliveryId& id) override {
    Sql sql(
        "SELECT state, attempts, COALESCE(TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), attempt_due) DIV "
        "1000, 0), "
        "last_status, last_error FROM delivery WHERE id = ?");
    const Rows rows = ask(sql.bind(id.value));
    SeenDelivery seen;
    const Row row = rows.front();
    seen.state = row.str(0);
    seen.attempts = static_cast<int>(row.int64(1));
    seen.due_in_ms = row.int64(2);
    if (!row.is_null(3)) seen.last_status = static_cast<int>(row.int64(3));
    seen.last_error = row.str_or(4, "");
    Sql attempts(
        "SELECT attempt, status, error, response, duration_ms, started_at <= UTC_TIMESTAMP(6) FROM "
        "delivery_attempt "
        "WHERE delivery_id = ? ORDER BY attempt");
    for (const Row made : ask(attempts.bind(id.value))) {
      SeenAttempt attempt{static_cast<int>(made.int64(0)), std::nullopt, made.str_or(2, ""),
                          made.str_or(3, ""), made.int64(4)};
      if (!made.is_null(1)) attempt.status = static_cast<int>(made.int64(1));
      if (made.int64(5) != 1) std::abort();
      seen.made.push_back(attempt);
    }
    return seen;
  }

  void make_due(const DeliveryId& id, std::chrono::milliseconds ago) override {
    Sql sql("UPDATE delivery SET attempt_due = UTC_TIMESTAMP(6) - INTERVAL ? MICROSECOND WHERE id = ?");
    must(sql.bind(std::chrono::microseconds(ago).count()).bind(id.value));
  }

 private:
  void must(const Sql& sql) {
    if (const auto done = database_.pool().execute(sql, database_.soon()); !done) {
      std::fprintf(stderr, "%s\n", done.error().message.c_str());
      std::abort();
    }
  }
  Rows ask(const Sql& sql) {
    auto rows = database_.pool().query(sql, database_.soon());
    if (!rows) std::abort();
    return std::move(*rows);
  }

  ::sluice::testing::MysqlDatabase& database_;
  IdMaker ids_{database_.clock(), database_.rng()};
  MysqlDeliveryStore store_;
};

}  // namespace

std::unique_ptr<StoreUnderTest> mysql_under_test() {
  auto* database = ::sluice::testing::MysqlDatabase::instance();
  if (database == nullptr) return nullptr;
  return std::make_unique<MysqlUnderTest>(*database);
}

}  // namespace sluice::callback::testing
