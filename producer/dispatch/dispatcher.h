// Brings queued jobs to the broker's task queues and keeps those queues short; the backlog stays in the
// database.
//
// Fresh path: a submitter reserves room before its commit and hands the tasks over after it; they are
// published at once. Everything else (no room, retries, redrives) is found by the scan of due rows, which
// gives the tenants their turns (fair_share.h). Rows that were published and not started come back to it; one
// is published again only if the broker can't have its message any more: the queue was empty since, or the
// last publish is long ago. A message too many is harmless, since a start is claimed once.
//
// FreshPublisher is safe for concurrent use and never blocks on I/O. All else runs on the loop's thread.
// Store, broker and clock must outlive it.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/mutex.h"
#include "common/base/rng.h"
#include "common/log/log.h"
#include "common/store/job_store.h"
#include "producer/dispatch/broker.h"
#include "producer/dispatch/task_queue.h"
#include "producer/metrics/producer_metrics.h"
#include "producer/submit/fresh_publisher.h"

namespace sluice::producer {

struct DispatcherConfig {
  // Messages in a task queue, at most: as many as workers need that never wait for the next scan. What is in
  // the queue can't be overtaken, so it holds no more than depth_min while that is enough for them.
  int depth = 512;
  int depth_min = 64;
  std::int64_t share_tokens = 1024;  // What one turn gives a tenant. Fewer mix tenants more finely.
  std::chrono::milliseconds scan_every{100};
  std::chrono::milliseconds full_poll{10};  // How soon a full queue is measured again while jobs wait.
  // After this a published row is taken for lost whatever the queue holds.
  std::chrono::milliseconds lost_after{60'000};
  // What could not be sent for this long is left to the scan; the store's republish_after.
  std::chrono::milliseconds fresh_retry{5'000};
  std::chrono::milliseconds publish_timeout{10'000};
  std::chrono::milliseconds call_timeout{5'000};
  BackoffConfig down{std::chrono::milliseconds(100), std::chrono::seconds(2), 0.2};
};

class Dispatcher final : public FreshPublisher {
 public:
  using OwnedShards = std::function<std::vector<int>()>;

  Dispatcher(JobStore& store, Broker& broker, std::vector<std::string> models, OwnedShards owned,
             DispatcherConfig config, Clock& clock, Rng& rng, Log log, DispatchMetrics metrics);
  ~Dispatcher() override;

  int reserve(const std::string& model, Priority priority, const TenantId& tenant,
              const std::vector<std::int64_t>& tokens) override EXCLUDES(mutex_);
  void release(const std::string& model, Priority priority, int count) override EXCLUDES(mutex_);
  void publish(const std::string& model, Priority priority, std::vector<TaskRef> tasks) override
      EXCLUDES(mutex_);
  void wake() override EXCLUDES(mutex_);

  void start();
  // Ends the loop after one last try to publish what was handed over. May be called twice.
  void stop();

  // One turn of the loop: what to wait until the next. For tests.
  Duration run_once();

 private:
  struct Sent {
    std::vector<TaskRef> confirmed;
    std::vector<TaskRef> unknown;
    std::vector<TaskRef> not_sent;
  };

  TaskQueue* find(const std::string& model, Priority priority) REQUIRES(mutex_);
  // False: not all could be published; try again after a pause.
  bool publish_fresh();
  void put_back(TaskQueue& queue, std::vector<FreshTask> left) EXCLUDES(mutex_);
  bool measure(TaskQueue& queue);
  bool declare(TaskQueue& queue);
  enum class ScanEnd { kFailed, kIdle, kProgress };
  // `look`: also for tenants that came to wait, and for what was published and not started.
  ScanEnd scan(TaskQueue& queue, const std::vector<int>& shards, bool look) EXCLUDES(mutex_);
  ScanEnd repeat_unstarted(TaskQueue& queue, const std::vector<int>& shards, std::int64_t& room)
      EXCLUDES(mutex_);
  bool find_waiting(TaskQueue& queue) EXCLUDES(mutex_);
  ScanEnd fill(TaskQueue& queue, std::int64_t room) EXCLUDES(mutex_);
  std::vector<TenantId> whose_turn(TaskQueue& queue, std::size_t count) EXCLUDES(mutex_);
  bool mark(const TaskQueue& queue, const std::vector<TaskRef>& tasks, bool published);
  bool owns(const TenantId& tenant) const REQUIRES(mutex_);
  Sent send(TaskQueue& queue, std::vector<TaskRef> tasks);
  Duration pause(bool progress) EXCLUDES(mutex_);
  void count_failure(const Status& answer);
  void show(const TaskQueue& queue) EXCLUDES(mutex_);
  // Whether the message that was published so long ago can't be in the queue any more.
  bool is_lost(const TaskQueue& queue, std::int64_t published_ms_ago) const;
  Deadline call_deadline() const { return Deadline::in(clock_, config_.call_timeout); }

  JobStore& store_;
  Broker& broker_;
  const OwnedShards owned_;
  const DispatcherConfig config_;
  Clock& clock_;
  const Log log_;
  const DispatchMetrics metrics_;
  Backoff backoff_;

  Mutex mutex_;
  // Fixed after construction. Counters of its elements are guarded by mutex_; times are the loop's own.
  std::vector<TaskQueue> queues_;
  bool scan_soon_ GUARDED_BY(mutex_) = false;
  std::vector<int> owned_now_ GUARDED_BY(mutex_);
  Loop loop_;
};

}  // namespace sluice::producer
