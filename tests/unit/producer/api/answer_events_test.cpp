#include "producer/openai/answer_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

namespace sluice::producer {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;

Job running(Surface surface) {
  Job job;
  job.id.value = "job_01234567-89ab-7cde-8f01-23456789abcd";
  job.model = "tiny";
  job.surface = surface;
  job.state = JobState::kRunning;
  job.created_us = 1'700'000'000'000'000;
  return job;
}

Job ended(Surface surface, const std::string& reasoning, const std::string& text) {
  Job job = running(surface);
  job.state = JobState::kSucceeded;
  job.result = JobResult{text, reasoning, "stop", 3, 2};
  return job;
}

Job dead(Surface surface) {
  Job job = running(surface);
  job.state = JobState::kDead;
  job.error = JobError{"engine_error", "it broke", "server_error", ""};
  return job;
}

// The data of every event; "[DONE]" as a string.
std::vector<json> data_of(const std::string& events) {
  std::vector<json> out;
  std::istringstream lines(events);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("data:")) continue;
    json data = json::parse(line.substr(5), nullptr, false);
    if (data.is_discarded()) {
      out.push_back(line.substr(6));
    } else {
      out.push_back(std::move(data));
    }
  }
  return out;
}

std::string reasoning(AnswerEvents& events, std::string_view piece, std::size_t at = 0) {
  return events.text({.at = {0, at}, .reasoning = piece, .text = {}});
}
std::string text(AnswerEvents& events, std::string_view piece, std::size_t at = 0) {
  return events.text({.at = {at, 0}, .reasoning = {}, .text = piece});
}

