#include "common/store/answer_rows.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "common/job/result_bytes.h"

namespace sluice::store {

namespace {

// A leader's own end looks after its followers; this is for those that it could not reach.
constexpr int kLookAfterS = 600;
// Followers that are settled in one transaction, which holds up others meanwhile.
constexpr int kPortion = 200;
constexpr std::size_t kPortionBytes = 4'000'000;
constexpr std::size_t kRowsInStatement = 1'000;

using Key = std::pair<std::string, std::string>;  // Tenant, key.

// (tenant_id = … AND key_hash IN (…) OR …): each part a range of the primary key.
void add_keys(Sql& sql, const std::set<Key>& keys, const char* table = "") {
  std::map<std::string_view, std::vector<std::string_view>> by_tenant;
  for (const auto& [tenant, key] : keys) by_tenant[tenant].push_back(key);
  const char* before = "(";
  for (const auto& [tenant, own] : by_tenant) {
    sql.text(before).text(table).text("tenant_id = ").param(tenant);
    sql.text(" AND ").text(table).text("key_hash IN ").list(own);
    before = " OR ";
  }
  sql.text(")");
}

// A row of `answer`, and what has become of its leader.
struct Known {
  JobId leader;
  std::optional<JobState> leader_state;  // Nullopt: such a job isn't there (yet).
  Priority leader_class = Priority::kNormal;
  JobId known;
  std::int64_t until_us = 0;
  std::int64_t keep_s = 0;
  bool is_due = false;  // To be settled by now, or soon.

