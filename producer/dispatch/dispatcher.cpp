#include "producer/dispatch/dispatcher.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/failpoint.h"
#include "common/rabbitmq/topology.h"
#include "common/store/task_message.h"

namespace sluice::producer {

namespace {

// Of the depth, in quarters: in one turn high takes more than normal, and low is never left out.
constexpr std::array<int, kPriorities> kScanQuarters = {4, 2, 1};

Message task_message(const std::string& queue, const TaskRef& task) {
  Message message;
  message.exchange = kTasksExchange;
  message.routing_key = queue;
  message.body = task_to_json(task);
  message.content_type = kTaskContentType;
  message.message_id = task.id.value;
  message.type = "task";
  return message;
}

}  // namespace

Dispatcher::Dispatcher(JobStore& store, Broker& broker, std::vector<std::string> models, OwnedShards owned,
                       DispatcherConfig config, Clock& clock, Rng& rng, Log log, DispatchMetrics metrics)
    : store_(store),
      broker_(broker),
      owned_(std::move(owned)),
      config_(config),
      clock_(clock),
      log_(std::move(log)),
      metrics_(std::move(metrics)),
      backoff_(config.down, rng),
      loop_("dispatcher", clock, [this] { return run_once(); }) {
  // High before normal before low, whatever the model.
  for (int p = 0; p < kPriorities; ++p) {
    for (const std::string& model : models) {
      TaskQueue queue;
      queue.model = model;
      queue.priority = static_cast<Priority>(p);
      queue.name = task_queue_name(model, queue.priority);
      queue.scan_max = std::max(1, config_.depth * kScanQuarters[static_cast<std::size_t>(p)] / 4);
      queue.depth_max = config_.depth;
      queue.depth_min = queue.depth = std::min(config_.depth, config_.depth_min);
      queue.fair = FairShare(config_.share_tokens);
      queues_.push_back(std::move(queue));
    }
  }
}

Dispatcher::~Dispatcher() {
  stop();
}

TaskQueue* Dispatcher::find(const std::string& model, Priority priority) {
  for (TaskQueue& queue : queues_) {
    if (queue.priority == priority && queue.model == model) return &queue;
  }
  return nullptr;
}

bool Dispatcher::owns(const TenantId& tenant) const {
  return std::find(owned_now_.begin(), owned_now_.end(), shard_of_tenant(tenant)) != owned_now_.end();
}

int Dispatcher::reserve(const std::string& model, Priority priority, const TenantId& tenant,
                        const std::vector<std::int64_t>& tokens) {
  const bool up = broker_.ready();
  MutexLock lock(mutex_);
  TaskQueue* queue = find(model, priority);
  if (queue == nullptr) return 0;
  auto room = static_cast<std::size_t>(up && !queue->foreign ? queue->room() : 0);
  // Many jobs take long to commit, and whoever comes meanwhile needs room as well.
  if (tokens.size() > room) room = (room + 1) / 2;
  const auto asked = static_cast<std::ptrdiff_t>(std::min(room, tokens.size()));
  const std::size_t granted = queue->fair.pass(tenant, {tokens.begin(), tokens.begin() + asked});
  queue->reserved += static_cast<std::int64_t>(granted);
  if (granted < tokens.size()) {
    if (owns(tenant)) {
      queue->fair.wait(tenant);
    } else {
      queue->foreign = true;
      ++queue->foreign_misses;
    }
  }
  return static_cast<int>(granted);
}

void Dispatcher::release(const std::string& model, Priority priority, int count) {
  MutexLock lock(mutex_);
  if (TaskQueue* queue = find(model, priority)) queue->reserved -= count;
}

void Dispatcher::publish(const std::string& model, Priority priority, std::vector<TaskRef> tasks) {
  {
    MutexLock lock(mutex_);
    TaskQueue* queue = find(model, priority);
    if (queue == nullptr) return;
    const SteadyTime now = clock_.steady_now();
    for (TaskRef& task : tasks) queue->fresh.push_back({std::move(task), now});
  }
  loop_.wake();
}

void Dispatcher::wake() {
  {
    MutexLock lock(mutex_);
    scan_soon_ = true;
  }
  loop_.wake();
}

void Dispatcher::start() {
  loop_.start();
}

void Dispatcher::stop() {
  loop_.stop();
  if (broker_.ready()) publish_fresh();
}

Duration Dispatcher::run_once() {
  if (!broker_.ready()) {
    // Nothing known about the queues holds any more. What is committed meanwhile waits in the database.
    MutexLock lock(mutex_);
    for (TaskQueue& queue : queues_) queue.ready = -1;
  }
  bool failed = !publish_fresh();
  if (!broker_.ready()) return backoff_.next();

  bool soon = false;
  {
    MutexLock lock(mutex_);
    soon = std::exchange(scan_soon_, false);
  }
  const std::vector<int> shards = owned_();
  {
    MutexLock lock(mutex_);
    owned_now_ = shards;
  }
  bool progress = false;
  for (TaskQueue& queue : queues_) {
    const bool scan_due = soon || clock_.steady_now() >= queue.scan_at;
    bool look = scan_due;
    bool waiting = false;
    {
      MutexLock lock(mutex_);
      waiting = queue.fair.waiting() > 0;
      look = look || waiting || queue.ready < 0 || queue.published > 0;
    }
    if (!look) continue;
    if (!measure(queue)) {
      failed = true;
      continue;
    }
    bool room = false;
    {
      MutexLock lock(mutex_);
      room = queue.room() > 0;
    }
    if (scan_due || (waiting && room)) {
      const ScanEnd end = scan(queue, shards, scan_due);
      failed = failed || end == ScanEnd::kFailed;
      progress = progress || end == ScanEnd::kProgress;
    }
    show(queue);
  }
  if (failed) return backoff_.next();
  backoff_.reset();
  return pause(progress);
}

Duration Dispatcher::pause(bool progress) {
  MutexLock lock(mutex_);
  const SteadyTime now = clock_.steady_now();
  SteadyTime next = now + config_.scan_every;
  for (const TaskQueue& queue : queues_) {
    if (!queue.fresh.empty()) return Duration::zero();
    if (queue.fair.waiting() > 0) {
      if (progress && queue.room() > 0) return Duration::zero();
      next = std::min(next, now + config_.full_poll);
    }
    next = std::min(next, queue.scan_at);
  }
  return std::max(next - now, Duration::zero());
}

bool Dispatcher::publish_fresh() {
  struct Taken {
    TaskQueue* queue;
    std::vector<FreshTask> tasks;
  };
  std::vector<Taken> taken;
  std::vector<Message> messages;
  {
    MutexLock lock(mutex_);
    for (TaskQueue& queue : queues_) {
      if (!queue.fresh.empty()) taken.push_back({&queue, std::exchange(queue.fresh, {})});
    }
  }
  if (taken.empty()) return true;
  if (!broker_.ready()) {
    for (Taken& part : taken) put_back(*part.queue, std::move(part.tasks));
    return false;
  }
  for (const Taken& part : taken) {
    for (const FreshTask& task : part.tasks) messages.push_back(task_message(part.queue->name, task.ref));
  }
  SLUICE_FAILPOINT("dispatcher.before_fresh_publish");
  const std::vector<Status> answers =
      broker_.publish_all(std::move(messages), Deadline::in(clock_, config_.publish_timeout));
  SLUICE_FAILPOINT("dispatcher.after_fresh_publish");
  bool all_sent = true;
  std::size_t at = 0;
  for (Taken& part : taken) {
    std::vector<FreshTask> left;
    std::int64_t settled = 0;
    std::int64_t confirmed = 0;
    for (FreshTask& task : part.tasks) {
      const Status& answer = answers[at++];
      switch (publish_outcome(answer)) {
        case PublishOutcome::kConfirmed:
          ++confirmed;
          ++settled;
          continue;
        case PublishOutcome::kUnknown:
          ++settled;  // The scan looks at it when its row is due again.
          break;
        case PublishOutcome::kNoRoute:
          part.queue->declared = false;
          left.push_back(std::move(task));
          break;
        case PublishOutcome::kNotSent:
          left.push_back(std::move(task));
          break;
      }
      all_sent = false;
      count_failure(answer);
    }
    metrics_.published.with({"fresh", priority_name(part.queue->priority)})
        .add(static_cast<double>(confirmed));
    {
      MutexLock lock(mutex_);
      part.queue->published += confirmed;
      part.queue->reserved -= settled;
    }
    if (!left.empty()) put_back(*part.queue, std::move(left));
  }
  return all_sent;
}

void Dispatcher::put_back(TaskQueue& queue, std::vector<FreshTask> left) {
  const SteadyTime oldest = clock_.steady_now() - config_.fresh_retry;
  const auto too_old = std::stable_partition(left.begin(), left.end(),
                                             [&](const FreshTask& task) { return task.since > oldest; });
  const auto dropped = left.end() - too_old;
  left.erase(too_old, left.end());
  MutexLock lock(mutex_);
  queue.reserved -= dropped;
  queue.fresh.insert(queue.fresh.begin(), std::make_move_iterator(left.begin()),
                     std::make_move_iterator(left.end()));
}

bool Dispatcher::declare(TaskQueue& queue) {
  const Status declared = broker_.declare_task_queue(queue.model, queue.priority, call_deadline());
  queue.declared = declared.has_value();
  if (!declared) {
    log_.warn_limited("queue_not_declared", {{"queue", queue.name}, {"error", declared.error().message}});
  }
  return queue.declared;
}

bool Dispatcher::measure(TaskQueue& queue) {
  auto depth = Result<QueueDepth>(fail(ErrorCode::kUnavailable, "not declared"));
  if (queue.declared || declare(queue)) {
    depth = broker_.depth(queue.name, call_deadline());
    // Deleted, or the broker was wiped.
    if (!depth && depth.error().code == ErrorCode::kNotFound && declare(queue)) {
      depth = broker_.depth(queue.name, call_deadline());
    }
  }
  MutexLock lock(mutex_);
  if (!depth) {
    queue.ready = -1;
    log_.warn_limited("queue_not_measured", {{"queue", queue.name}, {"error", depth.error().message}});
    return false;
  }
  queue.measured(static_cast<std::int64_t>(depth->ready));
  if (queue.ready == 0) queue.empty_at = clock_.steady_now();
  return true;
}

Dispatcher::Sent Dispatcher::send(TaskQueue& queue, std::vector<TaskRef> tasks) {
  Sent sent;
  for (int round = 0; round < 2 && !tasks.empty(); ++round) {
    std::vector<Message> messages;
    messages.reserve(tasks.size());
    for (const TaskRef& task : tasks) messages.push_back(task_message(queue.name, task));
    const std::vector<Status> answers =
        broker_.publish_all(std::move(messages), Deadline::in(clock_, config_.publish_timeout));
    std::vector<TaskRef> no_route;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      switch (publish_outcome(answers[i])) {
        case PublishOutcome::kConfirmed:
          sent.confirmed.push_back(std::move(tasks[i]));
          continue;
        case PublishOutcome::kNoRoute:
          no_route.push_back(std::move(tasks[i]));
          break;
        case PublishOutcome::kNotSent:
          sent.not_sent.push_back(std::move(tasks[i]));
          break;
        case PublishOutcome::kUnknown:
          sent.unknown.push_back(std::move(tasks[i]));
          break;
      }
      count_failure(answers[i]);
    }
    tasks = std::move(no_route);
    if (!tasks.empty() && !declare(queue)) break;
  }
  std::move(tasks.begin(), tasks.end(), std::back_inserter(sent.not_sent));
  if (!sent.confirmed.empty()) SLUICE_FAILPOINT("dispatcher.after_publish");
  MutexLock lock(mutex_);
  queue.published += static_cast<std::int64_t>(sent.confirmed.size());
  return sent;
}

void Dispatcher::count_failure(const Status& answer) {
  metrics_.failed.with({error_code_name(answer.error().code)}).add();
  log_.warn_limited("task_not_published",
                    {{"code", error_code_name(answer.error().code)}, {"error", answer.error().message}});
}

void Dispatcher::show(const TaskQueue& queue) {
  MutexLock lock(mutex_);
  const std::string_view priority = priority_name(queue.priority);
  metrics_.queue_ready.with({queue.model, priority}).set(static_cast<double>(queue.ready));
  metrics_.backlog.with({queue.model, priority}).set(queue.backlog() ? 1 : 0);
  metrics_.tenants_waiting.with({queue.model, priority}).set(static_cast<double>(queue.fair.waiting()));
}

}  // namespace sluice::producer
