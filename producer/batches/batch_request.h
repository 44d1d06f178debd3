// Bodies and queries of the routes of /v1/batches.
//
// Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "common/http/message.h"
#include "common/store/batch_store.h"
#include "producer/api/query.h"
#include "producer/api/submit_request.h"

namespace sluice::producer {

inline constexpr std::int64_t kWindowMaxS = 7 * 24 * 3600;

struct BatchRequest {
  NewFileBatch batch;  // Without id and tenant.
  bool validate_only = false;
};

tl::expected<BatchRequest, SubmitRefusal> parse_batch_request(std::string_view body);

// "24h", "90m", "30s", "7d" in seconds, up to kWindowMaxS; nullopt: it is none such.
std::optional<std::int64_t> parse_window(std::string_view text);

struct BatchPage {
  BatchId after;
  int limit = kListLimitDefault;
};
tl::expected<BatchPage, BadQuery> read_batch_query(const http::RequestHead& head);

inline constexpr int kLinesLimitDefault = 1'000;
inline constexpr int kLinesLimitMax = 10'000;
struct LinesPage {
  std::int64_t after = 0;
  int limit = kLinesLimitDefault;
};
tl::expected<LinesPage, BadQuery> read_lines_query(const http::RequestHead& head);

}  // namespace sluice::producer
