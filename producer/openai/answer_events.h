// Streamed answers as server-sent events: the chunks of completions, and the events of responses.
//
// Each call answers the text of zero or more events. A value for one stream; not safe for concurrent use.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/job/job.h"
#include "common/job/request.h"
#include "producer/live/token_feed.h"

namespace sluice::producer {

class AnswerEvents {
 public:
  virtual ~AnswerEvents() = default;
  // First, once.
  virtual std::string begin(const Job& job) = 0;
  // Pieces come in order, without holes, thoughts before text.
  virtual std::string text(const TextPiece& piece) = 0;
  // Last: the job is final, and its text was told completely if it succeeded.
  virtual std::string end(const Job& job) = 0;
  // Last, instead: the stream can't go on.
  virtual std::string broken(const JobError& error) = 0;
};

// Of a chat completion or a completion. They end with `data: [DONE]`, or with an error alone.
std::unique_ptr<AnswerEvents> make_chunk_events(Surface surface, bool include_usage);

// Of a response, those with a sequence_number above `starting_after`. The numbers follow from the answer
// alone (each byte of it counts one), so whoever comes back gets the rest, wherever the stream was cut into
// pieces.
std::unique_ptr<AnswerEvents> make_response_events(std::shared_ptr<const JobRequest> request,
                                                   std::int64_t starting_after = -1);

}  // namespace sluice::producer