  bool at_it() const { return leader_state && !is_final(*leader_state); }
};

// What read_known() reads: with the leader's state, and locked by somebody who knows that himself.
constexpr const char* kSelectKnown =
    "SELECT a.tenant_id, a.key_hash, COALESCE(a.leader_id, ''), j.state, j.priority, COALESCE(a.known_id, "
    "''), " SLUICE_MICROS("a.expires_at") ", a.keep_s, a.settle_due IS NOT NULL FROM answer a LEFT JOIN job "
    "j ON j.id = a.leader_id WHERE ";
constexpr const char* kSelectRow =
    "SELECT a.tenant_id, a.key_hash, COALESCE(a.leader_id, ''), NULL, NULL, COALESCE(a.known_id, "
    "''), " SLUICE_MICROS("a.expires_at") ", a.keep_s, a.settle_due IS NOT NULL FROM answer a WHERE ";

std::pair<Key, Known> read_known(const Row& row) {
  Known one;
  one.leader.value = row.str(2);
  if (!row.is_null(3)) {
    one.leader_state = read_state(row.text(3));
    one.leader_class = static_cast<Priority>(row.int64(4));
  }
  one.known.value = row.str(5);
  one.until_us = row.int64(6);
  one.keep_s = row.int64(7);
  one.is_due = row.int64(8) != 0;
  return {Key{row.str(0), row.str(1)}, std::move(one)};
}

// One entry for each key, sorted: two transactions that want the same ones wait, and don't deadlock. Those
// that are there already are locked by it as well, so that none of their jobs ends until this commits. True:
// none was there.
Result<bool> claim_keys(MysqlConnection& db, const std::map<Key, NewJob*>& first, Deadline deadline) {
  std::uint64_t counted = 0;  // 1 for a new row, 2 for one that was there and changed.
  for (auto at = first.begin(); at != first.end();) {
    Sql insert("INSERT INTO answer (tenant_id, key_hash, leader_id, keep_s) VALUES ");
    for (std::size_t rows = 0; rows < kRowsInStatement && at != first.end(); ++rows, ++at) {
      insert.row(at->first.first, at->first.second, at->second->job.id.value, at->second->answer_keep_s);
    }
    insert.text(" ON DUPLICATE KEY UPDATE asked = asked + 1");
    SLUICE_ASSIGN(const std::uint64_t changed, db.execute(insert, deadline));
    counted += changed;
  }
  return counted == first.size();
}

// Of as many as may be copied at once; the others are left out.
Result<std::map<std::string, JobResult>> read_results(MysqlConnection& db, const std::set<std::string>& ids,
                                                      Deadline deadline) {
  std::map<std::string, JobResult> results;
  std::size_t bytes = 0;
  for (auto at = ids.begin(); at != ids.end() && bytes < kPortionBytes;) {
    std::vector<std::string_view> part;
    for (; at != ids.end() && part.size() < 20; ++at) part.push_back(*at);
    Sql select(kSelectJob);
    SLUICE_ASSIGN(const Rows rows, db.query(select.text("WHERE j.id IN ").list(part), deadline));
    for (const Row row : rows) {
      Job job = read_job(row);
      if (!job.result) continue;
      bytes += result_bytes(*job.result);
      results.emplace(std::move(job.id.value), std::move(*job.result));
    }
  }
  return results;
}

// The job takes part with others: it isn't answered already.
bool joins(const NewJob& fresh) {
  return !fresh.answer_key.empty() && !fresh.answer;
}

Status update_answer(MysqlConnection& db, const Key& key, Sql update, Deadline deadline) {
  update.text(" WHERE tenant_id = ? AND key_hash = ?").bind(key.first).bind(key.second);
  SLUICE_TRY(db.execute(update, deadline));
  return {};
}

}  // namespace

Status join_answers(MysqlConnection& db, const DbNow& now, std::span<Submission> submissions,
                    Deadline deadline) {
  std::map<Key, std::vector<NewJob*>> wanted;
  for (Submission& submission : submissions) {
    for (NewJob& fresh : submission.jobs) {
      fresh.job.leader_id = fresh.answer ? fresh.answer->job : JobId();  // A repeated try decides anew.
      if (joins(fresh)) wanted[{fresh.job.tenant.value, fresh.answer_key}].push_back(&fresh);
    }
  }
  if (wanted.empty()) return {};
  std::map<Key, NewJob*> first;  // Of each key, whom the others could follow.
  std::set<Key> keys;
  for (const auto& [key, jobs] : wanted) {
    keys.insert(key);
    first[key] = *std::min_element(jobs.begin(), jobs.end(), [](const NewJob* a, const NewJob* b) {
      return a->job.priority < b->job.priority;
    });
  }
  SLUICE_ASSIGN(const bool all_new, claim_keys(db, first, deadline));
  std::map<Key, Known> known;
  if (all_new) {
    for (const auto& [key, head] : first) known[key].leader = head->job.id;
  } else {
    Sql select(kSelectKnown);
    add_keys(select, keys, "a.");
    SLUICE_ASSIGN(const Rows rows, db.query(select, deadline));
    for (const Row row : rows) known.insert(read_known(row));
  }
  std::set<std::string> fresh_ids;
  for (const auto& [key, one] : known) {
    if (one.until_us > now.us) fresh_ids.insert(one.known.value);
  }
  SLUICE_ASSIGN(const auto results, read_results(db, fresh_ids, deadline));

  std::size_t bytes = 0;
  for (const auto& [key, jobs] : wanted) {
    NewJob* const head = first.at(key);
    const Known& one = known.at(key);
    if (fresh_ids.contains(one.known.value)) {
      const auto result = results.find(one.known.value);
      bool left_out = false;
      for (NewJob* fresh : jobs) {
        if (fresh->job.id == one.known) continue;  // The first try was committed after all.
        if (result != results.end()) bytes += result_bytes(result->second);
        if (result == results.end() || bytes > kPortionBytes) {
          left_out = true;  // Not all at once: it ends soon, as one that follows.
        } else {
          fresh->answer = Answer{one.known, one.until_us, result->second};
        }
        fresh->job.leader_id = one.known;
      }
      if (left_out)
        SLUICE_TRY(update_answer(db, key, Sql("UPDATE answer SET settle_due = ?").bind(now.text), deadline));
      continue;
    }
    // What the last end means for those who followed is still being told: this one runs by itself.
    if (one.is_due && !one.at_it() && one.leader != head->job.id) continue;
    // A job of a higher class doesn't wait for one of a lower: it takes the lead, and those who follow
    // profit.
    const bool leads = one.leader == head->job.id || !one.at_it() || head->job.priority < one.leader_class;
    if (leads && one.leader != head->job.id) {
      Sql take("UPDATE answer SET leader_id = ?, keep_s = ?");
      SLUICE_TRY(update_answer(db, key, take.bind(head->job.id.value).bind(head->answer_keep_s), deadline));
    }
    bool followed = false;
    for (NewJob* fresh : jobs) {
      const JobId& leader = leads ? head->job.id : one.leader;
      if (!fresh->may_follow || fresh->job.id == leader) continue;
      fresh->job.leader_id = leader;
      followed = true;
    }
    if (followed && !one.is_due) {
      Sql look("UPDATE answer SET settle_due = ? + INTERVAL ? SECOND");
      SLUICE_TRY(update_answer(db, key, look.bind(now.text).bind(kLookAfterS), deadline));
    }
  }
  return {};
}

Status insert_followers(MysqlConnection& db, std::span<const Submission> submissions, Deadline deadline) {
  std::vector<const NewJob*> followers;
  for (const Submission& submission : submissions) {
    for (const NewJob& fresh : submission.jobs) {
      if (!fresh.answer && !fresh.job.leader_id.empty()) followers.push_back(&fresh);
    }
  }
  for (std::size_t at = 0; at < followers.size();) {
    Sql insert("INSERT INTO follower (job_id, tenant_id, key_hash) VALUES ");
    for (std::size_t rows = 0; rows < kRowsInStatement && at < followers.size(); ++rows, ++at) {
      const NewJob& fresh = *followers[at];
      insert.row(fresh.job.id.value, fresh.job.tenant.value, fresh.answer_key);
    }
    auto done = db.execute(insert, deadline);
    if (!done) return fail(done.error());
  }
  return {};
}

Status end_answered(MysqlConnection& db, const DbNow& now, std::span<const Submission> submissions,
                    IdMaker& ids, Deadline deadline) {
  std::deque<LockedJob> locked;
  std::vector<Change> changes;
  for (const Submission& submission : submissions) {
    for (const NewJob& fresh : submission.jobs) {
      if (!fresh.answer) continue;
      LockedJob& job = locked.emplace_back();
      job.job = fresh.job;  // This transaction's own row, which nobody else sees yet.
      job.job.state = JobState::kQueued;
      job.job.leader_id = JobId();  // It followed nobody.
      job.shard = shard_of_id(fresh.job.id.value).value_or(0);
      Change& change = changes.emplace_back();
      change.locked = &job;
      change.to = JobState::kSucceeded;
      change.result = fresh.answer->result;
    }
  }
  if (changes.empty()) return {};
  return write_changes(db, now, changes, ids, deadline);
}

namespace {

// How the job ended whose followers are settled.
struct LeaderEnd {
  JobId id;
  JobState state = JobState::kCancelled;
  std::optional<JobResult> result;
  std::optional<JobError> error;
};

// How much more one transaction may settle.
struct Budget {
  int jobs = kPortion;
  std::size_t bytes = kPortionBytes;
};

struct Settled {
  int ended = 0;
  int running = 0;  // By themselves, from now on.
  JobId heir;       // Leads in the ended one's place.
  bool more = false;
};

Result<std::vector<std::string>> followers_of(MysqlConnection& db, const Key& key, int limit,
                                              Deadline deadline) {
  Sql select("SELECT job_id FROM follower WHERE tenant_id = ? AND key_hash = ? ORDER BY job_id LIMIT ?");
  SLUICE_ASSIGN(const Rows rows, db.query(select.bind(key.first).bind(key.second).bind(limit), deadline));
  std::vector<std::string> ids;
  for (const Row row : rows) ids.push_back(row.str(0));
  return ids;
}

Status leave(MysqlConnection& db, const std::vector<std::string>& ids, Deadline deadline) {
  if (ids.empty()) return {};
  Sql sql("DELETE FROM follower WHERE job_id IN ");
  SLUICE_TRY(db.execute(sql.list(std::vector<std::string_view>(ids.begin(), ids.end())), deadline));
  return {};
}

Result<Rows> lock_queued(MysqlConnection& db, const std::vector<std::string>& ids, Deadline deadline) {
  Sql select(kSelectLocked);
  select.text("WHERE state = 'queued' AND leader_id IS NOT NULL AND id IN ")
      .list(std::vector<std::string_view>(ids.begin(), ids.end()))
      .text(" ORDER BY id FOR UPDATE");
  return db.query(select, deadline);
}

// They get their rank in the queue, as if there had never been another.
Status run_by_themselves(MysqlConnection& db, const std::vector<std::string>& ids, Deadline deadline) {
  Sql run("UPDATE job SET leader_id = NULL WHERE id IN ");
  SLUICE_TRY(db.execute(run.list(std::vector<std::string_view>(ids.begin(), ids.end())), deadline));
  return leave(db, ids, deadline);
}

// What a leader's end means for a portion of those who follow. Success, and a request that can't succeed, end
// them alike. Where the attempts were used up each is tried for itself, as if none had waited. Cancelled and
// expired is each for itself: one of the others takes the lead.
Result<Settled> settle_followers(MysqlConnection& db, const Key& key, const LeaderEnd& end, Budget& budget,
                                 std::vector<Change>& changes, std::deque<LockedJob>& locked,
                                 Deadline deadline) {
  Settled settled;
  const bool alike = end.state == JobState::kSucceeded || end.state == JobState::kFailed;
  int limit = budget.jobs;
  if (end.result && result_bytes(*end.result) > 0) {
    const std::size_t copies = budget.bytes / result_bytes(*end.result);
    // However large it is, a whole portion takes one.
    limit = std::min<int>(limit, std::max<int>(static_cast<int>(std::min<std::size_t>(copies, kPortion)),
                                               budget.jobs == kPortion ? 1 : 0));
  }
  SLUICE_ASSIGN(std::vector<std::string> ids, followers_of(db, key, limit + 1, deadline));
  settled.more = ids.size() > static_cast<std::size_t>(limit);
  if (settled.more) ids.pop_back();
  if (ids.empty()) return settled;
  SLUICE_ASSIGN(const Rows rows, lock_queued(db, ids, deadline));
  if (alike) {
    std::vector<std::string_view> moved;  // Accepted behind another than whose end this is.
    for (const Row row : rows) {
      LockedJob& follower = locked.emplace_back(read_locked(row));
      if (follower.job.leader_id != end.id) moved.push_back(row.text(0));
      follower.job.leader_id = end.id;
      Change change;
      change.locked = &follower;
      change.to = end.state;
      change.result = end.result;
      change.error = end.error;
      changes.push_back(std::move(change));
    }
    if (!moved.empty()) {
      Sql move("UPDATE job SET leader_id = ? WHERE id IN ");
      SLUICE_TRY(db.execute(move.bind(end.id.value).list(moved), deadline));
    }
    settled.ended = static_cast<int>(rows.size());
    budget.jobs -= settled.ended;
    if (end.result) budget.bytes -= std::min(budget.bytes, rows.size() * result_bytes(*end.result));
    SLUICE_TRY(leave(db, ids, deadline));  // Also those that were not waiting any more.
    return settled;
  }
  std::vector<std::string> run;
  if (end.state == JobState::kDead) {
    for (const Row row : rows) run.push_back(row.str(0));
    budget.jobs -= static_cast<int>(run.size());
  } else {
    // Of those that were read, the most urgent and then the oldest.
    std::optional<std::pair<std::int64_t, std::string>> best;
    for (const Row row : rows) {
      std::pair<std::int64_t, std::string> one{row.int64(4), row.str(0)};
      if (!best || one < *best) best = std::move(one);
    }
    if (best) {
      run.push_back(best->second);
      settled.heir.value = best->second;
      settled.more = true;  // They go on waiting.
    }
  }
  if (!run.empty()) SLUICE_TRY(run_by_themselves(db, run, deadline));
  settled.running = static_cast<int>(run.size());
  if (end.state == JobState::kDead) SLUICE_TRY(leave(db, ids, deadline));
  return settled;
}

// Whoever ended by itself follows nobody any more.
Status forget_followers(MysqlConnection& db, const std::vector<Change>& changes, Deadline deadline) {
  std::vector<std::string> ended;
  for (const Change& change : changes) {
    if (is_final(change.to) && !change.locked->job.leader_id.empty())
      ended.push_back(change.locked->job.id.value);
  }
  return leave(db, ended, deadline);
}

// What is left of a key once a portion was settled.
Status write_settled(MysqlConnection& db, const DbNow& now, const Key& key, const Known& one,
                     const LeaderEnd& end, const Settled& settled, Deadline deadline) {
  const bool succeeded = end.state == JobState::kSucceeded;
  if (!succeeded && !settled.more && one.known.empty()) {
    Sql forget("DELETE FROM answer WHERE tenant_id = ? AND key_hash = ?");
    SLUICE_TRY(db.execute(forget.bind(key.first).bind(key.second), deadline));
    return {};
  }
  Sql update("UPDATE answer SET settle_due = ");
  if (!settled.more) {
    update.text("NULL");
  } else if (settled.heir.empty()) {
    update.param(now.text);
  } else {
    update.param(now.text).text(" + INTERVAL ").param(kLookAfterS).text(" SECOND");
  }
  update.text(", leader_id = ");
  if (!settled.heir.empty()) {
    update.param(settled.heir.value);
  } else if (succeeded || !settled.more) {
    update.text("NULL");
  } else {
    update.param(end.id.value);
  }
  return update_answer(db, key, std::move(update), deadline);
}

}  // namespace

Status settle_answers(MysqlConnection& db, const DbNow& now, std::vector<Change>& changes,
                      std::deque<LockedJob>& followers, Deadline deadline) {
  // First, so that none of them is looked after as one that waits.
  SLUICE_TRY(forget_followers(db, changes, deadline));
  std::map<Key, std::vector<std::size_t>> ended;  // Changes by key.
  std::set<Key> keys;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const LockedJob& locked = *changes[i].locked;
    if (!is_final(changes[i].to) || locked.answer_key.empty() || !locked.job.leader_id.empty()) continue;
    ended[{locked.job.tenant.value, locked.answer_key}].push_back(i);
    keys.emplace(locked.job.tenant.value, locked.answer_key);
  }
  if (ended.empty()) return {};
  // From here on until the commit nobody begins to follow these.
  Sql lock(kSelectRow);
  add_keys(lock, keys, "a.");
  SLUICE_ASSIGN(const Rows rows,
                db.query(lock.text(" ORDER BY a.tenant_id, a.key_hash FOR UPDATE"), deadline));
  Budget budget;
  std::set<Key> known;  // Leaders whom nobody follows, as most are: these go together.
  std::set<Key> forgotten;
  for (const Row row : rows) {
    const auto [key, one] = read_known(row);
    const Change* how = nullptr;  // A success, if there is one among them; else the leader's end.
    bool leads = false;
    for (const std::size_t index : ended.at(key)) {
      Change& change = changes[index];
      const bool is_leader = change.locked->job.id == one.leader;
      leads = leads || is_leader;
      if (change.to == JobState::kSucceeded) {
        change.locked->answer_until_us = now.us + one.keep_s * 1'000'000;
        if (how == nullptr || how->to != JobState::kSucceeded) how = &change;
      } else if (is_leader && how == nullptr) {
        how = &change;
      }
    }
    if (how == nullptr) continue;  // Another is at it.
    const bool succeeded = how->to == JobState::kSucceeded;
    if (leads && !one.is_due && how->locked->job.id == one.leader && (succeeded || one.known.empty())) {
      (succeeded ? known : forgotten).insert(key);
      continue;
    }
    const LeaderEnd end{how->locked->job.id, how->to, how->result, how->error};
    if (end.state == JobState::kSucceeded) {
      Sql keep("UPDATE answer SET known_id = ?, expires_at = ? + INTERVAL keep_s SECOND");
      SLUICE_TRY(update_answer(db, key, keep.bind(end.id.value).bind(now.text), deadline));
    }
    Settled settled;
    settled.more = one.is_due;
    if (one.is_due && budget.jobs > 0) {  // Else nobody follows.
      SLUICE_ASSIGN(settled, settle_followers(db, key, end, budget, changes, followers, deadline));
    }
    if (leads) {
      SLUICE_TRY(write_settled(db, now, key, one, end, settled, deadline));
    } else if (settled.more) {  // Its leader goes on, for whoever comes later.
      SLUICE_TRY(update_answer(db, key, Sql("UPDATE answer SET settle_due = ?").bind(now.text), deadline));
    }
  }
  if (!known.empty()) {
    Sql keep(
        "UPDATE answer SET known_id = leader_id, leader_id = NULL, expires_at = ? + INTERVAL keep_s SECOND "
        "WHERE ");
    add_keys(keep.bind(now.text), known);
    SLUICE_TRY(db.execute(keep, deadline));
  }
  if (!forgotten.empty()) {
    Sql forget("DELETE FROM answer WHERE ");
    add_keys(forget, forgotten);
    SLUICE_TRY(db.execute(forget, deadline));
  }
  return {};
}

