#include "producer/batches/batch_loop.h"

#include <algorithm>
#include <utility>

#include "common/base/failpoint.h"
#include "common/store/file_writer.h"
#include "producer/api/job_intake.h"

namespace sluice::producer {

namespace {

BatchError file_error(const Error& error) {
  if (error.code == ErrorCode::kNotFound) {
    return {"input_file_gone", "The input file was removed or has expired.", "input_file_id", 0};
  }
  return {"input_file_unreadable", "The input file can't be read.", "input_file_id", 0};
}

// Trying again will not help.
bool is_lost(const Error& error) {
  return error.code == ErrorCode::kNotFound || error.code == ErrorCode::kCorrupt;
}

// Keeps of `map` what is named.
template <class Map>
void keep_only(Map& map, const std::vector<FileBatch>& due) {
  std::erase_if(map, [&due](const auto& entry) {
    return std::none_of(due.begin(), due.end(),
                        [&entry](const FileBatch& batch) { return batch.asked.id.value == entry.first; });
  });
}

}  // namespace

struct BatchLoop::Check {
  Check(FileStore& files, const FileBatch& batch, const ModelCatalog& models)
      : lines(files, batch.asked.tenant, batch.asked.input_file_id, kInputLineBytesMax),
        input(batch.asked.endpoint, models, kBatchErrorsKept, true) {}
  FileLines lines;
  InputCheck input;
};

// Stands where the batch's next line begins.
struct BatchLoop::Reader {
  Reader(FileStore& files, const FileBatch& batch)
      : lines(files, batch.asked.tenant, batch.asked.input_file_id, kInputLineBytesMax, batch.next_byte),
        at{batch.next_line, batch.next_byte} {}
  FileLines lines;
  FilePlace at;
};

BatchLoop::BatchLoop(Parts parts, BatchLoopConfig config, Log log, LoopMetrics metrics)
    : parts_(std::move(parts)),
      config_(config),
      log_(std::move(log)),
      metrics_(std::move(metrics)),
      loop_("batches", parts_.clock, [this] { return run_once(); }) {}

BatchLoop::~BatchLoop() {
  stop();
}

void BatchLoop::stop() {
  stopping_ = true;
  loop_.stop();
}

Duration BatchLoop::run_once() {
  const std::vector<int> shards = parts_.owned();
  const auto checking = parts_.work.due(shards, true, config_.checks_max, call_deadline());
  const auto others =
      checking ? parts_.work.due(shards, false, config_.batches_max, call_deadline()) : checking;
  if (!others) {
    metrics_.loop_failures.with({"batches"}).add();
    log_.warn_limited("due_batches_failed", {{"error", others.error().message}});
    return config_.retry_after;
  }
  keep_only(checks_, *checking);
  keep_only(readers_, *others);
  keep_only(cancelled_to_, *others);
  const bool checked = turn(*checking);
  const bool moved = turn(*others);
  return checked || moved ? Duration::zero() : Duration(config_.look_every);
}

bool BatchLoop::turn(const std::vector<FileBatch>& due) {
  bool more = false;
  for (const FileBatch& batch : due) {
    if (stopping_) return false;
    const auto moved = step(batch);
    if (moved) {
      more = more || *moved;
      continue;
    }
    checks_.erase(batch.asked.id.value);
    readers_.erase(batch.asked.id.value);
    cancelled_to_.erase(batch.asked.id.value);
    if (moved.error().code == ErrorCode::kConflict) {  // Somebody else moved it: look at it anew.
      more = true;
      continue;
    }
    metrics_.loop_failures.with({"batches"}).add();
    log_.warn_limited("batch_step_failed", {{"batch_id", batch.asked.id.value},
                                            {"code", error_code_name(moved.error().code)},
                                            {"error", moved.error().message}});
    (void)parts_.work.put_off(batch.asked.id, config_.retry_after, call_deadline());
  }
  return more;
}

Result<bool> BatchLoop::step(const FileBatch& batch) {
  if (batch.status == BatchStatus::kValidating) return check_some(batch);
  if (batch.status == BatchStatus::kCancelling) return cancel_some(batch);
  if (batch.moved_to) {
    SLUICE_ASSIGN(const bool done, parts_.work.move_some(batch, config_.step_lines, call_deadline()));
    if (!batch.paused) parts_.on_lines();
    return !done;
  }
  if (batch.lines_in < batch.lines_total) return insert_some(batch);
  if (batch.retried_to) {
    SLUICE_ASSIGN(const bool done, parts_.work.retry_some(batch, config_.step_lines, call_deadline()));
    SLUICE_FAILPOINT("batches.after_retry_step");
    parts_.on_lines();
    return !done;
  }
  return fail(ErrorCode::kInternal, "nothing is to be done");
}

Result<bool> BatchLoop::check_some(const FileBatch& batch) {
  std::unique_ptr<Check>& check = checks_[batch.asked.id.value];
  if (!check) check = std::make_unique<Check>(parts_.files, batch, parts_.models);
  std::uint64_t bytes = 0;
  for (int lines = 0; lines < config_.step_lines && bytes < config_.step_bytes; ++lines) {
    const auto line = check->lines.next(call_deadline());
    if (!line && is_lost(line.error())) {
      const BatchErrors errors{1, {file_error(line.error())}};
      SLUICE_TRY(parts_.work.refuse(batch, errors, std::nullopt, call_deadline()));
      return false;
    }
    if (!line) return fail(line.error());
    if (!*line || !check->input.take(**line)) return end_check(batch, *check);
    bytes += (*line)->end - (*line)->start;
  }
  SLUICE_FAILPOINT("batches.in_check");
  return true;
}

Result<bool> BatchLoop::end_check(const FileBatch& batch, Check& check) {
  check.input.finish();
  const BatchErrors& errors = check.input.errors();
  const Log log = log_.with({{"batch_id", batch.asked.id.value}, {"tenant", batch.asked.tenant.value}});
  if (errors.count > 0) {
    SLUICE_ASSIGN(const auto report, write_report(batch, check.input));
    if (const Status refused = parts_.work.refuse(batch, errors, report, call_deadline()); !refused) {
      if (report) (void)parts_.files.abandon(report->file, call_deadline());
      return fail(refused.error());
    }
    log.info("batch_refused", {{"errors", errors.count}, {"code", errors.kept.front().code}});
    return false;
  }
  SLUICE_TRY(parts_.work.accept(batch.asked.id, check.input.requests(), call_deadline()));
  SLUICE_FAILPOINT("batches.after_accept");
  log.info("batch_accepted",
           {{"lines", check.input.requests()}, {"prompt_tokens", check.input.prompt_tokens()}});
  return true;
}

Result<std::optional<WrittenFile>> BatchLoop::write_report(const FileBatch& batch, const InputCheck& input) {
  using Report = std::optional<WrittenFile>;
  if (input.errors().count <= static_cast<std::int64_t>(input.errors().kept.size())) return Report();
  NewFile file;
  file.id = parts_.ids.make<FileId>(shard_of_tenant(batch.asked.tenant));
  file.tenant = batch.asked.tenant;
  file.purpose = "batch_output";
  file.filename = batch.asked.id.value + "_error.jsonl";
  file.expires_in_s = batch.asked.output_expires_s;
  SLUICE_ASSIGN(FileWriter writer, FileWriter::open(parts_.files, file, call_deadline()));
  std::string_view left = input.report();
  while (!left.empty()) {
    const std::string_view piece = left.substr(0, kFileChunkBytesMax);
    SLUICE_TRY(writer.write(piece, call_deadline()));
    left.remove_prefix(piece.size());
  }
  SLUICE_TRY(writer.flush(call_deadline()));
  return Report(WrittenFile{writer.file(), writer.bytes()});
}

// What runs ends first. The rest of the lines goes in, too, and ends as it does: the error file has them.
Result<bool> BatchLoop::cancel_some(const FileBatch& batch) {
  JobId& from = cancelled_to_[batch.asked.id.value];
  SLUICE_ASSIGN(const bool done, parts_.work.cancel_some(batch, from, config_.step_lines, call_deadline()));
  if (!done) return true;
  if (batch.lines_in < batch.lines_total) return insert_some(batch);
  log_.info("batch_cancelled", {{"batch_id", batch.asked.id.value}});
  return false;
}

Result<bool> BatchLoop::insert_some(const FileBatch& batch) {
  std::unique_ptr<Reader>& reader = readers_[batch.asked.id.value];
  if (!reader || reader->at.byte != batch.next_byte) {
    reader = std::make_unique<Reader>(parts_.files, batch);
  }
  const auto lines = read_lines(batch, *reader);
  if (!lines && is_lost(lines.error())) {
    SLUICE_TRY(parts_.work.lose_input(batch, file_error(lines.error()), call_deadline()));
    return true;
  }
  if (!lines) return fail(lines.error());
  SLUICE_TRY(parts_.work.add_lines(batch, *lines, reader->at, call_deadline()));
  SLUICE_FAILPOINT("batches.after_lines");
  if (batch.status != BatchStatus::kCancelling) parts_.on_lines();
  return true;
}

Result<std::vector<NewLine>> BatchLoop::read_lines(const FileBatch& batch, Reader& reader) {
  std::vector<NewLine> lines;
  const std::uint64_t from = reader.at.byte;
  const std::int64_t left = batch.lines_total - batch.lines_in;
  while (static_cast<std::int64_t>(lines.size()) < std::min<std::int64_t>(left, config_.step_lines) &&
         reader.at.byte - from < config_.step_bytes) {
    SLUICE_ASSIGN(const auto line, reader.lines.next(call_deadline()));
    if (!line) return fail(ErrorCode::kCorrupt, "the file has fewer lines than it had");
    if (line->too_long || !is_blank(line->text)) {
      lines.push_back(make_line(batch, reader.at.line, line->text));
    }
    reader.at = {reader.at.line + 1, line->end};
  }
  return lines;
}

NewLine BatchLoop::make_line(const FileBatch& batch, std::int64_t line_no, std::string_view text) {
  NewLine line;
  line.line_no = line_no;
  NewJob& fresh = line.job;
  JobId id = parts_.ids.make<JobId>(shard_of_tenant(batch.asked.tenant));
  auto parsed = parse_input_line(text, batch.asked.endpoint, parts_.models);
  if (parsed) {
    line.custom_id = std::move(parsed->custom_id);
    fresh = new_job(std::move(id), batch.asked.tenant, std::move(parsed->spec));
    fresh.job.callback_url = std::move(parsed->callback_url);
  } else {
    const BatchError& error = parsed.error().error;
    line.custom_id = parsed.error().custom_id;
    line.refused = JobError{error.code, error.message, "invalid_request_error", error.param};
    fresh.job.id = std::move(id);
    fresh.job.tenant = batch.asked.tenant;
    fresh.job.model = parts_.models.default_model().name();
    fresh.request_json = "{}";
  }
  // Where lines are told of together, all are: those that name no URL of their own at the batch's.
  if (batch.asked.callback_lines > 0 && fresh.job.callback_url.empty()) {
    fresh.job.callback_url = batch.asked.callback_url;
  }
  fresh.job.batch_id = batch.asked.id;
  fresh.job.priority = batch.asked.priority;
  fresh.job.surface = batch_surface(batch.asked.endpoint).value_or(Surface::kJob);
  return line;
}

}  // namespace sluice::producer
