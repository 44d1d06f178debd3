#include "tests/support/fake_job_store.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/job/end_event.h"

namespace sluice::testing {

namespace {
constexpr std::int64_t us(std::chrono::milliseconds time) {
  return time.count() * 1000;
}
}  // namespace

void FakeJobStore::fail_next(const std::string& method, ErrorCode code, int times, bool applied) {
  MutexLock lock(mutex_);
  for (int i = 0; i < times; ++i) faults_[method].push_back(Fault{code, applied});
}

int FakeJobStore::calls(const std::string& method) const {
  MutexLock lock(mutex_);
  const auto found = calls_.find(method);
  return found == calls_.end() ? 0 : found->second;
}

std::vector<EventRef> FakeJobStore::events() const {
  MutexLock lock(mutex_);
  std::vector<EventRef> refs;
  for (const EventRow& event : events_) refs.push_back(event.ref);
  return refs;
}

void FakeJobStore::refuse_text(std::string text) {
  MutexLock lock(mutex_);
  refused_.push_back(std::move(text));
}

std::optional<FakeJobStore::Fault> FakeJobStore::enter(const std::string& method) {
  ++calls_[method];
  auto& faults = faults_[method];
  if (faults.empty()) return std::nullopt;
  const Fault fault = faults.front();
  faults.pop_front();
  return fault;
}

void FakeJobStore::end(Row& row, JobState to, std::optional<JobResult> result,
                       std::optional<JobError> error) {
  SLUICE_CHECK(can_become(row.job.state, to));
  row.job.state = to;
  row.job.finished_us = now_us();
  row.job.result = std::move(result);
  row.job.error = std::move(error);
  row.publish_due_us = row.lease_due_us = -1;
  row.worker_id.clear();
  EventRow event;
  event.ref = EventRef{ids_.make<EventId>(row.shard), row.job.id, row.job.tenant, row.job.generation,
                       std::string(end_event_type(row.job.surface, to, row.job.result))};
  event.shard = row.shard;
  event.publish_due_us = now_us();
  events_.push_back(std::move(event));
  const bool followed = std::exchange(row.follows, false);
  if (to != JobState::kSucceeded) row.job.leader_id = JobId();
  if (!followed) settle_answer(row);
}

void FakeJobStore::join_answer(NewJob& fresh) {
  fresh.job.leader_id = fresh.answer ? fresh.answer->job : JobId();
  if (fresh.answer_key.empty() || fresh.answer) return;
  AnswerRow& row = answers_[{fresh.job.tenant.value, fresh.answer_key}];
  if (row.expires_us > now_us()) {
    fresh.answer = Answer{row.known, row.expires_us, *rows_.at(row.known.value).job.result};
    fresh.job.leader_id = row.known;
    return;
  }
  const auto leader = rows_.find(row.leader.value);
  if (leader != rows_.end() && !is_final(leader->second.job.state) &&
      fresh.job.priority >= leader->second.job.priority) {
    if (fresh.may_follow) fresh.job.leader_id = row.leader;
  } else {
    row.leader = fresh.job.id;
    row.keep_s = fresh.answer_keep_s;
  }
}

void FakeJobStore::settle_answer(Row& ended) {
  const auto at = answers_.find({ended.job.tenant.value, ended.answer_key});
  if (ended.answer_key.empty() || at == answers_.end()) return;
  AnswerRow& answer = at->second;
  const JobState to = ended.job.state;
  const bool led = answer.leader == ended.job.id;
  if (!led && to != JobState::kSucceeded) return;
  if (led) answer.leader = JobId();
  if (to == JobState::kSucceeded) {
    answer.known = ended.job.id;
    answer.expires_us = now_us() + answer.keep_s * 1'000'000;
  }
  for (auto& [id, row] : rows_) {
    if (!row.follows || row.answer_key != ended.answer_key || row.job.tenant != ended.job.tenant) continue;
    if (to == JobState::kSucceeded) {
      row.job.leader_id = ended.job.id;
      end(row, to, ended.job.result, std::nullopt);
    } else if (to == JobState::kFailed) {
      write_letter(row, *ended.job.error, DeadReason::kFailed);
      end(row, to, std::nullopt, ended.job.error);
    } else if (to == JobState::kDead || answer.leader.empty()) {
      if (to != JobState::kDead) answer.leader = row.job.id;
      row.follows = false;
      row.job.leader_id = JobId();
      row.publish_due_us = row.job.created_us;
    }
  }
  if (answer.leader.empty() && answer.known.empty()) answers_.erase(at);
}

Result<int> FakeJobStore::settle_followers(int, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("settle_followers")) return fail(fault->code, "fault asked for");
  return 0;  // Here a leader's end reaches all of them.
}

