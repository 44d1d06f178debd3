// Takes away the chunks of files that nobody can see any more, of the shards that this producer owns.
//
// Several producers may do it at once: every step is conditional. Runs on the loop's own thread. Store and
// clock must outlive it.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/log/log.h"
#include "common/store/file_store.h"
#include "producer/metrics/producer_metrics.h"

namespace sluice::producer {

struct FileSweeperConfig {
  std::chrono::milliseconds look_every{30'000};
  std::chrono::milliseconds more_after{100};  // Between two steps while something is left: others write, too.
  std::chrono::milliseconds retry_after{5'000};
  std::chrono::milliseconds call_timeout{30'000};
};

class FileSweeper {
 public:
  using OwnedShards = std::function<std::vector<int>()>;
  FileSweeper(FileStore& files, OwnedShards owned, FileSweeperConfig config, Clock& clock, Log log,
              FileMetrics files_metrics, LoopMetrics loop_metrics);

  void start() { loop_.start(); }
  void stop() { loop_.stop(); }
  // One turn of the loop; for tests.
  Duration run_once();

 private:
  FileStore& files_;
  const OwnedShards owned_;
  const FileSweeperConfig config_;
  Clock& clock_;
  const Log log_;
  const FileMetrics metrics_;
  const LoopMetrics loop_metrics_;
  Loop loop_;
};

}  // namespace sluice::producer
