// A dead letter's request with corrections, checked like a new one.
//
// Pure but for the model's tokenizer; safe for concurrent use.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "common/store/dead_letter_store.h"
#include "producer/api/models.h"
#include "producer/api/submit_request.h"

namespace sluice::producer {

struct Replay {
  JobSpec spec;
  std::vector<std::string> changed;  // Names of the members that the corrections set.
};

// `body` is {"changes": {…}}: a merge patch (RFC 7396) over the body that would submit the letter's job.
// `messages` replace a prompt, and a prompt replaces messages.
tl::expected<Replay, SubmitRefusal> read_replay(std::string_view body, const DeadLetterDetail& letter,
                                                const ModelCatalog& models);

}  // namespace sluice::producer
