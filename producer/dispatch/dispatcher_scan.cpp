// The dispatcher's look at the database: what waits, and whose turn it is.
#include <algorithm>
#include <map>
#include <utility>

#include "producer/dispatch/dispatcher.h"

namespace sluice::producer {

namespace {

using std::chrono::milliseconds;

// A row says when it was published as of its commit or mark; its message may be this much younger.
constexpr milliseconds kPublishLag{1'000};
constexpr int kUnstartedMax = 256;  // Of those published and not started, in one look.
constexpr int kTenantsLook = 256;   // Tenants that one look goes past.
// One statement reads the next jobs of so many tenants, at least so many of each: among these the urgent
// ones go first.
constexpr std::size_t kTenantsMax = 16;
constexpr int kTasksMin = 16;
constexpr int kRounds = 8;
constexpr std::int64_t kUrgentMs = 60'000;  // To a job's expiry.
constexpr std::chrono::seconds kBarren{1};

// In order; among a tenant's first jobs those that would soon be too late go before the others.
std::map<TenantId, TenantTasks> by_tenant(const std::vector<TenantId>& asked, std::vector<DueTask> due,
                                          int limit) {
  std::map<TenantId, TenantTasks> tasks;
  for (const TenantId& tenant : asked) tasks[tenant];
  std::map<TenantId, int> counts;
  std::stable_sort(due.begin(), due.end(), [](const DueTask& a, const DueTask& b) {
    return std::min(a.expires_in_ms, kUrgentMs) < std::min(b.expires_in_ms, kUrgentMs);
  });
  for (DueTask& task : due) {
    TenantTasks& own = tasks[task.tenant];
    own.more = ++counts[task.tenant] >= limit;
    // One that is over is about to be ended as expired.
    if (task.expires_in_ms > 0) own.tasks.push_back(std::move(task));
  }
  return tasks;
}

}  // namespace

bool Dispatcher::is_lost(const TaskQueue& queue, std::int64_t published_ms_ago) const {
  if (published_ms_ago >= config_.lost_after.count()) return true;
  if (!queue.empty_at) return false;
  const Duration empty_ago = clock_.steady_now() - *queue.empty_at;
  return milliseconds(published_ms_ago) >= empty_ago + kPublishLag;
}

Dispatcher::ScanEnd Dispatcher::scan(TaskQueue& queue, const std::vector<int>& shards, bool look) {
  std::int64_t room = 0;
  {
    MutexLock lock(mutex_);
    room = std::min<std::int64_t>(queue.room(), queue.scan_max);
  }
  ScanEnd end = ScanEnd::kIdle;
  queue.found.clear();
  if (look) {
    queue.scan_at = clock_.steady_now() + config_.scan_every;
    end = repeat_unstarted(queue, shards, room);
    if (end == ScanEnd::kFailed || !find_waiting(queue)) return ScanEnd::kFailed;
  }
  const ScanEnd filled = fill(queue, room);
  return filled == ScanEnd::kIdle ? end : filled;
}

// Publishes what was lost, and puts off what is still on its way.
Dispatcher::ScanEnd Dispatcher::repeat_unstarted(TaskQueue& queue, const std::vector<int>& shards,
                                                 std::int64_t& room) {
  auto due = store_.unstarted_tasks(queue.model, queue.priority, shards, kUnstartedMax, call_deadline());
  if (!due) {
    log_.warn_limited("unstarted_tasks_failed", {{"queue", queue.name}, {"error", due.error().message}});
    return ScanEnd::kFailed;
  }
  std::vector<TaskRef> lost;
  std::vector<TaskRef> later;
  for (DueTask& task : *due) {
    if (!is_lost(queue, task.published_ms_ago)) {
      later.push_back(std::move(task.ref));
    } else if (static_cast<std::int64_t>(lost.size()) < room) {
      lost.push_back(std::move(task.ref));
    }
  }
  if (lost.empty() && later.empty()) return ScanEnd::kIdle;
  metrics_.deferred.add(static_cast<double>(later.size()));
  room -= static_cast<std::int64_t>(lost.size());
  const Sent sent = send(queue, std::move(lost));
  metrics_.published.with({"republish", priority_name(queue.priority)})
      .add(static_cast<double>(sent.confirmed.size()));
  later.insert(later.end(), sent.unknown.begin(), sent.unknown.end());
  const bool marked = mark(queue, sent.confirmed, true) && mark(queue, later, false);
  return marked && sent.not_sent.empty() ? ScanEnd::kProgress : ScanEnd::kFailed;
}

bool Dispatcher::mark(const TaskQueue& queue, const std::vector<TaskRef>& tasks, bool published) {
  if (tasks.empty()) return true;
  const Status marked = store_.mark_tasks(tasks, published, call_deadline());
  if (marked) return true;
  // Their rows are still due: at worst they are published twice.
  log_.warn_limited("mark_tasks_failed", {{"queue", queue.name}, {"error", marked.error().message}});
  return false;
}

// One step around the circle of all tenants; mostly it is one step for all of them.
bool Dispatcher::find_waiting(TaskQueue& queue) {
  if (queue.look_after.empty()) {
    queue.foreign_seen = false;
    MutexLock lock(mutex_);
    queue.foreign_misses_before = queue.foreign_misses;
  }
  const auto due =
      store_.due_tenants(queue.model, queue.priority, queue.look_after, kTenantsLook, call_deadline());
  if (!due) {
    log_.warn_limited("due_tenants_failed", {{"queue", queue.name}, {"error", due.error().message}});
    return false;
  }
  queue.look_after = due->next.value_or(TenantId{});
  const SteadyTime now = clock_.steady_now();
  std::erase_if(queue.barren_until, [now](const auto& entry) { return entry.second <= now; });
  if (due->next) queue.scan_at = clock_.steady_now();
  MutexLock lock(mutex_);
  for (const TenantId& tenant : due->tenants) {
    if (queue.barren_until.contains(tenant)) continue;
    if (owns(tenant)) {
      queue.fair.wait(tenant);
      queue.found.insert(tenant);
    } else {
      queue.foreign_seen = true;
    }
  }
  queue.foreign =
      queue.foreign_seen ||
      (queue.foreign && (due->next.has_value() || queue.foreign_misses != queue.foreign_misses_before));
  return true;
}

std::vector<TenantId> Dispatcher::whose_turn(TaskQueue& queue, std::size_t count) {
  MutexLock lock(mutex_);
  std::vector<TenantId> tenants;
  for (TenantId& tenant : queue.fair.upcoming(count)) {
    if (owns(tenant)) {
      tenants.push_back(std::move(tenant));
    } else {
      // Its shard went to another producer.
      queue.fair.rest(tenant);
      queue.foreign = true;
    }
  }
  return tenants;
}

Dispatcher::ScanEnd Dispatcher::fill(TaskQueue& queue, std::int64_t room) {
  ScanEnd end = ScanEnd::kIdle;
  for (int round = 0; round < kRounds && room > 0; ++round) {
    const auto tenants = whose_turn(queue, std::min(static_cast<std::size_t>(room), kTenantsMax));
    if (tenants.empty()) break;
    const int limit = std::max(kTasksMin, static_cast<int>(room) / static_cast<int>(tenants.size()) + 1);
    auto due = store_.due_tasks(queue.model, queue.priority, tenants, limit, call_deadline());
    if (!due) {
      log_.warn_limited("due_tasks_failed", {{"queue", queue.name}, {"error", due.error().message}});
      return ScanEnd::kFailed;
    }
    auto tasks = by_tenant(tenants, std::move(*due), limit);
    std::vector<TaskRef> sending;
    bool rested = false;
    {
      MutexLock lock(mutex_);
      for (const auto& [tenant, own] : tasks) {
        if (!own.tasks.empty() || own.more) continue;
        queue.fair.rest(tenant);
        rested = true;
        if (queue.found.contains(tenant)) queue.barren_until[tenant] = clock_.steady_now() + kBarren;
      }
      for (DueTask& task : queue.fair.take(tasks, static_cast<std::size_t>(room))) {
        sending.push_back(std::move(task.ref));
      }
    }
    if (sending.empty() && !rested) break;
    room -= static_cast<std::int64_t>(sending.size());
    const Sent sent = send(queue, std::move(sending));
    metrics_.published.with({"scan", priority_name(queue.priority)})
        .add(static_cast<double>(sent.confirmed.size()));
    if (!sent.confirmed.empty()) end = ScanEnd::kProgress;
    if (!mark(queue, sent.confirmed, true) || !mark(queue, sent.unknown, false)) return ScanEnd::kFailed;
    if (!sent.not_sent.empty()) {
      MutexLock lock(mutex_);
      for (const auto& [tenant, own] : tasks) queue.fair.wait(tenant);
      return ScanEnd::kFailed;
    }
  }
  return end;
}

}  // namespace sluice::producer
