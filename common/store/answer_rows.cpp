#include "common/store/answer_rows.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "common/job/answer.h"

namespace sluice::store {

namespace {

constexpr int kLookAfterS = 5;
// Followers that end in their leader's transaction, which holds up the others of its group meanwhile.
constexpr int kFollowersAtOnce = 200;
constexpr std::size_t kFollowersBytes = 4'000'000;
constexpr std::size_t kRowsInStatement = 1'000;

using Key = std::pair<std::string, std::string>;  // Tenant, key.

std::size_t result_bytes(const JobResult& result) {
  return result.text.size() + result.reasoning_content.size() + result.logprobs_json.size();
}

// (tenant_id = … AND key_hash IN (…) OR …): each part a range of the primary key.
void add_keys(Sql& sql, const std::set<Key>& keys) {
  std::map<std::string_view, std::vector<std::string_view>> by_tenant;
  for (const auto& [tenant, key] : keys) by_tenant[tenant].push_back(key);
  const char* before = "(";
  for (const auto& [tenant, own] : by_tenant) {
    sql.text(before).text("tenant_id = ").param(tenant).text(" AND key_hash IN ").list(own);
    before = " OR ";
  }
  sql.text(")");
}

// What the database has for a key: a job that is at it, or one that did it.
struct Known {
  JobId job;
  std::optional<JobState> state;  // Nullopt: such a job isn't there (yet).
  Priority priority = Priority::kNormal;
  bool fresh = false;
  std::int64_t until_us = 0;
};

// One entry for each key, sorted: two transactions that want the same ones wait, and don't deadlock. Those
// that are there already are locked by it as well, so that none of their jobs ends until this commits. True:
// none was there.
Result<bool> claim_keys(MysqlConnection& db, const std::map<Key, NewJob*>& first, Deadline deadline) {
  std::uint64_t counted = 0;  // 1 for a new row, 2 for one that was there and changed.
  for (auto at = first.begin(); at != first.end();) {
    Sql insert("INSERT INTO answer (tenant_id, key_hash, job_id, keep_s) VALUES ");
    for (std::size_t rows = 0; rows < kRowsInStatement && at != first.end(); ++rows, ++at) {
      insert.row(at->first.first, at->first.second, at->second->job.id.value, at->second->answer_keep_s);
    }
    insert.text(" ON DUPLICATE KEY UPDATE asked = asked + 1");
    SLUICE_ASSIGN(const std::uint64_t changed, db.execute(insert, deadline));
    counted += changed;
  }
  return counted == first.size();
}

Result<std::map<Key, Known>> read_known(MysqlConnection& db, const DbNow& now, const std::set<Key>& keys,
                                        Deadline deadline) {
  Sql select(
      "SELECT a.tenant_id, a.key_hash, a.job_id, j.state, j.priority, a.expires_at > ?, " SLUICE_MICROS(
          "a.expires_at") " FROM (SELECT * FROM answer WHERE ");
  add_keys(select.bind(now.text), keys);
  select.text(") a LEFT JOIN job j ON j.id = a.job_id");
  SLUICE_ASSIGN(const Rows rows, db.query(select, deadline));
  std::map<Key, Known> known;
  for (const Row row : rows) {
    Known one;
    one.job.value = row.str(2);
    if (!row.is_null(3)) {
      one.state = read_state(row.text(3));
      one.priority = static_cast<Priority>(row.int64(4));
    }
    one.fresh = row.int64_or(5, 0) != 0;
    one.until_us = row.int64(6);
    known.emplace(Key{row.str(0), row.str(1)}, std::move(one));
  }
  return known;
}

Result<std::map<std::string, JobResult>> read_results(MysqlConnection& db, const std::set<std::string>& ids,
                                                      Deadline deadline) {
  std::map<std::string, JobResult> results;
  if (ids.empty()) return results;
  Sql select(kSelectJob);
  select.text("WHERE j.id IN ").list(std::vector<std::string_view>(ids.begin(), ids.end()));
  SLUICE_ASSIGN(const Rows rows, db.query(select, deadline));
  for (const Row row : rows) {
    Job job = read_job(row);
    if (job.result) results.emplace(std::move(job.id.value), std::move(*job.result));
  }
  return results;
}

// The job takes part with others: it isn't answered already.
bool joins(const NewJob& fresh) {
  return !fresh.answer_key.empty() && !fresh.answer;
}

// A job that would end sooner by itself doesn't wait for one of a lower class.
bool may_follow(const NewJob& fresh, Priority leaders) {
  return fresh.may_follow && fresh.job.priority >= leaders;
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
    for (const auto& [key, head] : first) known[key].job = head->job.id;
  } else {
    SLUICE_ASSIGN(known, read_known(db, now, keys, deadline));
  }
  std::set<std::string> done;
  for (const auto& [key, one] : known) {
    if (one.state == JobState::kSucceeded && one.fresh) done.insert(one.job.value);
  }
  SLUICE_ASSIGN(const auto results, read_results(db, done, deadline));

