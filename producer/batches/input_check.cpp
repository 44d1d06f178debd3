#include "producer/batches/input_check.h"

#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "common/http/body_json.h"
#include "producer/api/answers.h"

namespace sluice::producer {

namespace {
// A client's own names may stand in it.
constexpr std::size_t kErrorTextMax = 500;

void cut(std::string& text) {
  if (text.size() > kErrorTextMax) text.resize(kErrorTextMax);
}
}  // namespace

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

void InputCheck::add(BatchError error, std::int64_t line, const std::string& custom_id) {
  ++errors_.count;
  error.line = line;
  cut(error.message);
  cut(error.param);
  if (reports_) {
    report_ += http::dump_json({{"custom_id", text_or_null(custom_id)},
                                {"response", nullptr},
                                {"error",
                                 {{"code", error.code},
                                  {"message", error.message},
                                  {"param", text_or_null(error.param)},
                                  {"line", line == 0 ? nlohmann::json() : nlohmann::json(line)}}}});
    report_ += '\n';
  }
  if (errors_.kept.size() >= errors_kept_) return;
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
          line_no_, custom_id);
      return true;
    }
  }
  if (!parsed) {
    add(parsed.error().error, line_no_, custom_id);
    return true;
  }
  prompt_tokens_ += parsed->spec.prompt_tokens;
  BatchDemand& demand = demands_[parsed->spec.model->name()];
  ++demand.jobs;
  demand.tokens_max += parsed->spec.tokens_max;
  return true;
}

std::int64_t InputCheck::tokens_max() const {
  return std::accumulate(
      demands_.begin(), demands_.end(), std::int64_t{0},
      [](std::int64_t sum, const auto& of_model) { return sum + of_model.second.tokens_max; });
}

void InputCheck::finish() {
  if (requests_ == 0) add({"empty_file", "The file has no requests.", "input_file_id", 0}, 0);
}

}  // namespace sluice::producer
