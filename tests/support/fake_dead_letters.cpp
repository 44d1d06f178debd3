// FakeJobStore's dead letters and audit log.
#include <algorithm>

#include "common/base/check.h"
#include "common/store/job_rows.h"
#include "tests/support/fake_job_store.h"

namespace sluice::testing {

void FakeJobStore::note_failed_start(Row& row, const JobError& error) {
  row.failed_starts.push_back(AttemptRecord{row.job.generation, row.job.attempt, row.worker_id,
                                            row.job.started_us, now_us(), error.code, error.message});
}

void FakeJobStore::write_letter(const Row& row, const JobError& error, DeadReason reason) {
  DeadLetter letter;
  letter.job_id = row.job.id;
  letter.generation = row.job.generation;
  letter.tenant = row.job.tenant;
  letter.model = row.job.model;
  letter.reason = reason;
  letter.fingerprint = store::error_fingerprint(error.code, error.message);
  letter.error_code = error.code;
  letter.error_message = error.message;
  letter.attempts = row.job.attempt - row.forgiven;
  letter.died_us = now_us();
  letters_[{row.job.id.value, row.job.generation}] = LetterRow{std::move(letter), false};
}

bool FakeJobStore::matches(const DeadLetter& letter, const DeadLetterFilter& filter) const {
  if (!filter.ids.empty() &&
      std::find(filter.ids.begin(), filter.ids.end(), letter.job_id) == filter.ids.end())
    return false;
  if (!filter.tenant.empty() && letter.tenant != filter.tenant) return false;
  if (!filter.model.empty() && letter.model != filter.model) return false;
  if (!filter.fingerprint.empty() && letter.fingerprint != filter.fingerprint) return false;
  if (!filter.error_code.empty() && letter.error_code != filter.error_code) return false;
  if (filter.reason && letter.reason != *filter.reason) return false;
  if (filter.died_from_us != 0 && letter.died_us < filter.died_from_us) return false;
  return filter.died_before_us == 0 || letter.died_us < filter.died_before_us;
}

FakeJobStore::LetterRow* FakeJobStore::last_letter(const JobId& id) {
  LetterRow* last = nullptr;
  for (auto& [key, row] : letters_) {
    if (key.first == id.value) last = &row;  // By generation.
  }
  return last;
}

Result<std::vector<DeadLetter>> FakeJobStore::list_letters(const DeadLetterQuery& query, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("list_letters")) return fail(fault->code, "fault asked for");
  std::vector<DeadLetter> letters;
  for (const auto& [key, row] : letters_) {
    if (query.state && row.letter.state != *query.state) continue;
    if (matches(row.letter, query.filter)) letters.push_back(row.letter);
  }
  const auto newer = [](const DeadLetter& a, const DeadLetter& b) {
    return std::tie(a.died_us, a.job_id) > std::tie(b.died_us, b.job_id);
  };
  std::sort(letters.begin(), letters.end(), newer);
  if (query.after) {
    const JobId& id = query.after->job_id;
    const LetterRow* after = last_letter(id);
    if (query.after->generation != 0) {
      const auto named = letters_.find({id.value, query.after->generation});
      after = named == letters_.end() ? nullptr : &named->second;
    }
    if (after == nullptr) return fail(ErrorCode::kNotFound, "no dead letter of job " + id.value);
    std::erase_if(letters, [&](const DeadLetter& letter) { return !newer(after->letter, letter); });
  }
  if (letters.size() > static_cast<std::size_t>(query.limit))
    letters.resize(static_cast<std::size_t>(query.limit));
  return letters;
}

Result<std::vector<DeadLetterGroup>> FakeJobStore::group_letters(const DeadLetterFilter& filter, int limit,
                                                                 Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("group_letters")) return fail(fault->code, "fault asked for");
  std::vector<DeadLetterGroup> groups;
  for (const auto& [key, row] : letters_) {
    const DeadLetter& letter = row.letter;
    if (letter.state != LetterState::kDead || !matches(letter, filter)) continue;
    auto found = std::find_if(groups.begin(), groups.end(), [&](const DeadLetterGroup& group) {
      return group.fingerprint == letter.fingerprint && group.reason == letter.reason &&
             group.error_code == letter.error_code;
    });
    if (found == groups.end()) {
      groups.push_back(DeadLetterGroup{
          letter.fingerprint, letter.reason, letter.error_code, "", {}, 0, letter.died_us, 0});
      found = groups.end() - 1;
    }
    ++found->count;
    found->first_us = std::min(found->first_us, letter.died_us);
    if (std::tie(letter.died_us, letter.job_id) > std::tie(found->last_us, found->last_job)) {
      found->last_us = letter.died_us;
      found->last_job = letter.job_id;
      found->error_message = letter.error_message;
    }
  }
  std::sort(groups.begin(), groups.end(), [](const DeadLetterGroup& a, const DeadLetterGroup& b) {
    return a.count != b.count ? a.count > b.count : a.fingerprint < b.fingerprint;
  });
  if (groups.size() > static_cast<std::size_t>(limit)) groups.resize(static_cast<std::size_t>(limit));
  return groups;
}