  for (const auto& [key, jobs] : wanted) {
    NewJob* const head = first.at(key);
    const Known& one = known.at(key);
    if (const auto result = results.find(one.job.value); result != results.end()) {
      for (NewJob* fresh : jobs) {
        fresh->answer = Answer{one.job, one.until_us, result->second};
        fresh->job.leader_id = one.job;
      }
      continue;
    }
    const bool at_it = one.job != head->job.id && one.state && !is_final(*one.state);
    const JobId leader = at_it && head->job.priority >= one.priority ? one.job : head->job.id;
    if (leader == head->job.id && one.job != leader) {
      // It failed, its time is over, or it is of a lower class: then it goes on for those who wait for it.
      Sql take(
          "UPDATE answer SET job_id = ?, keep_s = ?, expires_at = NULL WHERE tenant_id = ? AND key_hash = ?");
      take.bind(leader.value).bind(head->answer_keep_s).bind(key.first).bind(key.second);
      auto taken = db.execute(take, deadline);
      if (!taken) return fail(taken.error());
    }
    const Priority class_of_leader = leader == head->job.id ? head->job.priority : one.priority;
    for (NewJob* fresh : jobs) {
      if (fresh->job.id == leader) continue;
      if (may_follow(*fresh, class_of_leader)) fresh->job.leader_id = leader;
    }
  }
  return {};
}

Status insert_followers(MysqlConnection& db, const DbNow& now, std::span<const Submission> submissions,
                        Deadline deadline) {
  std::vector<const NewJob*> followers;
  for (const Submission& submission : submissions) {
    for (const NewJob& fresh : submission.jobs) {
      if (!fresh.answer && !fresh.job.leader_id.empty()) followers.push_back(&fresh);
    }
  }
  for (std::size_t at = 0; at < followers.size();) {
    Sql insert("INSERT INTO follower (job_id, leader_id, look_due) VALUES ");
    const char* before = "(";
    for (std::size_t rows = 0; rows < kRowsInStatement && at < followers.size(); ++rows, ++at) {
      const Job& job = followers[at]->job;
      insert.text(before).param(job.id.value).text(",").param(job.leader_id.value).text(",").param(now.text);
      insert.text(" + INTERVAL ").param(kLookAfterS).text(" SECOND)");
      before = ",(";
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

// Adds the ends of the jobs in `rows` (of kSelectLocked) with `result`.
void add_followers(const Rows& rows, const std::map<std::string, JobResult>& results,
                   std::vector<Change>& changes, std::deque<LockedJob>& followers) {
  for (const Row row : rows) {
    LockedJob& follower = followers.emplace_back(read_locked(row));
    Change change;
    change.locked = &follower;
    change.to = JobState::kSucceeded;
    change.result = results.at(follower.job.leader_id.value);
    changes.push_back(std::move(change));
  }
}

// The first of a leader's followers runs in its place, and the others follow it. Empty: it had none.
Result<JobId> promote(MysqlConnection& db, const std::string& leader, Deadline deadline) {
  Sql select(
      "SELECT j.id FROM job j JOIN follower f ON f.job_id = j.id WHERE f.leader_id = ? AND j.state = "
      "'queued' "
      "ORDER BY j.priority, j.id LIMIT 1 FOR UPDATE");
  SLUICE_ASSIGN(const Rows rows, db.query(select.bind(leader), deadline));
  if (rows.empty()) return JobId();
  const JobId heir{rows.front().str(0)};
  Sql run("UPDATE job SET leader_id = NULL, publish_due = created_at WHERE id = ?");
  SLUICE_TRY(db.execute(run.bind(heir.value), deadline));
  Sql leave("DELETE FROM follower WHERE job_id = ?");
  SLUICE_TRY(db.execute(leave.bind(heir.value), deadline));
  Sql jobs(
      "UPDATE job j JOIN follower f ON f.job_id = j.id SET j.leader_id = ? WHERE f.leader_id = ? AND "
      "j.state = 'queued'");
  SLUICE_TRY(db.execute(jobs.bind(heir.value).bind(leader), deadline));
  Sql rest("UPDATE follower SET leader_id = ? WHERE leader_id = ?");
  SLUICE_TRY(db.execute(rest.bind(heir.value).bind(leader), deadline));
  return heir;
}

// Whoever ended without its leader waits no more.
Status forget_followers(MysqlConnection& db, const std::vector<Change>& changes, Deadline deadline) {
  std::vector<std::string_view> ended;
  for (const Change& change : changes) {
    if (is_final(change.to) && !change.locked->job.leader_id.empty()) {
      ended.push_back(change.locked->job.id.value);
    }
  }
  if (ended.empty()) return {};
  Sql sql("DELETE FROM follower WHERE job_id IN ");
  SLUICE_TRY(db.execute(sql.list(ended), deadline));
  return {};
}

}  // namespace

Status settle_answers(MysqlConnection& db, const DbNow& now, std::vector<Change>& changes,
                      std::deque<LockedJob>& followers, Deadline deadline) {
  std::map<std::string, const Change*> leaders;  // That end, by id.
  std::set<Key> keys;
  for (const Change& change : changes) {
    const LockedJob& locked = *change.locked;
    if (!is_final(change.to) || locked.answer_key.empty() || !locked.job.leader_id.empty()) continue;
    leaders.emplace(locked.job.id.value, &change);
    keys.emplace(locked.job.tenant.value, locked.answer_key);
  }
  if (leaders.empty()) return forget_followers(db, changes, deadline);

  // From here on until the commit nobody follows these any more.
  Sql lock("SELECT tenant_id, key_hash, job_id, keep_s FROM answer WHERE ");
  add_keys(lock, keys);
  SLUICE_ASSIGN(const Rows rows, db.query(lock.text(" ORDER BY tenant_id, key_hash FOR UPDATE"), deadline));
  std::vector<std::string_view> ids;
  for (const auto& [id, change] : leaders) ids.push_back(id);
  Sql waiting("SELECT leader_id, job_id FROM follower WHERE leader_id IN ");
  waiting.list(ids).text(" ORDER BY leader_id, job_id LIMIT ?").bind(kFollowersAtOnce);
  SLUICE_ASSIGN(const Rows waiting_rows, db.query(waiting, deadline));

  std::map<std::string, JobId> heirs;
  std::map<std::string, JobResult> results;
  std::vector<std::string_view> at_once;
  std::size_t bytes = 0;
  bool left_out = waiting_rows.size() == static_cast<std::size_t>(kFollowersAtOnce);
  for (const Row row : waiting_rows) {
    const std::string leader = row.str(0);
    const Change& change = *leaders.at(leader);
    if (change.to != JobState::kSucceeded) {
      if (heirs.contains(leader)) continue;
      SLUICE_ASSIGN(heirs[leader], promote(db, leader, deadline));
      continue;
    }
    results.emplace(leader, *change.result);
    bytes += result_bytes(*change.result);
    if (bytes > kFollowersBytes && !at_once.empty()) {
      left_out = true;
    } else {
      at_once.push_back(row.text(1));
    }
  }
  if (left_out) {
    Sql soon("UPDATE follower SET look_due = ? WHERE leader_id IN ");
    SLUICE_TRY(db.execute(soon.bind(now.text).list(ids), deadline));
  }

  std::vector<std::string_view> gone;
  std::vector<std::string_view> kept;
  for (const Row row : rows) {
    const auto leader = leaders.find(row.str(2));
    if (leader == leaders.end()) continue;  // Another took its place.
    LockedJob& locked = *leader->second->locked;
    if (leader->second->to == JobState::kSucceeded) {
      locked.answer_until_us = now.us + row.int64(3) * 1'000'000;
      kept.push_back(leader->first);
      continue;
    }
    const auto heir = heirs.find(leader->first);
    if (heir == heirs.end() || heir->second.empty()) {
      gone.push_back(leader->first);
      continue;
    }
    Sql pass("UPDATE answer SET job_id = ? WHERE tenant_id = ? AND key_hash = ?");
    pass.bind(heir->second.value).bind(row.text(0)).bind(row.text(1));
    SLUICE_TRY(db.execute(pass, deadline));
  }
  if (!kept.empty()) {
    Sql keep("UPDATE answer SET expires_at = ? + INTERVAL keep_s SECOND WHERE ");
    add_keys(keep.bind(now.text), keys);
    SLUICE_TRY(db.execute(keep.text(" AND job_id IN ").list(kept), deadline));
  }
  if (!gone.empty()) {
    Sql forget("DELETE FROM answer WHERE ");
    add_keys(forget, keys);
    SLUICE_TRY(db.execute(forget.text(" AND job_id IN ").list(gone), deadline));
  }

  if (!at_once.empty()) {
    Sql select(kSelectLocked);
    select.text("WHERE state = 'queued' AND id IN ").list(at_once).text(" ORDER BY id FOR UPDATE");
    SLUICE_ASSIGN(const Rows jobs, db.query(select, deadline));
    add_followers(jobs, results, changes, followers);
  }
  return forget_followers(db, changes, deadline);
}

Status forget_answer(MysqlConnection& db, const LockedJob& ended, Deadline deadline) {
  if (ended.answer_key.empty()) return {};
  const std::string& id = ended.job.id.value;
  Sql forget("DELETE FROM answer WHERE tenant_id = ? AND key_hash = ? AND job_id = ?");
  forget.bind(ended.job.tenant.value).bind(ended.answer_key).bind(id);
  SLUICE_TRY(db.execute(forget, deadline));
  Sql waiting("SELECT 1 FROM follower WHERE leader_id = ? LIMIT 1");
  SLUICE_ASSIGN(const Rows rows, db.query(waiting.bind(id), deadline));
  if (rows.empty()) return {};
  return fail(ErrorCode::kUnavailable, "jobs wait for the result of " + id);
}

Result<int> settle_due_followers(MysqlConnection& db, const DbNow& now, int limit, IdMaker& ids,
                                 Deadline deadline) {
  Sql due("SELECT job_id, leader_id FROM follower WHERE look_due <= ? ORDER BY look_due LIMIT ?");
  SLUICE_ASSIGN(const Rows rows, db.query(due.bind(now.text).bind(limit), deadline));
  if (rows.empty()) return 0;
  std::set<std::string> leaders;
  for (const Row row : rows) leaders.insert(row.str(1));
  Sql states("SELECT id, state FROM job WHERE id IN ");
  states.list(std::vector<std::string_view>(leaders.begin(), leaders.end()))
      .text(" ORDER BY id LOCK IN SHARE MODE");
  SLUICE_ASSIGN(const Rows found, db.query(states, deadline));
  std::set<std::string> succeeded;
  std::vector<std::string> at_it;
  std::set<std::string> lost = leaders;
  for (const Row row : found) {
    const JobState state = read_state(row.text(1));
    if (is_final(state) && state != JobState::kSucceeded) continue;
    lost.erase(row.str(0));
    if (state == JobState::kSucceeded) {
      succeeded.insert(row.str(0));
    } else {
      at_it.push_back(row.str(0));
    }
  }
  if (!at_it.empty()) {
    Sql later("UPDATE follower SET look_due = ? + INTERVAL ? SECOND WHERE leader_id IN ");
    SLUICE_TRY(db.execute(later.bind(now.text).bind(kLookAfterS).list(at_it), deadline));
  }
  int settled = 0;
  for (const std::string& leader : lost) {
    SLUICE_ASSIGN(const JobId heir, promote(db, leader, deadline));
    if (heir.empty()) {
      Sql forget("DELETE FROM follower WHERE leader_id = ?");  // They ended by themselves.
      SLUICE_TRY(db.execute(forget.bind(leader), deadline));
      continue;
    }
    Sql pass(
        "UPDATE answer a JOIN job j ON j.tenant_id = a.tenant_id AND j.answer_key = a.key_hash SET a.job_id "
        "= ? "
        "WHERE j.id = ? AND a.job_id = ?");
    SLUICE_TRY(db.execute(pass.bind(heir.value).bind(heir.value).bind(leader), deadline));
    ++settled;
  }
  SLUICE_ASSIGN(const auto results, read_results(db, succeeded, deadline));
  std::vector<std::string_view> waiting;
  std::size_t bytes = 0;
  for (const Row row : rows) {
    const auto result = results.find(row.str(1));
    if (result == results.end()) continue;
    bytes += result_bytes(result->second);
    if (bytes > kFollowersBytes && !waiting.empty()) break;
    waiting.push_back(row.text(0));
  }
  if (waiting.empty()) return settled;
  Sql select(kSelectLocked);
  select.text("WHERE state = 'queued' AND id IN ").list(waiting).text(" ORDER BY id FOR UPDATE");
  SLUICE_ASSIGN(const Rows jobs, db.query(select, deadline));
  std::vector<Change> changes;
  std::deque<LockedJob> followers;
  add_followers(jobs, results, changes, followers);
  if (!changes.empty()) SLUICE_TRY(write_changes(db, now, changes, ids, deadline));
  // Rows of jobs that had ended by themselves would come back for ever.
  Sql forget("DELETE FROM follower WHERE job_id IN ");
  SLUICE_TRY(db.execute(forget.list(waiting), deadline));
  return settled + static_cast<int>(changes.size());
}

}  // namespace sluice::store
