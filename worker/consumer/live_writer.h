// Tells what running jobs say, for whoever reads along: those that asked for it from the start, and those
// that somebody watches by now, which are then told from their beginning.
//
// The engine's thread leaves its text here and goes on; a thread of the writer's own puts what is new of all
// jobs into the sink, together. While the sink fails nothing is lost and nothing grows: the text so far is
// kept once for each running job, which the engine bounds, and is told as a whole when the sink is back.
//
// Safe for concurrent use. Everything given to the constructor must outlive it. start/stop as of Loop.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/mutex.h"
#include "common/log/log.h"
#include "common/store/job_store.h"
#include "worker/batcher/work.h"
#include "worker/consumer/live_sink.h"
#include "worker/consumer/metrics.h"

namespace sluice::worker {

struct LiveConfig {
  std::chrono::milliseconds write_every{25};  // Longer: fewer and larger pieces.
  std::chrono::milliseconds look_every{250};  // For new watchers.
  std::chrono::milliseconds sink_timeout{500};
  // After so many pieces the text is told as a whole again, so that what is kept of it stays bounded.
  int pieces_max = 256;
  // An answer that grows beyond this is not told any further; it comes whole with its end.
  std::size_t text_bytes_max = 1U << 20;
};

class LiveWriter {
 public:
  LiveWriter(LiveConfig config, LiveSink& sink, Clock& clock, Log log, WorkerMetrics metrics);
  void start() { loop_.start(); }
  void stop() { loop_.stop(); }

  // A start was claimed and will say something under `key`. `from_start`: no need to ask whether anybody
  // watches.
  void begin(const std::string& key, const TaskRef& start, bool from_start) EXCLUDES(mutex_);
  // The engine's thread; returns at once. Unknown keys are ignored.
  void add(const std::vector<Progress>& progress) EXCLUDES(mutex_);
  // What was not told yet is not told any more: it comes with the end.
  void end(const std::string& key) EXCLUDES(mutex_);

  // One round of the loop. Returns the longest pause until the next.
  Duration run_once();

 private:
  struct Start {
    TaskRef ref;
    bool told = false;  // Somebody reads along.
    std::string text;
    std::string reasoning;
    std::size_t tokens = 0;
    // Up to where it was put.
    std::size_t text_put = 0;
    std::size_t reasoning_put = 0;
    bool begin_put = false;
    bool afresh = true;  // Put the whole next time.
    bool too_long = false;
    int pieces = 0;
    bool has_news() const { return !begin_put || text.size() > text_put || reasoning.size() > reasoning_put; }
  };
  struct Batch {
    std::vector<std::string> keys;
    std::vector<LiveSink::Write> writes;
  };

  void look_for_watchers();
  Batch collect() EXCLUDES(mutex_);
  void put(const Batch& batch);

  const LiveConfig config_;
  LiveSink& sink_;
  Clock& clock_;
  const Log log_;
  const WorkerMetrics metrics_;

  Mutex mutex_;
  std::map<std::string, Start> starts_ GUARDED_BY(mutex_);
  std::size_t told_ GUARDED_BY(mutex_) = 0;  // How many of them.
  SteadyTime look_at_{};                     // The loop's own.
  Loop loop_;
};

}  // namespace sluice::worker