Result<DeadLetterCount> FakeJobStore::count_letters(const DeadLetterFilter& filter, int redrives_max,
                                                    Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("count_letters")) return fail(fault->code, "fault asked for");
  DeadLetterCount count;
  for (const auto& [key, row] : letters_) {
    if (row.letter.state != LetterState::kDead || !matches(row.letter, filter)) continue;
    ++count.matching;
    if (row.letter.generation > redrives_max) ++count.guarded;
  }
  return count;
}

std::optional<DeadLetterDetail> FakeJobStore::detail(const JobId& id) {
  const LetterRow* last = last_letter(id);
  if (last == nullptr) return std::nullopt;
  const Row& row = rows_.at(id.value);
  DeadLetterDetail out;
  out.letter = last->letter;
  out.job = row.job;
  out.request_json = row.request_json;
  out.attempts = row.failed_starts;
  return out;
}

Result<DeadLetterDetail> FakeJobStore::show_letter(const JobId& id, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("show_letter")) return fail(fault->code, "fault asked for");
  auto out = detail(id);
  if (!out) return fail(ErrorCode::kNotFound, "no dead letter of job " + id.value);
  for (const auto& [key, row] : letters_) {
    if (key.first == id.value && key.second < out->letter.generation) out->earlier.push_back(row.letter);
    if (row.letter.replayed_as == id) out->replay_of = row.letter.job_id;
  }
  return std::move(*out);
}

Result<std::vector<DeadLetterDetail>> FakeJobStore::expand_letters(std::span<const JobId> ids, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("expand_letters")) return fail(fault->code, "fault asked for");
  std::vector<DeadLetterDetail> details;
  for (const JobId& id : ids) {
    if (auto out = detail(id)) details.push_back(std::move(*out));
  }
  return details;
}

Status FakeJobStore::replay_letter(const LetterRef& letter, NewJob& fresh, const Actor& actor,
                                   std::string changes_json, Deadline deadline) {
  {
    MutexLock lock(mutex_);
    if (const auto fault = enter("replay_letter")) return fail(fault->code, "fault asked for");
    const auto found = letters_.find({letter.job_id.value, letter.generation});
    if (found == letters_.end())
      return fail(ErrorCode::kNotFound, "no dead letter of job " + letter.job_id.value);
    DeadLetter& row = found->second.letter;
    if (row.state != LetterState::kDead) {
      return fail(ErrorCode::kConflict, "the letter is " + std::string(letter_state_name(row.state)));
    }
    row.state = LetterState::kReplayed;
    row.handled_us = now_us();
    row.replayed_as = fresh.job.id;
    write_audit(actor, "dead_letters.replay", letter.job_id.value, std::move(changes_json), 1);
  }
  std::vector<Submission> submissions(1);
  submissions.front().jobs.push_back(fresh);
  const auto answers = submit(submissions, deadline);
  fresh = submissions.front().jobs.front();
  return answers.front();
}

Result<std::vector<LetterRef>> FakeJobStore::due_copies(int limit, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("due_copies")) return fail(fault->code, "fault asked for");
  std::vector<LetterRef> due;
  for (const auto& [key, row] : letters_) {
    if (row.copy_due && due.size() < static_cast<std::size_t>(limit))
      due.push_back({row.letter.job_id, key.second + 1});
  }
  return due;
}

Status FakeJobStore::mark_copies(std::span<const LetterRef> jobs, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("mark_copies")) return fail(fault->code, "fault asked for");
  for (const LetterRef& job : jobs) {
    const auto found = letters_.find({job.job_id.value, job.generation - 1});
    if (found != letters_.end()) found->second.copy_due = false;
  }
  return {};
}

void FakeJobStore::write_audit(const Actor& actor, std::string action, std::string target,
                               std::string filter_json, std::int64_t count) {
  audit_.push_back(AuditEntry{ids_.make<AuditId>(shard_of_tenant(actor.tenant)), now_us(), actor,
                              std::move(action), std::move(target), std::move(filter_json), count});
}

Status FakeJobStore::record(AuditEntry entry, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("record")) return fail(fault->code, "fault asked for");
  write_audit(entry.actor, entry.action, entry.target, entry.filter_json, entry.count);
  return {};
}

Result<std::vector<AuditEntry>> FakeJobStore::list_audit(const AuditFilter& filter, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("list_audit")) return fail(fault->code, "fault asked for");
  std::vector<AuditEntry> entries;
  for (auto entry = audit_.rbegin(); entry != audit_.rend(); ++entry) {
    if (entries.size() == static_cast<std::size_t>(filter.limit)) break;
    if (!filter.after.empty() && !(entry->id < filter.after)) continue;
    const bool chosen = filter.action.empty() || entry->action == filter.action ||
                        (filter.action.ends_with('.') && entry->action.starts_with(filter.action));
    if (chosen) entries.push_back(*entry);
  }
  return entries;
}

}  // namespace sluice::testing
