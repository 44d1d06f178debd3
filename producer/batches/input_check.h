// Checks a batch's input file, line by line as it is read: every bad line is counted, the first ones are
// kept, and a report has them all.
//
// For one owner, its thread. `models` must outlive it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>

#include "common/store/batch_store.h"
#include "common/store/file_lines.h"
#include "producer/api/models.h"
#include "producer/batches/input_line.h"

namespace sluice::producer {

inline constexpr std::int64_t kBatchLinesMax = 50'000;
inline constexpr std::uint64_t kBatchFileBytesMax = 200 * 1024 * 1024;
// With the batch itself; and what a check tells that no batch comes of.
inline constexpr std::size_t kBatchErrorsKept = 100;
inline constexpr std::size_t kDryRunErrorsKept = 1'000;

// A line that holds nothing; it counts as a line and is passed over.
bool is_blank(std::string_view line);

// What the good lines for one model ask of its workers.
struct BatchDemand {
  std::int64_t jobs = 0;
  std::int64_t tokens_max = 0;  // Prompts and the longest answers.
};

class InputCheck {
 public:
  // Keeps so many errors; `reports`: and writes a report, some 20 MB at most.
  InputCheck(std::string endpoint, const ModelCatalog& models, std::size_t errors_kept, bool reports)
      : endpoint_(std::move(endpoint)), models_(models), errors_kept_(errors_kept), reports_(reports) {}

  // The next line. False: there are too many, the rest need not be read.
  bool take(const FileLine& line);
  // After the last line: a file without requests is an error, too.
  void finish();

  const BatchErrors& errors() const { return errors_; }
  // JSONL: {"custom_id": …, "response": null, "error": {"code", "message", "param", "line"}} for each bad
  // line.
  const std::string& report() const { return report_; }
  std::int64_t requests() const { return requests_; }  // Lines that are not blank, good or bad.
  // Of the good ones.
  std::int64_t prompt_tokens() const { return prompt_tokens_; }
  std::int64_t tokens_max() const;                                                // Of all models.
  const std::map<std::string, BatchDemand>& demands() const { return demands_; }  // By model.

 private:
  void add(BatchError error, std::int64_t line, const std::string& custom_id = {});

  const std::string endpoint_;
  const ModelCatalog& models_;
  const std::size_t errors_kept_;
  const bool reports_;
  BatchErrors errors_;
  std::string report_;
  std::int64_t line_no_ = 0;
  std::int64_t requests_ = 0;
  std::int64_t prompt_tokens_ = 0;
  std::map<std::string, BatchDemand> demands_;
  std::unordered_map<std::string, std::int64_t> lines_by_id_;
};

}  // namespace sluice::producer
