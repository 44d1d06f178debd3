#include "callback/batches/batch_closer.h"

#include <optional>
#include <utility>

#include "common/base/failpoint.h"
#include "common/openai/batch_line.h"
#include "common/store/file_writer.h"

namespace sluice::callback {

namespace {

constexpr const char* kPurpose = "batch_output";

std::optional<WrittenFile> written(const std::optional<FileWriter>& writer) {
  if (!writer) return std::nullopt;
  return WrittenFile{writer->file(), writer->bytes()};
}

}  // namespace

// A file is begun with its first line: one that has none does not exist.
struct BatchCloser::Files {
  std::optional<FileWriter> output;
  std::optional<FileWriter> errors;
  std::int64_t output_lines = 0;
  std::int64_t error_lines = 0;
  SteadyTime kept;  // The claim, last.
};

BatchCloser::BatchCloser(BatchStore& batches, BatchClosing& closing, FileStore& files,
                         BatchCloserConfig config, Clock& clock, Log log, BatchMetrics metrics)
    : batches_(batches),
      closing_(closing),
      files_(files),
      config_(config),
      clock_(clock),
      log_(std::move(log)),
      metrics_(std::move(metrics)),
      loop_("batch-closer", clock, [this] { return run_once(); }) {}

void BatchCloser::stop() {
  stopping_ = true;
  loop_.stop();
}

Duration BatchCloser::run_once() {
  auto claimed = closing_.claim(config_.hold, call_deadline());
  if (!claimed) {
    metrics_.errors.add();
    log_.warn_limited("batch_claim_failed", {{"error", claimed.error().message}});
    return config_.retry_after;
  }
  if (!*claimed) return config_.look_every;
  const ClosingBatch& batch = **claimed;
  SLUICE_FAILPOINT("callback.after_batch_claim");
  abandon(batch, batch.abandoned_output_id, batch.abandoned_error_id);
  const SteadyTime began = clock_.steady_now();
  const auto status = close(batch);
  if (!status) {
    // A lost claim is somebody else's work now; what failed comes again when the claim lapses.
    abandon(batch, batch.output_id, batch.error_id);
    if (status.error().code == ErrorCode::kCancelled) {
      (void)closing_.release(batch,
                             call_deadline());  // Another service need not wait for the claim to lapse.
      return config_.look_every;
    }
    metrics_.errors.add();
    log_.warn("batch_not_closed", {{"batch_id", batch.batch.asked.id.value},
                                   {"code", error_code_name(status.error().code)},
                                   {"error", status.error().message}});
    return config_.retry_after;
  }
  SLUICE_FAILPOINT("callback.after_batch_close");
  metrics_.closed.with({batch_status_name(*status)}).add();
  metrics_.close_seconds.observe(std::chrono::duration<double>(clock_.steady_now() - began).count());
  return Duration::zero();
}

Result<BatchStatus> BatchCloser::close(const ClosingBatch& claimed) {
  Files files;
  files.kept = clock_.steady_now();
  SLUICE_TRY(write_lines(claimed, files));
  if (files.output) SLUICE_TRY(files.output->flush(call_deadline()));
  if (files.errors) SLUICE_TRY(files.errors->flush(call_deadline()));
  SLUICE_TRY(closing_.keep(claimed, config_.hold, call_deadline()));
  const std::int64_t lines = files.output_lines + files.error_lines;
  if (lines != claimed.batch.lines_total) {
    return fail(ErrorCode::kInternal, std::to_string(lines) + " of " +
                                          std::to_string(claimed.batch.lines_total) +
                                          " lines were found to have ended");
  }
  SLUICE_FAILPOINT("callback.before_batch_close");
  SLUICE_ASSIGN(const BatchStatus status,
                closing_.close(claimed, written(files.output), written(files.errors), call_deadline()));
  metrics_.lines.with({"output"}).add(static_cast<double>(files.output_lines));
  metrics_.lines.with({"error"}).add(static_cast<double>(files.error_lines));
  log_.info("batch_closed", {{"batch_id", claimed.batch.asked.id.value},
                             {"tenant", claimed.batch.asked.tenant.value},
                             {"status", batch_status_name(status)},
                             {"revision", claimed.batch.revision},
                             {"output_lines", files.output_lines},
                             {"error_lines", files.error_lines}});
  return status;
}

Status BatchCloser::write_lines(const ClosingBatch& claimed, Files& files) {
  std::int64_t after = 0;
  for (;;) {
    if (stopping_) return fail(ErrorCode::kCancelled, "stopping");
    SLUICE_ASSIGN(const auto page, batches_.ended_lines(claimed.batch.asked.id, LineKind::kAll, after,
                                                        config_.page_lines, call_deadline()));
    for (const EndedLine& line : page.lines) {
      SLUICE_TRY(write_line(claimed, line, files));
      SLUICE_TRY(keep(claimed, files));
    }
    SLUICE_FAILPOINT("callback.in_batch_files");
    if (page.all) return {};
    after = page.looked_to;
  }
}

// Each line may have cost the writing of a chunk, and a slow database takes its time for it.
Status BatchCloser::keep(const ClosingBatch& claimed, Files& files) {
  constexpr int kTimesInHold = 4;
  const SteadyTime now = clock_.steady_now();
  if (now - files.kept < config_.hold / kTimesInHold) return {};
  SLUICE_TRY(closing_.keep(claimed, config_.hold, call_deadline()));
  files.kept = now;
  return {};
}

Status BatchCloser::write_line(const ClosingBatch& claimed, const EndedLine& line, Files& files) {
  const bool succeeded = line.job.state == JobState::kSucceeded;
  std::optional<FileWriter>& writer = succeeded ? files.output : files.errors;
  if (!writer) {
    const FileId& id = succeeded ? claimed.output_id : claimed.error_id;
    SLUICE_ASSIGN(FileWriter opened,
                  FileWriter::open(files_, new_file(claimed, id, succeeded), call_deadline()));
    writer.emplace(std::move(opened));
  }
  ++(succeeded ? files.output_lines : files.error_lines);
  return writer->write(openai::batch_line(line.custom_id, line.job, line.request_json), call_deadline());
}

NewFile BatchCloser::new_file(const ClosingBatch& claimed, const FileId& id, bool output) const {
  NewFile file;
  file.id = id;
  file.tenant = claimed.batch.asked.tenant;
  file.purpose = kPurpose;
  file.filename = claimed.batch.asked.id.value + (output ? "_output.jsonl" : "_error.jsonl");
  file.expires_in_s = claimed.batch.asked.output_expires_s;
  return file;
}

// Best effort: unfinished files that nobody writes any more are swept in any case.
void BatchCloser::abandon(const ClosingBatch& claimed, const FileId& output, const FileId& errors) {
  for (const FileId* id : {&output, &errors}) {
    if (!id->empty()) (void)files_.abandon(new_file(claimed, *id, id == &output), call_deadline());
  }
}

}  // namespace sluice::callback