Result<std::optional<Answer>> FakeJobStore::find_answer(const TenantId& tenant, const std::string& key,
                                                        Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("find_answer")) return fail(fault->code, "fault asked for");
  const auto known = answers_.find({tenant.value, key});
  if (known == answers_.end() || known->second.known.empty()) return std::optional<Answer>();
  const Job& job = rows_.at(known->second.known.value).job;
  return std::optional(Answer{job.id, known->second.expires_us, *job.result});
}

Result<int> FakeJobStore::forget_answers(int limit, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("forget_answers")) return fail(fault->code, "fault asked for");
  int forgotten = 0;
  std::erase_if(answers_, [&](const auto& entry) {
    const std::int64_t until = entry.second.expires_us;
    return until >= 0 && entry.second.leader.empty() && until + kStaleAnswerS * 1'000'000 <= now_us() &&
           forgotten < limit && ++forgotten > 0;
  });
  return forgotten;
}

void FakeJobStore::requeue(Row& row, std::int64_t run_in_ms) {
  SLUICE_CHECK(can_become(row.job.state, JobState::kQueued));
  row.job.state = JobState::kQueued;
  row.worker_id.clear();
  row.lease_due_us = row.published_us = -1;
  row.publish_due_us = now_us() + run_in_ms * 1000;
}

bool FakeJobStore::fail_start(Row& row, JobError error, bool lapsed) {
  const int used = row.job.attempt - row.forgiven;
  if (lapsed) ++row.lapsed;
  note_failed_start(row, error);
  const bool poison = lapsed && row.lapsed >= rules_.poison_lapses_max;
  if (poison || used >= rules_.attempts_max) {
    write_letter(row, error, poison ? DeadReason::kPoison : DeadReason::kAttempts);
    end(row, JobState::kDead, std::nullopt, std::move(error));
    return true;
  }
  const BackoffConfig backoff{rules_.retry_first, rules_.retry_max, 0.0};
  requeue(row,
          std::chrono::duration_cast<std::chrono::milliseconds>(backoff_delay(backoff, std::max(1, used)))
              .count());
  return false;
}

