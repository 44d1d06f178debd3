// Brings queued jobs to the broker's task queues and keeps those queues short; the backlog stays in the
// database.
//
// Fresh path: a submitter reserves room before its commit and hands the tasks over after it; they are
// published at once. Everything else (no room, retries, redrives, lost messages, a wiped broker) is found by
// the scan of due rows. A row that was published before is published again only if the broker can't have its
// message any more: the queue was empty since, or the last publish is long ago. A message too many is
// harmless, since a start is claimed once.
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
  int depth = 512;  // Messages in a task queue. More keeps workers busier, fewer keeps priorities sharper.
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

  int reserve(const std::string& model, Priority priority, int wanted) override EXCLUDES(mutex_);
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
  ScanEnd scan(TaskQueue& queue, const std::vector<int>& shards);
  bool foreign_backlog(const TaskQueue& queue, const std::vector<int>& shards);
  Sent send(TaskQueue& queue, std::vector<TaskRef> tasks);
  Duration pause(bool progress, bool owner) EXCLUDES(mutex_);
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
  Loop loop_;
};

}  // namespace sluice::producer