Result<std::optional<int>> settle_next(MysqlConnection& db, const DbNow& now, IdMaker& ids,
                                       Deadline deadline) {
  Sql select(
      "SELECT tenant_id, key_hash FROM answer WHERE settle_due <= ? ORDER BY settle_due LIMIT 1 FOR UPDATE "
      "SKIP LOCKED");
  SLUICE_ASSIGN(const Rows due, db.query(select.bind(now.text), deadline));
  if (due.empty()) return std::optional<int>();
  Sql read(kSelectKnown);
  read.text("a.tenant_id = ? AND a.key_hash = ?");
  SLUICE_ASSIGN(const Rows rows,
                db.query(read.bind(due.front().text(0)).bind(due.front().text(1)), deadline));
  const auto [key, one] = read_known(rows.front());

  LeaderEnd end{one.leader, one.leader_state.value_or(JobState::kCancelled), {}, {}};
  // As long as nobody leads anew, those who followed are told, however short a result is kept.
  const bool is_known = !one.known.empty() && (one.leader.empty() || one.until_us > now.us);
  if (is_known || one.leader_state) {
    Sql job(kSelectJob);
    job.text("WHERE j.id = ?").bind(is_known ? one.known.value : one.leader.value);
    SLUICE_ASSIGN(const Rows found, db.query(job, deadline));
    if (!found.empty()) {
      Job ended = read_job(found.front());
      end = LeaderEnd{std::move(ended.id), ended.state, std::move(ended.result), std::move(ended.error)};
    }
  }
  if (!is_known && one.at_it()) {
    Sql later("UPDATE answer SET settle_due = ? + INTERVAL ? SECOND");
    SLUICE_TRY(update_answer(db, key, later.bind(now.text).bind(kLookAfterS), deadline));
    return std::optional(0);
  }
  // A result that is not there any more ends nobody.
  if (end.state == JobState::kSucceeded && !end.result) end.state = JobState::kCancelled;
  std::vector<Change> changes;
  std::deque<LockedJob> followers;
  Budget budget;
  SLUICE_ASSIGN(const Settled settled, settle_followers(db, key, end, budget, changes, followers, deadline));
  if (!changes.empty()) SLUICE_TRY(write_changes(db, now, changes, ids, deadline));
  if (end.state == JobState::kSucceeded && one.at_it()) {  // One more computes it: it goes on.
    Sql rest("UPDATE answer SET settle_due = IF(?, ?, NULL)");
    SLUICE_TRY(update_answer(db, key, rest.bind(settled.more ? 1 : 0).bind(now.text), deadline));
  } else {
    SLUICE_TRY(write_settled(db, now, key, one, end, settled, deadline));
  }
  return std::optional(settled.ended + settled.running);
}

Status forget_answer(MysqlConnection& db, const LockedJob& ended, Deadline deadline) {
  if (ended.answer_key.empty()) return {};
  const Key key{ended.job.tenant.value, ended.answer_key};
  Sql select(
      "SELECT settle_due IS NOT NULL AND leader_id IS NULL FROM answer WHERE tenant_id = ? AND key_hash = ? "
      "AND known_id = ? FOR UPDATE");
  select.bind(key.first).bind(key.second).bind(ended.job.id.value);
  SLUICE_ASSIGN(const Rows rows, db.query(select, deadline));
  if (rows.empty()) return {};
  if (rows.front().int64(0) != 0) {
    return fail(ErrorCode::kUnavailable, "jobs wait for the result of " + ended.job.id.value);
  }
  Sql forget("DELETE FROM answer WHERE tenant_id = ? AND key_hash = ? AND leader_id IS NULL");
  SLUICE_ASSIGN(const std::uint64_t gone, db.execute(forget.bind(key.first).bind(key.second), deadline));
  if (gone > 0) return {};
  return update_answer(db, key, Sql("UPDATE answer SET known_id = NULL, expires_at = NULL"), deadline);
}

}  // namespace sluice::store
