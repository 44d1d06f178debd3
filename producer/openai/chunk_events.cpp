#include <nlohmann/json.hpp>
#include <optional>

#include "common/http/body_json.h"
#include "common/http/sse.h"
#include "common/openai/chunks.h"
#include "common/openai/render.h"
#include "producer/openai/answer_events.h"
#include "producer/openai/completion_answers.h"

namespace sluice::producer {

namespace {

std::string data_event(const nlohmann::json& data) {
  const std::string text = http::dump_json(data);
  return http::sse_event({.data = text});
}

class ChunkEvents final : public AnswerEvents {
 public:
  ChunkEvents(Surface surface, bool include_usage) : surface_(surface), include_usage_(include_usage) {}

  std::string begin(const Job& job) override {
    chunks_.emplace(surface_, job.id, job.model, job.created_us / 1'000'000, include_usage_);
    return surface_ == Surface::kChat ? data_event(chunks_->role()) : "";
  }

  std::string text(const TextPiece& piece) override {
    std::string out;
    if (!piece.reasoning.empty()) out += data_event(chunks_->reasoning(piece.reasoning));
    if (!piece.text.empty()) out += data_event(chunks_->text(piece.text));
    return out;
  }

  std::string end(const Job& job) override {
    if (!job.result) {
      return broken(error_of(job));
    }
    std::string out = data_event(chunks_->finish(*job.result));
    if (include_usage_) out += data_event(chunks_->usage(*job.result));
    return out + http::sse_event({.data = "[DONE]"});
  }

  std::string broken(const JobError& error) override { return data_event(openai::error_json(error)); }

 private:
  const Surface surface_;
  const bool include_usage_;
  std::optional<openai::ChunkMaker> chunks_;
};

}  // namespace

std::unique_ptr<AnswerEvents> make_chunk_events(Surface surface, bool include_usage) {
  return std::make_unique<ChunkEvents>(surface, include_usage);
}

}  // namespace sluice::producer
