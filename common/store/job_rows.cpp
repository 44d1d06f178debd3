#include "common/store/job_rows.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <deque>

#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/job/end_event.h"
#include "common/store/answer_rows.h"
#include "common/store/batch_rows.h"

namespace sluice::store {

namespace {

// Cuts at a character border, so that the database accepts what is left as UTF-8.
std::string cut(const std::string& text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  std::size_t end = bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

// Multi-row statements stay well below max_allowed_packet (16 MB by default).
constexpr std::size_t kStatementBytes = 2'000'000;

// Runs `INSERT … VALUES row,row…` in as few statements as the size allows.
class Inserter {
 public:
  Inserter(MysqlConnection& db, const char* head, Deadline deadline)
      : db_(db), head_(head), deadline_(deadline), sql_(head) {}
  template <class... T>
  Status row(const T&... values) {
    sql_.row(values...);
    ++rows_;
    return sql_.size() < kStatementBytes ? Status() : flush();
  }
  Status flush() {
    if (rows_ == 0) return {};
    auto done = db_.execute(sql_, deadline_);
    sql_ = Sql(head_);
    rows_ = 0;
    if (!done) return fail(done.error());
    return {};
  }

 private:
  MysqlConnection& db_;
  const char* head_;
  Deadline deadline_;
  Sql sql_;
  int rows_ = 0;
};

Status write_results(MysqlConnection& db, const std::vector<Change>& changes, Deadline deadline) {
  Inserter results(db,
                   "INSERT INTO job_result (job_id, generation, text, reasoning_content, finish_reason, "
                   "prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, logprobs, "
                   "weight_type) VALUES ",
                   deadline);
  for (const Change& change : changes) {
    if (change.to != JobState::kSucceeded) continue;
    const Job& job = change.locked->job;
    const JobResult& r = *change.result;
    SLUICE_TRY(results.row(job.id.value, job.generation, r.text, null_if_empty(r.reasoning_content),
                           r.finish_reason, r.prompt_tokens, r.completion_tokens, r.cached_tokens,
                           r.reasoning_tokens, null_if_empty(r.logprobs_json), null_if_empty(r.precision)));
  }
  return results.flush();
}

// Starts that failed, for whoever asks later why a job needed so many.
Status write_attempts(MysqlConnection& db, const DbNow& now, const std::vector<Change>& changes,
                      Deadline deadline) {
  Inserter attempts(db,
                    "INSERT IGNORE INTO job_attempt (job_id, generation, attempt, worker_id, started_at, "
                    "ended_at, error_code, error_message) VALUES ",
                    deadline);
  for (const Change& change : changes) {
    const bool failed_start =
        change.error && !change.forgiven && change.locked->job.state == JobState::kRunning &&
        (change.to == JobState::kQueued || change.to == JobState::kFailed || change.to == JobState::kDead);
    if (!failed_start) continue;
    const LockedJob& locked = *change.locked;
    SLUICE_TRY(attempts.row(locked.job.id.value, locked.job.generation, locked.job.attempt, locked.worker_id,
                            locked.started_text, now.text, cut(change.error->code, 64),
                            cut(change.error->message, 2000)));
  }
  return attempts.flush();
}

// Null: this end leaves no letter. A client's own cancellation and its own time limit are as it wished; but a
// job that an operator gave back to the queue stays in the operators' sight until it ends well.
const char* reason_of_letter(const Change& change) {
  switch (change.to) {
    case JobState::kDead:
      return change.dead_reason;
    case JobState::kFailed:
      return "failed";
    case JobState::kExpired:
      return change.locked->job.generation > 1 ? "expired" : nullptr;
    default:
      return nullptr;
  }
}

Status write_dead_letters(MysqlConnection& db, const DbNow& now, const std::vector<Change>& changes,
                          Deadline deadline) {
  Inserter letters(
      db,
      "INSERT INTO dead_letter (job_id, generation, shard, tenant_id, model, reason, fingerprint, "
      "error_code, error_message, attempts, died_at) VALUES ",
      deadline);
  for (const Change& change : changes) {
    const char* const reason = reason_of_letter(change);
    if (reason == nullptr) continue;
    const Job& job = change.locked->job;
    const JobError& error = *change.error;
    SLUICE_TRY(letters.row(job.id.value, job.generation, change.locked->shard, job.tenant.value, job.model,
                           reason, error_fingerprint(error.code, error.message), cut(error.code, 64),
                           cut(error.message, 2000), change.locked->attempts_used(), now.text));
  }
  return letters.flush();
}

// `now` was read before the jobs were locked: one may have been started by then, or the clock set back.
#define SLUICE_FINISHED_NOW "finished_at = GREATEST(CAST(? AS DATETIME(6)), COALESCE(started_at, created_at))"

Status write_states(MysqlConnection& db, const DbNow& now, const std::vector<Change>& changes,
                    Deadline deadline) {
  std::vector<std::string> succeeded;
  for (const Change& change : changes) {
    const Job& job = change.locked->job;
    if (change.to == JobState::kSucceeded) {
      succeeded.push_back(job.id.value);
      continue;
    }
    Sql sql;
    if (change.to == JobState::kQueued) {
      sql =
          Sql("UPDATE job SET state = 'queued', worker_id = NULL, lease_due = NULL, published_at = NULL, "
              "publish_due = ? + INTERVAL ? MICROSECOND, attempts_forgiven = attempts_forgiven + ?, "
              "lapsed_starts = lapsed_starts + ? WHERE id = ?");
      sql.bind(now.text)
          .bind(change.run_in_ms * 1000)
          .bind(change.forgiven ? 1 : 0)
          .bind(change.lapsed ? 1 : 0);
      sql.bind(job.id.value);
    } else {
      const JobError& error = *change.error;
      sql = Sql("UPDATE job SET state = ?, " SLUICE_FINISHED_NOW
                ", worker_id = NULL, lease_due = NULL, publish_due = "
                "NULL, "
                "expire_due = NULL, leader_id = NULL, lapsed_starts = lapsed_starts + ?, error_code = ?, "
                "error_type = ?, "
                "error_param = ?, "
                "error_message = ? WHERE id = ?");
      sql.bind(job_state_name(change.to)).bind(now.text).bind(change.lapsed ? 1 : 0);
      sql.bind(cut(error.code, 64)).bind(cut(error.type, 64)).bind(null_if_empty(cut(error.param, 200)));
      sql.bind(cut(error.message, 2000)).bind(job.id.value);
    }
    auto updated = db.execute(sql, deadline);
    if (!updated) return fail(updated.error());
    SLUICE_CHECK(*updated == 1);
  }
  if (succeeded.empty()) return {};
  Sql sql("UPDATE job SET state = 'succeeded', " SLUICE_FINISHED_NOW
          ", worker_id = NULL, lease_due = NULL, "
          "publish_due = NULL, expire_due = NULL WHERE id IN ");
  sql.bind(now.text).list(succeeded);
  auto updated = db.execute(sql, deadline);
  if (!updated) return fail(updated.error());
  SLUICE_CHECK(*updated == succeeded.size());
  return {};
}

// Lines of a batch's file end silently, unless somebody asked to hear of this one: the batch has an event.
Status write_events(MysqlConnection& db, const DbNow& now, const std::vector<Change>& changes,
                    const BatchNames& file_batches, IdMaker& ids, Deadline deadline) {
  Inserter events(
      db,
      "INSERT INTO event (id, shard, tenant_id, job_id, generation, type, created_at, publish_due) "
      "VALUES ",
      deadline);
  for (const Change& change : changes) {
    if (!is_final(change.to)) continue;
    const Job& job = change.locked->job;
    if (job.callback_url.empty() && file_batches.contains(job.batch_id.value)) continue;
    const auto type = end_event_type(job.surface, change.to, change.result);
    SLUICE_TRY(events.row(ids.make<EventId>(change.locked->shard).value, change.locked->shard,
                          job.tenant.value, job.id.value, job.generation, type, now.text, now.text));
  }
  return events.flush();
}

Status write_counters(MysqlConnection& db, const DbNow& now, const std::vector<Change>& changes,
                      const BatchNames& file_batches, Deadline deadline) {
  struct Ends {
    std::array<int, kJobStates> by_state{};
    std::vector<const Change*> all;
  };
  std::map<std::string, Ends> batches;  // Sorted: batches are locked in one order.
  for (const Change& change : changes) {
    if (!is_final(change.to) || change.locked->job.batch_id.empty()) continue;
    Ends& ends = batches[change.locked->job.batch_id.value];
    ++ends.by_state[static_cast<std::size_t>(change.to)];
    ends.all.push_back(&change);
  }
  for (const auto& [batch, ends] : batches) {
    if (file_batches.contains(batch)) SLUICE_TRY(end_lines(db, now, batch, ends.all, deadline));
    const auto count = [&by_state = ends.by_state](JobState state) {
      return by_state[static_cast<std::size_t>(state)];
    };
    Sql sql(
        "UPDATE batch SET succeeded = succeeded + ?, failed = failed + ?, dead = dead + ?, "
        "cancelled = cancelled + ?, expired = expired + ? WHERE id = ?");
    sql.bind(count(JobState::kSucceeded)).bind(count(JobState::kFailed)).bind(count(JobState::kDead));
    sql.bind(count(JobState::kCancelled)).bind(count(JobState::kExpired)).bind(batch);
    auto updated = db.execute(sql, deadline);
    if (!updated) return fail(updated.error());
  }
  return {};
}

Surface read_surface(std::string_view name) {
  const auto surface = surface_from(name);
  SLUICE_CHECK(surface.has_value());
  return *surface;
}

}  // namespace

Result<DbNow> db_now(MysqlConnection& db, Deadline deadline) {
  SLUICE_ASSIGN(const Rows rows,
                db.query(Sql("SELECT UTC_TIMESTAMP(6), " SLUICE_MICROS("UTC_TIMESTAMP(6)")), deadline));
  return DbNow{rows.front().str(0), rows.front().int64(1)};
}

Result<int> delete_some(MysqlPool& pool, const Sql& sql, Deadline deadline) {
  SLUICE_ASSIGN(const std::uint64_t deleted,
                pool.transaction(deadline, [&](MysqlConnection& db) { return db.execute(sql, deadline); }));
  return static_cast<int>(deleted);
}

JobState read_state(std::string_view name) {
  const auto state = job_state_from(name);
  SLUICE_CHECK(state.has_value());
  return *state;
}

const char* const kSelectJob =
    "SELECT j.id, j.tenant_id, j.batch_id, j.model, j.priority, j.state, j.generation, j.attempt, "  // 0-7
    SLUICE_MICROS("j.created_at") ", " SLUICE_MICROS("j.started_at") ", " SLUICE_MICROS("j.finished_at") ", "
    SLUICE_MICROS("j.expires_at") ", "  // 8-11
    "p.metadata, j.callback_url, j.error_code, j.error_message, j.error_type, j.error_param, "  // 12-17
    "r.text, r.reasoning_content, r.finish_reason, r.prompt_tokens, r.completion_tokens, "  // 18-22
    "r.cached_tokens, r.reasoning_tokens, r.logprobs, r.weight_type, j.surface, j.leader_id, "  // 23-28
    "j.erased "  // 29
    "FROM job j JOIN job_payload p ON p.job_id = j.id LEFT JOIN job_result r ON r.job_id = j.id ";

Job read_job(const Row& row) {
  Job job;
  job.id.value = row.str(0);
  job.tenant.value = row.str(1);
  job.batch_id.value = row.str_or(2, "");
  job.model = row.str(3);
  job.priority = static_cast<Priority>(row.int64(4));
  job.state = read_state(row.text(5));
  job.generation = row.int64(6);
  job.attempt = static_cast<int>(row.int64(7));
  job.created_us = row.int64(8);
  job.started_us = row.int64(9);
  job.finished_us = row.int64(10);
  job.expires_us = row.int64(11);
  job.metadata_json = row.str_or(12, "");
  job.callback_url = row.str_or(13, "");
  job.surface = read_surface(row.text(27));
  job.leader_id.value = row.str_or(28, "");
  job.erased = row.int64(29) != 0;
  if (is_final(job.state) && job.state != JobState::kSucceeded) {
    job.error = JobError{row.str_or(14, ""), row.str_or(15, ""), row.str_or(16, ""), row.str_or(17, "")};
  }
  if (job.state == JobState::kSucceeded && !row.is_null(18)) {
    job.result =
        JobResult{row.str(18),   row.str_or(19, ""), row.str(20),        row.int64(21),     row.int64(22),
                  row.int64(23), row.int64(24),      row.str_or(25, ""), row.str_or(26, "")};
  }
  return job;
}

const char* const kSelectLocked =
    "SELECT id, tenant_id, batch_id, model, priority, state, generation, attempt, "  // 0-7
    SLUICE_MICROS("created_at") ", " SLUICE_MICROS("started_at") ", " SLUICE_MICROS("finished_at") ", "
    SLUICE_MICROS("expires_at") ", "  // 8-11
    "callback_url, shard, attempts_max, attempts_forgiven, lapsed_starts, worker_id, "  // 12-17
    "CAST(started_at AS CHAR), surface, answer_key, leader_id "  // 18-21
    "FROM job ";

LockedJob read_locked(const Row& row) {
  LockedJob locked;
  Job& job = locked.job;
  job.id.value = row.str(0);
  job.tenant.value = row.str(1);
  job.batch_id.value = row.str_or(2, "");
  job.model = row.str(3);
  job.priority = static_cast<Priority>(row.int64(4));
  job.state = read_state(row.text(5));
  job.generation = row.int64(6);
  job.attempt = static_cast<int>(row.int64(7));
  job.created_us = row.int64(8);
  job.started_us = row.int64(9);
  job.finished_us = row.int64(10);
  job.expires_us = row.int64(11);
  job.callback_url = row.str_or(12, "");
  locked.shard = static_cast<int>(row.int64(13));
  locked.attempts_max = static_cast<int>(row.int64(14));
  locked.attempts_forgiven = static_cast<int>(row.int64(15));
  locked.lapsed_starts = static_cast<int>(row.int64(16));
  locked.worker_id = row.str_or(17, "");
  locked.started_text = row.str_or(18, "");
  job.surface = read_surface(row.text(19));
  locked.answer_key = row.str_or(20, "");
  job.leader_id.value = row.str_or(21, "");
  return locked;
}

Status write_changes(MysqlConnection& db, const DbNow& now, std::vector<Change>& changes, IdMaker& ids,
                     Deadline deadline) {
  // Those who wait for one of these results end with it, behind the caller's own.
  const std::size_t own = changes.size();
  std::deque<LockedJob> followers;
  SLUICE_TRY(settle_answers(db, now, changes, followers, deadline));
  for (const Change& change : changes) SLUICE_CHECK(can_become(change.locked->job.state, change.to));
  SLUICE_TRY(write_results(db, changes, deadline));
  SLUICE_TRY(write_attempts(db, now, changes, deadline));
  SLUICE_TRY(write_dead_letters(db, now, changes, deadline));
  SLUICE_TRY(write_states(db, now, changes, deadline));
  SLUICE_ASSIGN(const BatchNames file_batches, file_batches_of(db, changes, deadline));
  SLUICE_TRY(write_events(db, now, changes, file_batches, ids, deadline));
  SLUICE_TRY(write_counters(db, now, changes, file_batches, deadline));
  for (Change& change : changes) {
    Job& job = change.locked->job;
    job.state = change.to;
    if (!is_final(change.to)) continue;
    if (change.to != JobState::kSucceeded) job.leader_id = JobId();
    job.finished_us = std::max({now.us, job.started_us, job.created_us});
    job.result = change.result;
    job.error = change.error;
  }
  changes.resize(own);
  return {};
}

Result<int> end_all(MysqlConnection& db, const DbNow& now, const Rows& rows, JobState to,
                    const JobError& error, IdMaker& ids, Deadline deadline) {
  std::vector<LockedJob> locked;
  locked.reserve(rows.size());
  std::vector<Change> changes;
  for (const Row row : rows) {
    locked.push_back(read_locked(row));
    Change& change = changes.emplace_back();
    change.locked = &locked.back();
    change.to = to;
    change.error = error;
  }
  SLUICE_TRY(write_changes(db, now, changes, ids, deadline));
  return static_cast<int>(changes.size());
}

Change after_failed_start(LockedJob& locked, JobError error, bool lapsed, const JobRules& rules) {
  Change change;
  change.locked = &locked;
  change.lapsed = lapsed;
  change.error = std::move(error);
  if (lapsed && locked.lapsed_starts + 1 >= rules.poison_lapses_max) {
    change.to = JobState::kDead;
    change.dead_reason = "poison";
  } else if (locked.attempts_used() >= locked.attempts_max) {
    change.to = JobState::kDead;
    change.dead_reason = "attempts";
  } else {
    change.to = JobState::kQueued;
    const BackoffConfig backoff{rules.retry_first, rules.retry_max, 0.0};
    change.run_in_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                           backoff_delay(backoff, std::max(1, locked.attempts_used())))
                           .count();
  }
  return change;
}

std::string error_fingerprint(const std::string& code, const std::string& message) {
  // FNV-1a over the code and the message, where each run of characters that holds a digit counts as one '#'.
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  const auto add = [&hash](char c) {
    hash ^= static_cast<std::uint8_t>(c);
    hash *= 0x100000001b3ULL;
  };
  for (const char c : code) add(c);
  add('\n');
  const auto is_word = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
  };
  for (std::size_t i = 0; i < message.size();) {
    std::size_t end = i;
    bool digit = false;
    while (end < message.size() && is_word(message[end])) {
      digit = digit || std::isdigit(static_cast<unsigned char>(message[end]));
      ++end;
    }
    if (end == i) {
      add(message[i++]);
    } else if (digit) {
      add('#');
      i = end;
    } else {
      for (; i < end; ++i) add(message[i]);
    }
  }
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

}  // namespace sluice::store
