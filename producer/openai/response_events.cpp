#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/http/body_json.h"
#include "common/http/sse.h"
#include "common/openai/ids.h"
#include "common/openai/response.h"
#include "producer/openai/answer_events.h"

namespace sluice::producer {

namespace {

using nlohmann::json;

// The numbers of the events, with R bytes of thoughts and T bytes of text:
//   0 created, 1 in_progress,
//   2 reasoning item added, 3 its part added, 4 + n after n bytes of it, R + 5, 6, 7 text, part, item done,
//   R + 8 message added, R + 9 its part added, R + 9 + n after n bytes of it, then text, part and item done,
//   and the end. An answer without thoughts has none of the second line, and R is 0.
constexpr std::int64_t kReasoningAdded = 2;
constexpr std::int64_t kMessageAdded = 8;

bool begins_character(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
}

class ResponseEvents final : public AnswerEvents {
 public:
  ResponseEvents(std::shared_ptr<const JobRequest> request, std::int64_t starting_after)
      : request_(std::move(request)), starting_after_(starting_after) {}

  std::string begin(const Job& job) override {
    job_ = job;
    job_.result.reset();
    job_.error.reset();
    std::string out;
    job_.state = JobState::kQueued;
    add(out, 0, "response.created", {{"response", openai::response_json(job_, request_.get())}});
    job_.state = JobState::kRunning;
    add(out, 1, "response.in_progress", {{"response", openai::response_json(job_, request_.get())}});
    return out;
  }

  std::string text(const TextPiece& piece) override {
    std::string out;
    if (!piece.reasoning.empty()) {
      if (reasoning_.empty()) begin_reasoning(out);
      add_delta(out, kReasoningAdded + 2 + size(reasoning_), piece.reasoning, "response.reasoning_text.delta",
                reasoning_place());
      reasoning_ += piece.reasoning;
    }
    if (!piece.text.empty()) {
      if (!in_message_) begin_message(out);
      add_delta(out, message_at() + 1 + size(text_), piece.text, "response.output_text.delta",
                message_place());
      text_ += piece.text;
    }
    return out;
  }

  std::string end(const Job& job) override {
    std::string out;
    if (!job.result) {
      const bool cancelled = job.state == JobState::kCancelled;
      // What was told before may not be known any more: its number alone says so.
      add(out, std::max(next(), starting_after_ + 1), cancelled ? "response.cancelled" : "response.failed",
          {{"response", openai::response_json(job, request_.get())}});
      return out;
    }
    if (!in_message_) begin_message(out);
    const json whole = openai::response_json(job, request_.get());
    const json& message = whole["output"].back();
    std::int64_t at = message_at() + 2 + size(text_);
    add(out, at, "response.output_text.done",
        with(message_place(), {{"text", text_}, {"logprobs", message["content"][0]["logprobs"]}}));
    add(out, at + 1, "response.content_part.done", with(message_place(), {{"part", message["content"][0]}}));
    add(out, at + 2, "response.output_item.done",
        {{"output_index", message_place()["output_index"]}, {"item", message}});
    // Beyond it: another answer was told before, and this is the one that counts.
    if (starting_after_ > at + 3) at = starting_after_ - 2;
    add(out, at + 3, whole["status"] == "incomplete" ? "response.incomplete" : "response.completed",
        {{"response", whole}});
    return out;
  }

  std::string broken(const JobError& error) override {
    std::string out;
    // The number of what was told last: who comes back with it misses nothing.
    tell(out, std::max(next() - 1, starting_after_), "error",
         {{"code", error.code}, {"message", error.message}, {"param", nullptr}});
    return out;
  }

 private:
  static std::int64_t size(const std::string& text) { return static_cast<std::int64_t>(text.size()); }
  static json with(json base, const json& more) {
    base.update(more);
    return base;
  }
  std::int64_t message_at() const { return kMessageAdded + size(reasoning_); }
  // After whatever was told so far.
  std::int64_t next() const {
    if (in_message_) return message_at() + 2 + size(text_);
    return reasoning_.empty() ? kReasoningAdded : kReasoningAdded + 3 + size(reasoning_);
  }
  json reasoning_place() const {
    return {{"item_id", openai::part_id("rs_", job_.id)}, {"output_index", 0}, {"content_index", 0}};
  }
  json message_place() const {
    return {{"item_id", openai::part_id("msg_", job_.id)},
            {"output_index", reasoning_.empty() ? 0 : 1},
            {"content_index", 0}};
  }

  void add(std::string& out, std::int64_t number, const char* type, json data) const {
    if (number > starting_after_) tell(out, number, type, std::move(data));
  }
  static void tell(std::string& out, std::int64_t number, const char* type, json data) {
    data["type"] = type;
    data["sequence_number"] = number;
    const std::string text = http::dump_json(data);
    out += http::sse_event({.event = type, .data = text});
  }

  // `before`: the number after the bytes before `piece`. Of a piece that was told in part the rest is.
  void add_delta(std::string& out, std::int64_t before, std::string_view piece, const char* type,
                 json place) const {
    const std::int64_t after = before + static_cast<std::int64_t>(piece.size());
    if (after <= starting_after_) return;
    std::size_t skip = static_cast<std::size_t>(std::max<std::int64_t>(0, starting_after_ - before));
    while (skip > 0 && !begins_character(piece[skip])) --skip;
    place["delta"] = piece.substr(skip);
    if (type == std::string_view("response.output_text.delta")) place["logprobs"] = json::array();
    add(out, after, type, std::move(place));
  }

  void begin_reasoning(std::string& out) {
    add(out, kReasoningAdded, "response.output_item.added",
        {{"output_index", 0}, {"item", openai::reasoning_item(job_.id, "", "in_progress")}});
    add(out, kReasoningAdded + 1, "response.content_part.added",
        with(reasoning_place(), {{"part", {{"type", "reasoning_text"}, {"text", ""}}}}));
  }

  void begin_message(std::string& out) {
    if (!reasoning_.empty()) {
      const std::int64_t at = kReasoningAdded + 3 + size(reasoning_);
      add(out, at, "response.reasoning_text.done", with(reasoning_place(), {{"text", reasoning_}}));
      add(out, at + 1, "response.content_part.done",
          with(reasoning_place(), {{"part", {{"type", "reasoning_text"}, {"text", reasoning_}}}}));
      add(out, at + 2, "response.output_item.done",
          {{"output_index", 0}, {"item", openai::reasoning_item(job_.id, reasoning_, "completed")}});
    }
    in_message_ = true;
    add(out, message_at(), "response.output_item.added",
        {{"output_index", message_place()["output_index"]},
         {"item", openai::message_item(job_.id, json::array(), "in_progress")}});
    add(out, message_at() + 1, "response.content_part.added",
        with(message_place(), {{"part", openai::text_part("", json::array())}}));
  }

  const std::shared_ptr<const JobRequest> request_;
  const std::int64_t starting_after_;
  Job job_;
  std::string reasoning_;
  std::string text_;
  bool in_message_ = false;
};

}  // namespace

std::unique_ptr<AnswerEvents> make_response_events(std::shared_ptr<const JobRequest> request,
                                                   std::int64_t starting_after) {
  return std::make_unique<ResponseEvents>(std::move(request), starting_after);
}

}  // namespace sluice::producer
