// A line of a batch's input file:
//
//   {"custom_id": "…", "method": "POST", "url": "/v1/chat/completions", "body": {…}}
//
// Beside OpenAI's members it may have `callback_url`: this line's own end is told there.
//
// Pure but for the model's tokenizer; safe for concurrent use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "common/job/job.h"
#include "common/store/batch_store.h"
#include "producer/api/models.h"
#include "producer/api/submit_request.h"

namespace sluice::producer {

inline constexpr std::size_t kInputLineBytesMax = 4'000'000;
inline constexpr std::size_t kCustomIdBytesMax = 512;

// In whose shape a batch's endpoint answers; nullopt: batches don't go there.
std::optional<Surface> batch_surface(std::string_view endpoint);

struct InputLine {
  std::string custom_id;
  std::string callback_url;  // Empty = none.
  JobSpec spec;
};
// What is wrong, and the custom_id if that could be read.
struct BadLine {
  BatchError error;  // Without the line's number.
  std::string custom_id;
};

// `endpoint` is the batch's, one that batch_surface() knows.
tl::expected<InputLine, BadLine> parse_input_line(std::string_view text, std::string_view endpoint,
                                                  const ModelCatalog& models);

}  // namespace sluice::producer
