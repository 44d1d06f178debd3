#include "common/store/dead_letter_rows.h"

#include "common/base/check.h"
#include "common/store/job_rows.h"

namespace sluice::store {

const char* const kSelectLetter =
    "SELECT d.job_id, d.generation, d.tenant_id, d.model, d.reason, d.fingerprint, d.error_code, "  // 0-6
    "d.error_message, d.attempts, " SLUICE_MICROS("d.died_at") ", d.state, "                        // 7-10
    SLUICE_MICROS(
        "d.handled_at") ", d.operation_id, d.replayed_as, d.expires_in_s FROM dead_letter d ";  // 11-14

DeadLetter read_letter(const Row& row) {
  DeadLetter letter;
  letter.job_id.value = row.str(0);
  letter.generation = row.int64(1);
  letter.tenant.value = row.str(2);
  letter.model = row.str(3);
  const auto reason = dead_reason_from(row.text(4));
  SLUICE_CHECK(reason.has_value());
  letter.reason = *reason;
  letter.fingerprint = row.str(5);
  letter.error_code = row.str(6);
  letter.error_message = row.str(7);
  letter.attempts = static_cast<int>(row.int64(8));
  letter.died_us = row.int64(9);
  const auto state = letter_state_from(row.text(10));
  SLUICE_CHECK(state.has_value());
  letter.state = *state;
  letter.handled_us = row.int64(11);
  letter.operation_id.value = row.str_or(12, "");
  letter.replayed_as.value = row.str_or(13, "");
  letter.expires_in_s = row.int64_or_null(14);
  return letter;
}

void add_filter(Sql& sql, const DeadLetterFilter& filter) {
  if (!filter.ids.empty()) {
    std::vector<std::string_view> ids;
    ids.reserve(filter.ids.size());
    for (const JobId& id : filter.ids) ids.push_back(id.value);
    sql.text(" AND d.job_id IN ").list(ids);
  }
  if (!filter.tenant.empty()) sql.text(" AND d.tenant_id = ?").bind(filter.tenant.value);
  if (!filter.model.empty()) sql.text(" AND d.model = ?").bind(filter.model);
  if (!filter.fingerprint.empty()) sql.text(" AND d.fingerprint = ?").bind(filter.fingerprint);
  if (!filter.error_code.empty()) sql.text(" AND d.error_code = ?").bind(filter.error_code);
  if (filter.reason) sql.text(" AND d.reason = ?").bind(dead_reason_name(*filter.reason));
  const auto time = [&sql](const char* text, std::int64_t us) { sql.text(text).bind(us); };
  // Sums of intervals, since FROM_UNIXTIME has no room for microseconds in a double.
  if (filter.died_from_us != 0)
    time(" AND d.died_at >= TIMESTAMP '1970-01-01 00:00:00' + INTERVAL ? MICROSECOND", filter.died_from_us);
  if (filter.died_before_us != 0)
    time(" AND d.died_at < TIMESTAMP '1970-01-01 00:00:00' + INTERVAL ? MICROSECOND", filter.died_before_us);
}

}  // namespace sluice::store
