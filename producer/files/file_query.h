// The query of GET /v1/files. Pure functions.
#pragma once

#include <tl/expected.hpp>

#include "common/http/message.h"
#include "common/store/file_store.h"
#include "producer/api/query.h"

namespace sluice::producer {

// Everything of the filter but the tenant.
tl::expected<FileFilter, BadQuery> read_file_query(const http::RequestHead& head);

}  // namespace sluice::producer
