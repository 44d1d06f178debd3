#include "producer/batches/input_check.h"

#include <utility>

namespace sluice::producer {

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

void InputCheck::add(BatchError error, std::int64_t line) {
  ++errors_.count;
  if (errors_.kept.size() >= kBatchErrorsKept) return;
  error.line = line;
  errors_.kept.push_back(std::move(error));
}

bool InputCheck::take(const FileLine& line) {
  ++line_no_;
  if (!line.too_long && is_blank(line.text)) return true;
  if (++requests_ > kBatchLinesMax) {
    add({"too_many_lines", "The file has more than 50000 requests.", "", 0}, line_no_);
    return false;
  }
  if (line.too_long) {
    add({"line_too_long", "The line is longer than " + std::to_string(kInputLineBytesMax) + " bytes.", "", 0},
        line_no_);
    return true;
  }
  const auto parsed = parse_input_line(line.text, endpoint_, models_);
  const std::string& custom_id = parsed ? parsed->custom_id : parsed.error().custom_id;
  if (!custom_id.empty()) {
    const auto [first, fresh] = lines_by_id_.emplace(custom_id, line_no_);
    if (!fresh) {
      add({"duplicate_custom_id", "The custom_id is also that of line " + std::to_string(first->second) + ".",
           "custom_id", 0},
          line_no_);
      return true;
    }
  }
  if (!parsed) {
    add(parsed.error().error, line_no_);
    return true;
  }
  prompt_tokens_ += parsed->spec.prompt_tokens;
  tokens_max_ += parsed->spec.tokens_max;
  return true;
}

void InputCheck::finish() {
  if (requests_ == 0) add({"empty_file", "The file has no requests.", "input_file_id", 0}, 0);
}

}  // namespace sluice::producer
