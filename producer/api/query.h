// Query parameters and the Prefer header of the job routes.
//
// Pure functions.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "common/http/message.h"
#include "common/store/job_store.h"

namespace sluice::producer {

inline constexpr int kWaitMaxS = 60;
inline constexpr int kListLimitDefault = 20;
inline constexpr int kListLimitMax = 100;

struct BadQuery {
  std::string param;
  std::string message;
};

// How long GET /v1/jobs/{id} waits: `?wait=SECONDS`, else `Prefer: wait=SECONDS`, else not at all. A bad or
// unknown query parameter is an error; a bad preference is ignored and a long one cut, as RFC 7240 has it.
tl::expected<std::chrono::milliseconds, BadQuery> read_wait(const http::RequestHead& head);

// Whether the client would rather have its job's id at once: `Prefer: respond-async` (RFC 7240).
bool prefers_async(const http::RequestHead& head);

// Everything of the filter but the tenant.
tl::expected<JobFilter, BadQuery> read_list_query(const http::RequestHead& head);

// For routes that take no query parameters.
tl::expected<void, BadQuery> read_no_query(const http::RequestHead& head);

}  // namespace sluice::producer
