#include "common/openai/chunks.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "common/openai/ids.h"
#include "common/openai/render.h"

namespace sluice::openai {

using nlohmann::json;

ChunkMaker::ChunkMaker(Surface surface, const JobId& id, std::string model, std::int64_t created_s,
                       bool include_usage)
    : surface_(surface),
      id_(surface_id(surface, id)),
      model_(std::move(model)),
      created_s_(created_s),
      include_usage_(include_usage) {}

json ChunkMaker::chunk(json choices) const {
  json out = {{"id", id_},
              {"object", surface_ == Surface::kChat ? "chat.completion.chunk" : "text_completion"},
              {"created", created_s_},
              {"model", model_},
              {"choices", std::move(choices)}};
  if (include_usage_) out["usage"] = nullptr;
  return out;
}

json ChunkMaker::choice(json delta, const json& finish_reason) const {
  json one = {{"index", 0}, {"logprobs", nullptr}, {"finish_reason", finish_reason}};
  if (surface_ == Surface::kChat) {
    one["delta"] = std::move(delta);
  } else {
    one["text"] = delta.value("content", "");
    if (delta.contains("reasoning_content")) one["reasoning_content"] = delta["reasoning_content"];
  }
  return chunk(json::array({std::move(one)}));
}

json ChunkMaker::role() const {
  return choice({{"role", "assistant"}, {"content", ""}, {"refusal", nullptr}}, nullptr);
}

json ChunkMaker::text(std::string_view piece) const {
  return choice({{"content", piece}}, nullptr);
}

json ChunkMaker::reasoning(std::string_view piece) const {
  return choice({{"reasoning_content", piece}}, nullptr);
}

json ChunkMaker::finish(const JobResult& result) const {
  json out = choice(json::object(), result.finish_reason);
  out["choices"][0]["logprobs"] = logprobs_json(surface_, result);
  return out;
}

json ChunkMaker::usage(const JobResult& result) const {
  json out = chunk(json::array());
  out["usage"] = usage_json(result);
  return out;
}

}  // namespace sluice::openai