std::vector<Status> FakeJobStore::submit(std::span<Submission> submissions, Deadline) {
  MutexLock lock(mutex_);
  const auto fault = enter("submit");
  if (fault && !fault->applied)
    return std::vector<Status>(submissions.size(), fail(fault->code, "fault asked for"));
  std::vector<Status> answers;
  for (Submission& submission : submissions) {
    Status status;
    const std::string tenant = submission.jobs.front().job.tenant.value;
    if (submission.claim && !submission.claim->key_hash.empty()) {
      for (const ClaimedKey& key : keys_) {
        if (key.tenant != tenant || key.claim.key_hash != submission.claim->key_hash) continue;
        if (key.expires_us <= now_us()) continue;
        submission.existing = IdempotencyRecord{key.resource_id, key.claim.fingerprint};
        status = fail(ErrorCode::kConflict, "the key is taken");
      }
    }
    for (const NewJob& fresh : submission.jobs) {
      const auto refused = [&fresh](const std::string& text) {
        return fresh.request_json.find(text) != std::string::npos;
      };
      if (rows_.contains(fresh.job.id.value)) status = fail(ErrorCode::kConflict, "duplicate id");
      if (std::any_of(refused_.begin(), refused_.end(), refused))
        status = fail(ErrorCode::kInvalid, "refused text");
      if (fresh.job.model.size() > 128) status = fail(ErrorCode::kInvalid, "model too long");
    }
    if (submission.session) {
      submission.session->overtaken = status && !can_go_on(tenant, *submission.session);
      if (submission.session->overtaken) status = fail(ErrorCode::kConflict, "overtaken");
    }
    if (status && submission.session) {
      const SessionTurn& turn = *submission.session;
      sessions_[{tenant, turn.session_id}] = {
          SessionRecord{submission.jobs.front().job.id, turn.base, turn.turn},
          now_us() + turn.keep_s * 1'000'000};
    }
    if (status && submission.claim) {
      keys_.push_back({tenant, *submission.claim, submission.resource_id(), now_us(),
                       now_us() + submission.claim->keep_s * 1'000'000});
    }
    if (status) {
      for (NewJob& fresh : submission.jobs) {
        Row row;
        join_answer(fresh);
        fresh.job.created_us = now_us();
        fresh.job.expires_us = now_us() + fresh.expires_in_s * 1'000'000;
        row.job = fresh.job;
        row.request_json = fresh.request_json;
        row.prompt_tokens = fresh.prompt_tokens;
        row.tokens_max = fresh.tokens_max;
        row.shard = shard_of_id(fresh.job.id.value).value_or(0);
        row.lifetime_s = fresh.expires_in_s;
        row.answer_key = fresh.answer ? "" : fresh.answer_key;
        row.follows = !fresh.answer && !fresh.job.leader_id.empty();
        row.publish_due_us = now_us() + (fresh.publish_reserved ? us(rules_.republish_after) : 0);
        if (fresh.publish_reserved) row.published_us = now_us();
        if (!fresh.is_to_run()) {
          row.publish_due_us = std::numeric_limits<std::int64_t>::max();
          row.published_us = -1;
        }
        Row& added = rows_.emplace(fresh.job.id.value, std::move(row)).first->second;
        if (!fresh.answer) continue;
        end(added, JobState::kSucceeded, fresh.answer->result, std::nullopt);
        fresh.job = added.job;
      }
    }
    answers.push_back(std::move(status));
  }
  if (fault) return std::vector<Status>(submissions.size(), fail(fault->code, "fault asked for"));
  return answers;
}

Result<std::optional<IdempotencyRecord>> FakeJobStore::find_key(const TenantId& tenant,
                                                                const std::string& key_hash, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("find_key")) return fail(fault->code, "fault asked for");
  for (const ClaimedKey& key : keys_) {
    if (key.tenant == tenant.value && key.claim.key_hash == key_hash && key.expires_us > now_us()) {
      return std::optional(IdempotencyRecord{key.resource_id, key.claim.fingerprint});
    }
  }
  return std::optional<IdempotencyRecord>();
}

Result<std::optional<IdempotencyRecord>> FakeJobStore::find_request(const TenantId& tenant,
                                                                    const std::string& fingerprint,
                                                                    std::int64_t within_s, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("find_request")) return fail(fault->code, "fault asked for");
  std::optional<IdempotencyRecord> last;
  for (const ClaimedKey& key : keys_) {
    const bool same = key.tenant == tenant.value && key.claim.key_hash.empty() &&
                      key.claim.fingerprint == fingerprint && key.made_us > now_us() - within_s * 1'000'000;
    if (same) last = IdempotencyRecord{key.resource_id, key.claim.fingerprint};
  }
  return last;
}

Result<int> FakeJobStore::forget_expired(int limit, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("forget_expired")) return fail(fault->code, "fault asked for");
  int forgotten = 0;
  std::erase_if(keys_, [&](const ClaimedKey& key) {
    return key.expires_us <= now_us() && forgotten < limit && ++forgotten > 0;
  });
  return forgotten;
}

bool FakeJobStore::can_go_on(const std::string& tenant, const SessionTurn& turn) const {
  const auto found = sessions_.find({tenant, turn.session_id});
  if (turn.after.empty()) return found == sessions_.end() || found->second.expires_us <= now_us();
  return found != sessions_.end() && found->second.record.job == turn.after;
}

