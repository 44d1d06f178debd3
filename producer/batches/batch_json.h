// Batches as OpenAI's clients know them, with what we add: `priority`, `callback_url`,
// `callback_every`, `paused`, `revision`.
//
// Pure functions.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "common/http/message.h"
#include "common/store/batch_store.h"
#include "producer/batches/input_check.h"
#include "producer/live/estimate.h"

namespace sluice::producer {

// With so many of its errors at most.
nlohmann::json batch_to_json(const FileBatch& batch, std::size_t errors_max);
// {"object": "list", "data": [{"code", "message", "param", "line"}]}, with `count` if some are left out.
nlohmann::json batch_errors_json(const BatchErrors& errors, std::size_t errors_max);
// What a dry run found; `estimate`: of all its lines, were they accepted at `now_us`.
nlohmann::json validation_json(const NewFileBatch& asked, const InputCheck& check,
                               const std::optional<Estimate>& estimate, std::int64_t now_us);
// The answer where the file to read isn't there, or is somebody else's.
http::Response no_such_input_file();

}  // namespace sluice::producer
