// Batches that are asked for with a file of requests, as clients see and steer them. Each line becomes a job;
// the counters are those of `batch`. What moves a batch on is in batch_work.h (reading its file, cancelling,
// retrying) and batch_closing.h (its files).
//
// Safe for concurrent use. All times are the database's clock. Errors as in job_store.h; kNotFound also for
// another tenant's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/ids/file_id.h"
#include "common/ids/ids.h"
#include "common/job/job.h"
#include "common/mysql/mysql.h"
#include "common/store/idempotency_store.h"

namespace sluice {

// OpenAI's, in the order in which a batch may pass them: docs/ARCHITECTURE.md draws it.
enum class BatchStatus {
  kValidating,  // Its file is read for the first time; nothing runs.
  kFailed,      // The file was refused: nothing ran. (Or it was removed while its lines went in.)
  kInProgress,
  kFinalizing,  // All lines have ended, the files are made.
  kCompleted,
  kExpired,     // Ended, and some lines did not in time.
  kCancelling,  // What has not ended is being cancelled, or the files are made.
  kCancelled,
};
std::string_view batch_status_name(BatchStatus status);
std::optional<BatchStatus> batch_status_from(std::string_view name);
bool is_final(BatchStatus status);

struct BatchError {
  std::string code;
  std::string message;
  std::string param;      // Empty = null.
  std::int64_t line = 0;  // From 1; 0: about the whole file.
};
// Some of them, and how many there are.
struct BatchErrors {
  std::int64_t count = 0;
  std::vector<BatchError> kept;
};

struct NewFileBatch {
  BatchId id;
  TenantId tenant;
  std::string endpoint;  // "/v1/chat/completions"
  FileId input_file_id;
  std::string window;  // "24h", as it was asked for.
  std::int64_t window_s = 0;
  Priority priority = Priority::kLow;
  std::string callback_url;  // Empty = none.
  // Ends of lines are told together: so many, or those of so many seconds. 0: each line that asked, by
  // itself.
  int callback_lines = 0;
  int callback_seconds = 0;
  std::string metadata_json;  // An object, or empty.
  std::optional<std::int64_t> output_expires_s;
};

struct BatchUsage {
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::int64_t reasoning_tokens = 0;
};

struct FileBatch {
  NewFileBatch asked;
  BatchStatus status = BatchStatus::kValidating;
  BatchErrors errors;
  std::int64_t lines_total = 0;  // Requests in the file; 0 until the whole file was found good.
  std::int64_t lines_in = 0;     // Of these, how many are jobs by now,
  std::int64_t next_line = 1;    // and where the next one begins in the file: its number
  std::uint64_t next_byte = 0;   // and its place.
  std::int64_t open_lines = 0;   // Have not ended.
  std::int64_t succeeded = 0;
  std::int64_t not_succeeded = 0;  // Failed, dead, cancelled, expired.
  BatchUsage usage;                // Of what succeeded.
  std::int64_t revision = 1;
  FileId output_file_id;  // Of the last revision that ended. Empty: none.
  FileId error_file_id;
  bool paused = false;
  std::optional<std::string> retried_to;  // A retry is under way.
  std::optional<std::string> moved_to;    // Its lines are being held back, or let go again: up to this job.
  // Microseconds since 1970; 0: not (yet).
  std::int64_t created_us = 0;
  std::int64_t in_progress_us = 0;
  std::int64_t expires_us = 0;
  std::int64_t finalizing_us = 0;
  std::int64_t completed_us = 0;
  std::int64_t failed_us = 0;
  std::int64_t expired_us = 0;
  std::int64_t cancelling_us = 0;
  std::int64_t cancelled_us = 0;
};

enum class LineKind { kSucceeded, kOthers, kAll };

// A line that has ended.
struct EndedLine {
  std::int64_t seq = 0;  // In the order in which lines ended, from 1.
  std::string custom_id;
  Job job;
  std::string request_json;  // Where the answer repeats the request (responses); else empty.
};

// What an answer of ended_lines() may hold, so that memory stays bounded whatever lines answer.
inline constexpr std::int64_t kEndedBytesMax = 8 << 20;

struct EndedLines {
  std::vector<EndedLine> lines;
  bool all = false;  // Nothing more had ended.
  std::int64_t looked_to =
      0;  // Whatever ended up to this seq was looked at: the next question's `after_seq`.
};

class BatchStore {
 public:
  // `pool` must outlive the store.
  explicit BatchStore(MysqlPool& pool) : pool_(pool) {}

  // The same id again answers what is there. From then on its input file can be read until all its lines are
  // jobs, even if it is removed or expires. kNotFound: the file is gone.
  // With `claim` it is known by the request that made it, too; kConflict: another request had its key.
  Result<FileBatch> create(const NewFileBatch& asked, const std::optional<IdempotencyClaim>& claim,
                           Deadline deadline);
  Result<FileBatch> get(const TenantId& tenant, const BatchId& id, Deadline deadline);
  // From new to old, those older than `after` (empty: all).
  Result<std::vector<FileBatch>> list(const TenantId& tenant, const BatchId& after, int limit,
                                      Deadline deadline);
  // Has what did not end cancelled. A batch whose lines have all ended is left as it is.
  Result<FileBatch> cancel(const TenantId& tenant, const BatchId& id, Deadline deadline);
  // While it is paused no line is started; what runs goes on, and time goes by. kConflict: it has ended or is
  // being cancelled.
  Result<FileBatch> set_paused(const TenantId& tenant, const BatchId& id, bool paused, Deadline deadline);
  // Has the lines that did not succeed run again, as a further revision with a new completion window.
  // kConflict: it has not ended, or every line succeeded, or none ever ran. kOutcomeUnknown: its revision
  // tells.
  Result<FileBatch> retry(const TenantId& tenant, const BatchId& id, Deadline deadline);

  // Ended lines after `after_seq`, in order of seq. Lines that succeeded never change or move, so that a
  // prefix of them stays as it is; others may be run again and then come again under a later seq. At most
  // `limit` of them, of about `bytes_max` together, and one at least if there is one.
  Result<EndedLines> ended_lines(const BatchId& id, LineKind kind, std::int64_t after_seq, int limit,
                                 Deadline deadline, std::int64_t bytes_max = kEndedBytesMax);

 private:
  MysqlPool& pool_;
};

}  // namespace sluice