Result<std::optional<SessionRecord>> FakeJobStore::find_session(const TenantId& tenant,
                                                                const std::string& session_id, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("find_session")) return fail(fault->code, "fault asked for");
  const auto found = sessions_.find({tenant.value, session_id});
  if (found == sessions_.end() || found->second.expires_us <= now_us()) return std::optional<SessionRecord>();
  return std::optional(found->second.record);
}

Result<int> FakeJobStore::forget_sessions(int limit, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("forget_sessions")) return fail(fault->code, "fault asked for");
  return static_cast<int>(std::erase_if(sessions_, [&, forgotten = 0](const auto& entry) mutable {
    return entry.second.expires_us <= now_us() && forgotten < limit && ++forgotten > 0;
  }));
}

Result<Job> FakeJobStore::get(const TenantId& tenant, const JobId& id, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("get")) return fail(fault->code, "fault asked for");
  const auto found = rows_.find(id.value);
  if (found == rows_.end() || (!tenant.empty() && found->second.job.tenant != tenant)) {
    return fail(ErrorCode::kNotFound, "no job with id " + id.value);
  }
  return found->second.job;
}

Result<std::string> FakeJobStore::get_request(const TenantId& tenant, const JobId& id, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("get_request")) return fail(fault->code, "fault asked for");
  const auto row = rows_.find(id.value);
  if (row == rows_.end() || row->second.job.erased || (!tenant.empty() && row->second.job.tenant != tenant)) {
    return fail(ErrorCode::kNotFound, "no job with id " + id.value);
  }
  return row->second.request_json;
}

Result<std::vector<Job>> FakeJobStore::get_final(std::span<const JobId> ids, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("get_final")) return fail(fault->code, "fault asked for");
  std::vector<Job> jobs;
  for (const JobId& id : ids) {
    const auto found = rows_.find(id.value);
    if (found != rows_.end() && is_final(found->second.job.state)) jobs.push_back(found->second.job);
  }
  return jobs;
}

Result<std::vector<Job>> FakeJobStore::list(const JobFilter& filter, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("list")) return fail(fault->code, "fault asked for");
  std::vector<Job> jobs;
  for (auto at = rows_.rbegin(); at != rows_.rend(); ++at) {
    const Job& job = at->second.job;
    if (!filter.tenant.empty() && job.tenant != filter.tenant) continue;
    if (!filter.batch_id.empty() && job.batch_id != filter.batch_id) continue;
    if (!filter.model.empty() && job.model != filter.model) continue;
    if (filter.state && job.state != *filter.state) continue;
    if (!filter.after.empty() && !(job.id.value < filter.after.value)) continue;
    if (static_cast<int>(jobs.size()) == filter.limit) break;
    jobs.push_back(job);
    if (!filter.with_results) jobs.back().result.reset();
  }
  return jobs;
}

Result<Job> FakeJobStore::cancel(const TenantId& tenant, const JobId& id, Deadline) {
  MutexLock lock(mutex_);
  return cancel_one("cancel", tenant, id, false);
}

Result<Job> FakeJobStore::cancel_left(const TenantId& tenant, const JobId& id, Deadline) {
  MutexLock lock(mutex_);
  return cancel_one("cancel_left", tenant, id, true);
}

Result<Job> FakeJobStore::cancel_one(const std::string& method, const TenantId& tenant, const JobId& id,
                                     bool frees_key) {
  if (const auto fault = enter(method)) return fail(fault->code, "fault asked for");
  const auto found = rows_.find(id.value);
  if (found == rows_.end() || found->second.job.tenant != tenant) {
    return fail(ErrorCode::kNotFound, "no job with id " + id.value);
  }
  if (is_final(found->second.job.state)) return found->second.job;
  end(found->second, JobState::kCancelled, std::nullopt,
      JobError{"job_cancelled", "The job was cancelled on request.", "job_error", ""});
  if (frees_key) std::erase_if(keys_, [&id](const ClaimedKey& key) { return key.resource_id == id.value; });
  return found->second.job;
}