TEST(ChunkEvents, OfAChatBeginWithTheRoleAndEndWithDone) {
  const auto events = make_chunk_events(Surface::kChat, true);
  std::string all = events->begin(running(Surface::kChat));
  all += reasoning(*events, "hm");
  all += text(*events, "4");
  all += text(*events, "2", 1);
  all += events->end(ended(Surface::kChat, "hm", "42"));
  const auto chunks = data_of(all);
  ASSERT_EQ(chunks.size(), 7U) << all;
  EXPECT_EQ(chunks[0]["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(chunks[1]["choices"][0]["delta"]["reasoning_content"], "hm");
  EXPECT_EQ(chunks[2]["choices"][0]["delta"]["content"], "4");
  EXPECT_EQ(chunks[3]["choices"][0]["delta"]["content"], "2");
  EXPECT_EQ(chunks[4]["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(chunks[5]["choices"], json::array());
  EXPECT_EQ(chunks[5]["usage"]["total_tokens"], 5);
  EXPECT_EQ(chunks[6], "[DONE]");
}

TEST(ChunkEvents, AnEndThatIsNoAnswerIsAnError) {
  const auto events = make_chunk_events(Surface::kCompletion, false);
  EXPECT_EQ(events->begin(running(Surface::kCompletion)), "");
  const auto chunks = data_of(text(*events, "4") + events->end(dead(Surface::kCompletion)));
  ASSERT_EQ(chunks.size(), 2U);
  EXPECT_EQ(chunks[0]["choices"][0]["text"], "4");
  EXPECT_EQ(chunks[1]["error"]["code"], "engine_error");
}

// What a client sees that reads all of it.
std::string whole_response(std::int64_t starting_after, std::vector<std::string_view> thoughts,
                           std::vector<std::string_view> texts) {
  const auto events = make_response_events(nullptr, starting_after);
  std::string all = events->begin(running(Surface::kResponse));
  std::string thought;
  std::string said;
  for (const auto piece : thoughts) {
    all += reasoning(*events, piece, thought.size());
    thought += piece;
  }
  for (const auto piece : texts) {
    all += text(*events, piece, said.size());
    said += piece;
  }
  return all + events->end(ended(Surface::kResponse, thought, said));
}

std::vector<std::string> types(const std::string& events) {
  std::vector<std::string> out;
  for (const json& data : data_of(events)) out.push_back(data["type"]);
  return out;
}

TEST(ResponseEvents, ComeInOpenAisOrder) {
  EXPECT_THAT(types(whole_response(-1, {}, {"4", "2"})),
              ElementsAre("response.created", "response.in_progress", "response.output_item.added",
                          "response.content_part.added", "response.output_text.delta",
                          "response.output_text.delta", "response.output_text.done",
                          "response.content_part.done", "response.output_item.done", "response.completed"));
  const std::string thinking = whole_response(-1, {"hm"}, {"42"});
  EXPECT_THAT(
      types(thinking),
      ElementsAre("response.created", "response.in_progress", "response.output_item.added",
                  "response.content_part.added", "response.reasoning_text.delta",
                  "response.reasoning_text.done", "response.content_part.done", "response.output_item.done",
                  "response.output_item.added", "response.content_part.added", "response.output_text.delta",
                  "response.output_text.done", "response.content_part.done", "response.output_item.done",
                  "response.completed"));
  const auto data = data_of(thinking);
  EXPECT_EQ(data[2]["item"]["type"], "reasoning");
  EXPECT_EQ(data[8]["item"]["type"], "message");
  EXPECT_EQ(data[8]["output_index"], 1);
  EXPECT_EQ(data[14]["response"]["output"][1]["content"][0]["text"], "42");
  EXPECT_NE(thinking.find("event: response.completed\n"), std::string::npos);
}

TEST(ResponseEvents, NumbersGrowAndFollowFromTheAnswerAlone) {
  for (const auto& all : {whole_response(-1, {"a", "bc"}, {"4", "2é"}), whole_response(-1, {}, {"42é"})}) {
    std::int64_t last = -1;
    for (const json& data : data_of(all)) {
      EXPECT_GT(data["sequence_number"], last);
      last = data["sequence_number"];
    }
  }
  const auto last = [](const std::string& all) { return data_of(all).back(); };
  EXPECT_EQ(last(whole_response(-1, {"a", "bc"}, {"4", "2é"})), last(whole_response(-1, {"abc"}, {"42é"})));
}

TEST(ResponseEvents, WhoComesBackGetsTheRest) {
  const std::string all = whole_response(-1, {"abc"}, {"4", "2é", "!"});
  const auto said = [](const std::string& events) {
    std::string out;
    for (const json& data : data_of(events)) out += data.value("delta", "");
    return out;
  };
  std::string told;
  for (const json& data : data_of(all)) {
    told += data.value("delta", "");
    // The rest comes in other pieces.
    const std::string rest = whole_response(data["sequence_number"], {"a", "bc"}, {"42", "é!"});
    EXPECT_EQ(told + said(rest), "abc42é!") << data;
    for (const json& later : data_of(rest)) EXPECT_GT(later["sequence_number"], data["sequence_number"]);
  }
}

TEST(ResponseEvents, WhoComesBackAfterAnInterruptionMissesNothing) {
  const auto first = make_response_events(nullptr);
  (void)first->begin(running(Surface::kResponse));
  (void)reasoning(*first, "hm");
  (void)text(*first, "4");
  const json interrupted = data_of(first->broken({"gone", "gone", "", ""})).back();
  const auto rest = data_of(whole_response(interrupted["sequence_number"], {"hm"}, {"42"}));
  ASSERT_FALSE(rest.empty());
  EXPECT_EQ(rest[0].value("delta", ""), "2");

  // Nothing was told but the beginning.
  const auto early = make_response_events(nullptr);
  (void)early->begin(running(Surface::kResponse));
  const json at_once = data_of(early->broken({"gone", "gone", "", ""})).back();
  EXPECT_EQ(types(whole_response(at_once["sequence_number"], {}, {"42"}))[0], "response.output_item.added");
}

TEST(ResponseEvents, TheEndIsToldAlsoToWhoHeardMoreThanIsKnown) {
  constexpr std::int64_t kHeard = 100;
  const auto resumed = [] {
    auto events = make_response_events(nullptr, kHeard);
    EXPECT_EQ(events->begin(running(Surface::kResponse)), "");
    return events;
  };
  for (const auto& [end, type] :
       {std::pair(resumed()->end(dead(Surface::kResponse)), "response.failed"),
        std::pair(resumed()->end(ended(Surface::kResponse, "", "42")), "response.completed")}) {
    const auto data = data_of(end);
    ASSERT_EQ(data.size(), 1U) << end;
    EXPECT_EQ(data[0]["type"], type);
    EXPECT_EQ(data[0]["sequence_number"], kHeard + 1);
  }
  const auto data = data_of(resumed()->broken({"gone", "gone", "", ""}));
  ASSERT_EQ(data.size(), 1U);
  EXPECT_EQ(data[0]["sequence_number"], kHeard);
}

TEST(ResponseEvents, EndsOfOtherKinds) {
  const auto end_of = [](const Job& job) {
    const auto events = make_response_events(nullptr);
    (void)events->begin(running(Surface::kResponse));
    (void)text(*events, "4");
    return data_of(events->end(job)).back();
  };
  EXPECT_EQ(end_of(dead(Surface::kResponse))["type"], "response.failed");
  EXPECT_EQ(end_of(dead(Surface::kResponse))["response"]["error"]["message"], "it broke");
  Job job = dead(Surface::kResponse);
  job.state = JobState::kCancelled;
  EXPECT_EQ(end_of(job)["type"], "response.cancelled");
  job = ended(Surface::kResponse, "", "4");
  job.result->finish_reason = "length";
  EXPECT_EQ(end_of(job)["type"], "response.incomplete");
  const auto events = make_response_events(nullptr);
  (void)events->begin(running(Surface::kResponse));
  EXPECT_EQ(data_of(events->broken({"gone", "gone", "", ""})).back()["type"], "error");
}

}  // namespace
}  // namespace sluice::producer
