// The chunks of a streamed chat completion or completion, as OpenAI sends them.
//
// Pure; a value for one stream, not shared between threads.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "common/job/job.h"

namespace sluice::openai {

class ChunkMaker {
 public:
  // `surface` is kChat or kCompletion. With `include_usage` every chunk but the last has `usage: null`.
  ChunkMaker(Surface surface, const JobId& id, std::string model, std::int64_t created_s, bool include_usage);

  // The first chunk of a chat completion: the role, with no text yet.
  nlohmann::json role() const;
  // A piece of the answer, or of what the model thinks before it.
  nlohmann::json text(std::string_view piece) const;
  nlohmann::json reasoning(std::string_view piece) const;
  // The chunk that ends the choice, and, after it, the one that holds nothing but the usage. With the
  // logprobs of all tokens at once, since pieces of text don't carry them.
  nlohmann::json finish(const JobResult& result) const;
  nlohmann::json usage(const JobResult& result) const;

 private:
  nlohmann::json choice(nlohmann::json delta, const nlohmann::json& finish_reason) const;
  nlohmann::json chunk(nlohmann::json choices) const;

  const Surface surface_;
  const std::string id_;
  const std::string model_;
  const std::int64_t created_s_;
  const bool include_usage_;
};

}  // namespace sluice::openai