Result<Job> FakeJobStore::erase(const TenantId& tenant, const JobId& id, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("erase")) return fail(fault->code, "fault asked for");
  const auto found = rows_.find(id.value);
  if (found == rows_.end() || found->second.job.erased || found->second.job.tenant != tenant) {
    return fail(ErrorCode::kNotFound, "no job with id " + id.value);
  }
  Row& row = found->second;
  if (!row.job.batch_id.empty()) return fail(ErrorCode::kConflict, "the job belongs to a batch");
  if (!is_final(row.job.state)) {
    end(row, JobState::kCancelled, std::nullopt,
        JobError{"job_cancelled", "The job was cancelled on request.", "job_error", ""});
  }
  for (auto at = answers_.begin(); at != answers_.end();) {
    AnswerRow& answer = at->second;
    if (answer.known == id) answer = AnswerRow{answer.leader, {}, answer.keep_s, -1};
    at = answer.leader.empty() && answer.known.empty() ? answers_.erase(at) : std::next(at);
  }
  row.job.erased = true;
  row.request_json.clear();
  if (row.job.result) {
    row.job.result->text.clear();
    row.job.result->reasoning_content.clear();
    row.job.result->logprobs_json.clear();
  }
  if (LetterRow* letter = last_letter(id); letter != nullptr && letter->letter.state == LetterState::kDead) {
    letter->letter.state = LetterState::kDiscarded;
    letter->letter.handled_us = now_us();
  }
  std::erase_if(keys_, [&id](const ClaimedKey& key) { return key.resource_id == id.value; });
  return row.job;
}

Result<std::int64_t> FakeJobStore::count_queued(const std::string& model, Priority priority,
                                                std::int64_t count_max, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("count_queued")) return fail(fault->code, "fault asked for");
  const auto count = std::count_if(rows_.begin(), rows_.end(), [&](const auto& entry) {
    const Job& job = entry.second.job;
    return job.state == JobState::kQueued && !entry.second.follows && job.model == model &&
           job.priority == priority;
  });
  return std::min<std::int64_t>(count, count_max);
}

std::vector<const FakeJobStore::Row*> FakeJobStore::due_rows(const std::string& model, Priority priority,
                                                             bool published) const {
  std::vector<const Row*> due;
  for (const auto& [id, row] : rows_) {
    if (row.publish_due_us < 0 || row.publish_due_us > now_us()) continue;
    if (row.job.model != model || row.job.priority != priority || is_paused(row.job)) continue;
    if ((row.published_us >= 0) == published) due.push_back(&row);
  }
  std::stable_sort(due.begin(), due.end(),
                   [](const Row* a, const Row* b) { return a->publish_due_us < b->publish_due_us; });
  return due;
}

DueTask FakeJobStore::due_task(const Row& row) const {
  DueTask task;
  task.ref = TaskRef{row.job.id, row.job.generation, row.job.attempt};
  task.tenant = row.job.tenant;
  task.tokens_max = row.tokens_max;
  task.expires_in_ms = (row.job.expires_us - now_us()) / 1000;
  if (row.published_us >= 0) task.published_ms_ago = (now_us() - row.published_us) / 1000;
  return task;
}

Result<DueTenants> FakeJobStore::due_tenants(const std::string& model, Priority priority,
                                             const TenantId& after, int limit, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("due_tenants")) return fail(fault->code, "fault asked for");
  std::set<TenantId> found;
  for (const Row* row : due_rows(model, priority, false)) {
    if (row->job.tenant.value > after.value) found.insert(row->job.tenant);
  }
  DueTenants answer;
  for (const TenantId& tenant : found) {
    if (static_cast<int>(answer.tenants.size()) == limit) {
      answer.next = answer.tenants.back();
      break;
    }
    answer.tenants.push_back(tenant);
  }
  return answer;
}

Result<std::vector<DueTask>> FakeJobStore::due_tasks(const std::string& model, Priority priority,
                                                     std::span<const TenantId> tenants, int limit, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("due_tasks")) return fail(fault->code, "fault asked for");
  std::vector<const Row*> due = due_rows(model, priority, false);
  std::stable_partition(due.begin(), due.end(), [](const Row* row) { return row->job.attempt > 0; });
  std::vector<DueTask> tasks;
  for (const TenantId& tenant : tenants) {
    int count = 0;
    for (const Row* row : due) {
      if (row->job.tenant == tenant && ++count <= limit) tasks.push_back(due_task(*row));
    }
  }
  return tasks;
}

