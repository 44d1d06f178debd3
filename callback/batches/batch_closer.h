// Makes the files of batches whose lines have all ended, and closes them: every line stands in exactly one of
// the two files, in the order in which lines ended. Built from the database alone.
//
// Several processes may do it at once: a batch is closed by whoever holds its claim. Runs on the loop's own
// thread. The stores and the clock must outlive it.
#pragma once

#include <atomic>
#include <chrono>

#include "callback/metrics/callback_metrics.h"
#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/log/log.h"
#include "common/store/batch_closing.h"
#include "common/store/batch_store.h"
#include "common/store/file_store.h"

namespace sluice::callback {

struct BatchCloserConfig {
  std::chrono::milliseconds look_every{250};
  std::chrono::milliseconds retry_after{1'000};  // After a failure.
  // A lost closer's batch is closed by another after this. Kept up with each line.
  std::chrono::milliseconds hold{30'000};
  std::chrono::milliseconds call_timeout{10'000};
  int page_lines = 200;  // Read and written in one go.
};

class BatchCloser {
 public:
  BatchCloser(BatchStore& batches, BatchClosing& closing, FileStore& files, BatchCloserConfig config,
              Clock& clock, Log log, BatchMetrics metrics);

  void start() { loop_.start(); }
  // What is under way is left: its claim lapses, and it is begun anew.
  void stop();
  // One turn of the loop; for tests.
  Duration run_once();

 private:
  struct Files;
  Result<BatchStatus> close(const ClosingBatch& claimed);
  Status write_lines(const ClosingBatch& claimed, Files& files);
  // Keeps the claim, now and then.
  Status keep(const ClosingBatch& claimed, Files& files);
  Status write_line(const ClosingBatch& claimed, const EndedLine& line, Files& files);
  void abandon(const ClosingBatch& claimed, const FileId& output, const FileId& errors);
  NewFile new_file(const ClosingBatch& claimed, const FileId& id, bool output) const;
  Deadline call_deadline() const { return Deadline::in(clock_, config_.call_timeout); }

  BatchStore& batches_;
  BatchClosing& closing_;
  FileStore& files_;
  const BatchCloserConfig config_;
  Clock& clock_;
  const Log log_;
  const BatchMetrics metrics_;
  std::atomic<bool> stopping_{false};
  Loop loop_;
};

}  // namespace sluice::callback
