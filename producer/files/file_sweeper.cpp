#include "producer/files/file_sweeper.h"

#include <utility>

namespace sluice::producer {

FileSweeper::FileSweeper(FileStore& files, OwnedShards owned, FileSweeperConfig config, Clock& clock, Log log,
                         FileMetrics files_metrics, LoopMetrics loop_metrics)
    : files_(files),
      owned_(std::move(owned)),
      config_(config),
      clock_(clock),
      log_(std::move(log)),
      metrics_(std::move(files_metrics)),
      loop_metrics_(std::move(loop_metrics)),
      loop_("file-sweeper", clock, [this] { return run_once(); }) {}

Duration FileSweeper::run_once() {
  // None are owned at the very start: look again soon.
  const std::vector<int> shards = owned_();
  if (shards.empty()) return std::min(config_.look_every, config_.retry_after);
  const auto done = files_.sweep(shards, Deadline::in(clock_, config_.call_timeout));
  if (!done) {
    loop_metrics_.loop_failures.with({"file_sweeper"}).add();
    log_.warn_limited("file_sweep_failed",
                      {{"code", error_code_name(done.error().code)}, {"error", done.error().message}});
    return config_.retry_after;
  }
  metrics_.lapsed.with({"unfinished"}).add(done->unfinished);
  metrics_.lapsed.with({"expired"}).add(done->expired);
  metrics_.swept.add(done->files);
  metrics_.chunks_swept.add(done->chunks);
  if (done->files > 0 || done->chunks > 0) {
    log_.info("files_swept", {{"files", done->files},
                              {"chunks", done->chunks},
                              {"expired", done->expired},
                              {"unfinished", done->unfinished}});
  }
  return done->more ? config_.more_after : config_.look_every;
}

}  // namespace sluice::producer