Result<std::vector<DueTask>> FakeJobStore::unstarted_tasks(const std::string& model, Priority priority,
                                                           std::span<const int> shards, int limit, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("unstarted_tasks")) return fail(fault->code, "fault asked for");
  std::vector<DueTask> tasks;
  for (const Row* row : due_rows(model, priority, true)) {
    if (static_cast<int>(tasks.size()) >= limit) break;
    if (std::find(shards.begin(), shards.end(), row->shard) != shards.end()) tasks.push_back(due_task(*row));
  }
  return tasks;
}

Status FakeJobStore::mark_tasks(std::span<const TaskRef> tasks, bool published, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("mark_tasks")) return fail(fault->code, "fault asked for");
  for (const TaskRef& task : tasks) {
    const auto found = rows_.find(task.id.value);
    if (found == rows_.end() || found->second.job.state != JobState::kQueued) continue;
    if (found->second.job.generation != task.generation || found->second.job.attempt != task.attempt)
      continue;
    found->second.publish_due_us = now_us() + us(rules_.republish_after);
    if (published) found->second.published_us = now_us();
  }
  return {};
}

Result<std::vector<ClaimedJob>> FakeJobStore::claim(std::span<const TaskRef> tasks,
                                                    const std::string& worker_id, Deadline) {
  MutexLock lock(mutex_);
  const auto fault = enter("claim");
  if (fault && !fault->applied) return fail(fault->code, "fault asked for");
  std::vector<ClaimedJob> claimed;
  for (const TaskRef& task : tasks) {
    const auto found = rows_.find(task.id.value);
    if (found == rows_.end()) continue;
    Row& row = found->second;
    if (row.job.state != JobState::kQueued || row.job.generation != task.generation ||
        row.job.attempt != task.attempt || row.job.expires_us <= now_us()) {
      continue;
    }
    if (is_paused(row.job)) {
      row.publish_due_us = row.job.created_us;
      row.published_us = -1;
      continue;
    }
    row.job.state = JobState::kRunning;
    ++row.job.attempt;
    row.job.started_us = now_us();
    row.worker_id = worker_id;
    row.publish_due_us = -1;
    row.lease_due_us = now_us() + us(rules_.lease);
    ClaimedJob job;
    job.ref = TaskRef{task.id, task.generation, row.job.attempt};
    job.tenant = row.job.tenant;
    job.model = row.job.model;
    job.priority = row.job.priority;
    job.request_json = row.request_json;
    job.prompt_tokens = row.prompt_tokens;
    job.tokens_max = row.tokens_max;
    job.lapsed_starts = row.lapsed;
    job.queued_ms = (now_us() - row.job.created_us) / 1000;
    claimed.push_back(std::move(job));
  }
  if (fault) return fail(fault->code, "fault asked for");
  return claimed;
}

Result<std::vector<TaskRef>> FakeJobStore::heartbeat(const std::string& worker_id,
                                                     std::span<const TaskRef> held, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("heartbeat")) return fail(fault->code, "fault asked for");
  std::vector<TaskRef> kept;
  for (const TaskRef& task : held) {
    const auto found = rows_.find(task.id.value);
    if (found == rows_.end()) continue;
    Row& row = found->second;
    if (row.job.state != JobState::kRunning || row.worker_id != worker_id) continue;
    row.lease_due_us = now_us() + us(rules_.lease);
    if (row.job.generation == task.generation && row.job.attempt == task.attempt) kept.push_back(task);
  }
  return kept;
}

