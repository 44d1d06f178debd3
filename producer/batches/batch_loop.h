// Moves batches on: checks their files, makes the lines into jobs, carries out cancellations and retries. A
// few batches have their turn at a time, one bounded step each, so that a large one doesn't keep the others
// waiting.
//
// Each step is one transaction that carries the batch's progress: after any interruption, or with two loops
// at work on one batch, the next step goes on where the last one stood. What a check of a file has found is
// kept in memory only; a lost one begins anew. Runs on the loop's own thread; wake() is safe from any. All
// parts must outlive it.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/log/log.h"
#include "common/store/batch_work.h"
#include "common/store/file_store.h"
#include "producer/batches/input_check.h"
#include "producer/metrics/producer_metrics.h"

namespace sluice::producer {

struct BatchLoopConfig {
  std::chrono::milliseconds look_every{200};
  std::chrono::milliseconds retry_after{1'000};  // After a failure; the batch that failed waits as long.
  std::chrono::milliseconds call_timeout{10'000};
  int checks_max = 8;  // Files that are checked in turns, one of a tenant: each costs a few megabytes.
  int batches_max = 8;
  // One step of a check, and of making lines into jobs.
  int step_lines = 500;
  std::uint64_t step_bytes = 1 << 20;
};

class BatchLoop {
 public:
  struct Parts {
    BatchWork& work;
    FileStore& files;  // Reads files that were removed, too: FileRules::reads_removed.
    const ModelCatalog& models;
    IdMaker& ids;
    Clock& clock;
    std::function<std::vector<int>()> owned;  // Shards.
    std::function<void()> on_lines;           // Jobs were queued: the dispatcher may look.
  };
  BatchLoop(Parts parts, BatchLoopConfig config, Log log, LoopMetrics metrics);
  ~BatchLoop();

  void start() { loop_.start(); }
  void stop();
  void wake() { loop_.wake(); }
  // One turn of the loop; for tests.
  Duration run_once();

 private:
  struct Check;
  struct Reader;
  // True: it went on, and may go on at once.
  Result<bool> step(const FileBatch& batch);
  Result<bool> check_some(const FileBatch& batch);
  Result<bool> end_check(const FileBatch& batch, Check& check);
  // Writes all that is wrong with the file; nothing: the batch itself can tell.
  Result<std::optional<WrittenFile>> write_report(const FileBatch& batch, const InputCheck& input);
  Result<bool> cancel_some(const FileBatch& batch);
  Result<bool> insert_some(const FileBatch& batch);
  Result<std::vector<NewLine>> read_lines(const FileBatch& batch, Reader& reader);
  NewLine make_line(const FileBatch& batch, std::int64_t line_no, std::string_view text);
  bool turn(const std::vector<FileBatch>& due);
  Deadline call_deadline() const { return Deadline::in(parts_.clock, config_.call_timeout); }

  const Parts parts_;
  const BatchLoopConfig config_;
  const Log log_;
  const LoopMetrics metrics_;
  std::map<std::string, std::unique_ptr<Check>> checks_;    // By batch.
  std::map<std::string, std::unique_ptr<Reader>> readers_;  // By batch.
  std::map<std::string, JobId> cancelled_to_;               // By batch; lost ones only cost another look.
  std::atomic<bool> stopping_{false};
  Loop loop_;
};

}  // namespace sluice::producer