Result<std::vector<EndingResult>> FakeJobStore::finish(std::span<const Ending> endings, Deadline) {
  MutexLock lock(mutex_);
  const auto fault = enter("finish");
  if (fault && !fault->applied) return fail(fault->code, "fault asked for");
  std::vector<EndingResult> results;
  for (const Ending& ending : endings) {
    EndingResult result;
    const auto found = rows_.find(ending.ref.id.value);
    if (found != rows_.end()) {
      Row& row = found->second;
      const bool ours = row.job.state == JobState::kRunning && row.job.generation == ending.ref.generation &&
                        row.job.attempt == ending.ref.attempt && row.worker_id == ending.worker_id;
      if (ours) {
        bool ended = true;
        if (const auto* succeeded = std::get_if<Succeeded>(&ending.how)) {
          const auto refused = [&](const std::string& text) {
            return succeeded->result.text.find(text) != std::string::npos;
          };
          if (std::any_of(refused_.begin(), refused_.end(), refused)) {
            const JobError refusal{"result_not_storable", "the result was refused by the database",
                                   "server_error", ""};
            note_failed_start(row, refusal);
            write_letter(row, refusal, DeadReason::kFailed);
            end(row, JobState::kFailed, std::nullopt, refusal);
          } else {
            end(row, JobState::kSucceeded, succeeded->result, std::nullopt);
          }
        } else if (const auto* failed = std::get_if<Failed>(&ending.how)) {
          if (failed->permanent) {
            note_failed_start(row, failed->error);
            write_letter(row, failed->error, DeadReason::kFailed);
            end(row, JobState::kFailed, std::nullopt, failed->error);
          } else {
            ended = fail_start(row, failed->error, false);
          }
        } else {
          ++row.forgiven;
          requeue(row, 0);
          ended = false;
        }
        result.outcome = ended ? EndingOutcome::kEnded : EndingOutcome::kRequeued;
        if (ended) result.job = row.job;
        const auto known = answers_.find({row.job.tenant.value, row.answer_key});
        if (row.job.state == JobState::kSucceeded && known != answers_.end() &&
            known->second.known == row.job.id) {
          result.answer_key = row.answer_key;
          result.answer_until_us = known->second.expires_us;
        }
      }
    }
    results.push_back(std::move(result));
  }
  if (fault) return fail(fault->code, "fault asked for");
  return results;
}

Result<int> FakeJobStore::rescue_lapsed(int limit, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("rescue_lapsed")) return fail(fault->code, "fault asked for");
  int handled = 0;
  for (auto& [id, row] : rows_) {
    if (handled == limit) break;
    if (row.lease_due_us < 0 || row.lease_due_us >= now_us()) continue;
    const bool poison = row.lapsed + 1 >= rules_.poison_lapses_max;
    fail_start(row,
               JobError{poison ? "poison" : "worker_lost", "The worker that ran the job stopped answering.",
                        "server_error", ""},
               true);
    ++handled;
  }
  return handled;
}

Result<int> FakeJobStore::expire_due(int limit, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("expire_due")) return fail(fault->code, "fault asked for");
  int handled = 0;
  for (auto& [id, row] : rows_) {
    if (handled == limit) break;
    if (is_final(row.job.state) || row.job.expires_us >= now_us()) continue;
    const JobError error{"job_expired", "The job was not finished before its expires_at.", "job_error", ""};
    if (row.job.generation > 1) write_letter(row, error, DeadReason::kExpired);
    end(row, JobState::kExpired, std::nullopt, error);
    ++handled;
  }
  return handled;
}

Result<std::vector<DueEvent>> FakeJobStore::due_events(std::span<const int> shards, int limit, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("due_events")) return fail(fault->code, "fault asked for");
  std::vector<DueEvent> due;
  for (const EventRow& event : events_) {
    if (static_cast<int>(due.size()) >= limit) break;
    if (event.publish_due_us < 0 || event.publish_due_us > now_us()) continue;
    if (std::find(shards.begin(), shards.end(), event.shard) == shards.end()) continue;
    due.push_back(DueEvent{event.ref, event.publishes});
  }
  return due;
}

Status FakeJobStore::mark_events(std::span<const EventId> events, bool published, Deadline) {
  MutexLock lock(mutex_);
  if (const auto fault = enter("mark_events")) return fail(fault->code, "fault asked for");
  for (EventRow& event : events_) {
    if (event.publish_due_us < 0 || std::find(events.begin(), events.end(), event.ref.id) == events.end())
      continue;
    event.publish_due_us = now_us() + us(rules_.republish_after);
    if (published) ++event.publishes;
  }
  return {};
}

}  // namespace sluice::testing
