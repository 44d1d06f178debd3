// What a batch's file and its request may say, and what is told of the rest.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "producer/batches/batch_request.h"
#include "producer/batches/input_check.h"
#include "producer/batches/input_line.h"

namespace sluice::producer {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kChat = "/v1/chat/completions";

ModelCatalog echo() {
  ModelCatalog models;
  models.add(make_echo_model());
  return models;
}

json good_line(const std::string& custom_id = "a") {
  return {{"custom_id", custom_id},
          {"method", "POST"},
          {"url", kChat},
          {"body", {{"messages", {{{"role", "user"}, {"content", "two words"}}}}, {"max_tokens", 9}}}};
}

std::string code_of(const json& line) {
  const auto parsed = parse_input_line(line.dump(), kChat, echo());
  return parsed ? "good" : parsed.error().error.code + " " + parsed.error().error.param;
}

TEST(InputLine, HoldsARequestOfTheBatchsEndpoint) {
  const ModelCatalog models = echo();
  json line = good_line();
  line["callback_url"] = "https://example.com/hook";
  const auto parsed = parse_input_line(line.dump(), kChat, models);
  ASSERT_TRUE(parsed.has_value()) << parsed.error().error.message;
  EXPECT_EQ(parsed->custom_id, "a");
  EXPECT_EQ(parsed->callback_url, "https://example.com/hook");
  EXPECT_EQ(parsed->spec.model->name(), "echo");
  EXPECT_EQ(parsed->spec.prompt_tokens, 2);
  EXPECT_EQ(parsed->spec.tokens_max, 11);
}

TEST(InputLine, SaysWhatIsWrongWithIt) {
  const auto with = [](const char* name, const json& value) {
    json line = good_line();
    line[name] = value;
    return code_of(line);
  };
  EXPECT_EQ(code_of(good_line()), "good");
  EXPECT_EQ(code_of(json::array()), "invalid_type ");
  EXPECT_EQ(parse_input_line("{", kChat, echo()).error().error.code, "invalid_json_line");
  EXPECT_EQ(with("custom_id", nullptr), "missing_field custom_id");
  EXPECT_EQ(with("custom_id", 7), "invalid_type custom_id");
  EXPECT_EQ(with("custom_id", ""), "out_of_range custom_id");
  EXPECT_EQ(with("custom_id", std::string(513, 'x')), "out_of_range custom_id");
  EXPECT_EQ(with("method", "GET"), "invalid_method method");
  EXPECT_EQ(with("url", "/v1/completions"), "invalid_url url");
  EXPECT_EQ(with("callback_url", "ftp://x"), "invalid_value callback_url");
  EXPECT_EQ(with("body", nullptr), "invalid_type body");
  json line = good_line();
  line["body"]["model"] = "none";
  EXPECT_EQ(code_of(line), "model_not_found body.model");
  line = good_line();
  line["body"]["stream"] = true;
  EXPECT_EQ(code_of(line), "invalid_value body.stream");
  line = good_line();
  line["body"]["priority"] = "high";
  EXPECT_EQ(code_of(line), "invalid_value body.priority");
  line = good_line();
  line["body"]["cache"] = false;
  EXPECT_EQ(code_of(line), "invalid_value body.cache");
  line = good_line();
  line["body"].erase("messages");
  EXPECT_EQ(code_of(line), "missing_field body.messages");
}

FileLine text_line(std::string text) {
  FileLine line;
  line.text = std::move(text);
  return line;
}

TEST(InputCheck, ReportsEveryBadLineWithItsNumber) {
  const ModelCatalog models = echo();
  InputCheck check(kChat, models, kBatchErrorsKept, true);
  FileLine long_line;
  long_line.too_long = true;
  for (const FileLine& line :
       {text_line(good_line("a").dump()), text_line(" \t"), text_line("nonsense"),
        text_line(good_line("b").dump()), long_line, text_line(good_line("a").dump()), text_line("")}) {
    EXPECT_TRUE(check.take(line));
  }
  check.finish();
  EXPECT_EQ(check.requests(), 5);
  EXPECT_EQ(check.prompt_tokens(), 4);
  EXPECT_EQ(check.tokens_max(), 22);
  ASSERT_EQ(check.demands().size(), 1u);
  EXPECT_EQ(check.demands().begin()->second.tokens_max, 22);
  EXPECT_EQ(check.demands().begin()->second.jobs, 2);
  std::vector<std::string> told;
  for (const BatchError& error : check.errors().kept) {
    told.push_back(std::to_string(error.line) + " " + error.code);
  }
  EXPECT_THAT(told, ElementsAre("3 invalid_json_line", "5 line_too_long", "6 duplicate_custom_id"));
  EXPECT_THAT(check.errors().kept.back().message, HasSubstr("line 1"));
  std::istringstream report(check.report());
  std::vector<std::string> reported;
  for (std::string line; std::getline(report, line);) {
    const json one = json::parse(line);
    EXPECT_TRUE(one["response"].is_null());
    reported.push_back(one["custom_id"].dump() + " " + one["error"]["line"].dump());
  }
  EXPECT_THAT(reported, ElementsAre("null 3", "null 5", "\"a\" 6"));
}

TEST(InputCheck, CountsErrorsThatItNoLongerKeepsAndStopsAtTooManyLines) {
  const ModelCatalog models = echo();
  InputCheck check(kChat, models, kBatchErrorsKept, true);
  const FileLine bad = text_line("x");
  for (std::int64_t i = 0; i < kBatchLinesMax; ++i) ASSERT_TRUE(check.take(bad));
  EXPECT_FALSE(check.take(bad));
  EXPECT_EQ(check.errors().count, kBatchLinesMax + 1);
  EXPECT_EQ(check.errors().kept.size(), kBatchErrorsKept);
  EXPECT_EQ(std::count(check.report().begin(), check.report().end(), '\n'), kBatchLinesMax + 1);
}

TEST(InputCheck, AFileWithoutRequestsIsAnError) {
  const ModelCatalog models = echo();
  InputCheck check(kChat, models, kBatchErrorsKept, true);
  EXPECT_TRUE(check.take(text_line("")));
  EXPECT_EQ(check.errors().count, 0);
  check.finish();
  ASSERT_EQ(check.errors().count, 1);
  EXPECT_EQ(check.errors().kept[0].code, "empty_file");
}

TEST(BatchRequest, TakesOpenAisMembersAndOurs) {
  const auto parsed = parse_batch_request(
      R"({"input_file_id": "file-1", "endpoint": "/v1/responses", "completion_window": "90m",
          "metadata": {"a": "b"}, "output_expires_after": {"anchor": "created_at", "seconds": 3600},
          "callback_url": "https://example.com/", "callback_every": {"lines": 1000, "seconds": 1},
          "priority": "normal", "validate_only": true})");
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  EXPECT_TRUE(parsed->validate_only);
  EXPECT_EQ(parsed->batch.window, "90m");
  EXPECT_EQ(parsed->batch.window_s, 5'400);
  EXPECT_EQ(parsed->batch.output_expires_s, 3'600);
  EXPECT_EQ(parsed->batch.priority, Priority::kNormal);
  EXPECT_EQ(parsed->batch.metadata_json, R"({"a":"b"})");
  EXPECT_EQ(parsed->batch.callback_lines, 1'000);
  EXPECT_EQ(parsed->batch.callback_seconds, 1);
  const auto least = parse_batch_request(R"({"input_file_id": "file-1", "endpoint": "/v1/completions"})");
  ASSERT_TRUE(least.has_value());
  EXPECT_EQ(least->batch.window_s, 24 * 3'600);
  EXPECT_EQ(least->batch.priority, Priority::kLow);
  EXPECT_EQ(least->batch.callback_lines + least->batch.callback_seconds, 0);
}

TEST(InputLine, IsNoTurnAndHasNoClientThatWaits) {
  json line = good_line();
  line["body"]["session_id"] = "s";
  EXPECT_EQ(code_of(line), "invalid_value body.session_id");
  line = good_line();
  line["body"]["cancel_on_disconnect"] = true;
  EXPECT_EQ(code_of(line), "invalid_value body.cancel_on_disconnect");
}

TEST(BatchRequest, NamesTheFieldAtFault) {
  const auto param_of = [](json more) {
    json body = {{"input_file_id", "file-1"}, {"endpoint", kChat}};
    body.update(more);
    const auto parsed = parse_batch_request(body.dump());
    return parsed ? "good" : parsed.error().param;
  };
  EXPECT_EQ(param_of(json::object()), "good");
  EXPECT_EQ(param_of({{"input_file_id", nullptr}}), "input_file_id");
  EXPECT_EQ(param_of({{"endpoint", "/v1/jobs"}}), "endpoint");
  EXPECT_EQ(param_of({{"output_expires_after", {{"anchor", "created_at"}}}}), "output_expires_after.seconds");
  EXPECT_EQ(param_of({{"output_expires_after", {{"anchor", "x"}, {"seconds", 3600}}}}),
            "output_expires_after.anchor");
  EXPECT_EQ(param_of({{"output_expires_after", {{"anchor", "created_at"}, {"seconds", 3599}}}}),
            "output_expires_after.seconds");
  EXPECT_EQ(param_of({{"validate_only", 1}}), "validate_only");
  const auto every = [&param_of](json value) {
    return param_of({{"callback_url", "https://example.com/"}, {"callback_every", std::move(value)}});
  };
  EXPECT_EQ(every({{"lines", 1}, {"seconds", 3'600}}), "good");
  EXPECT_EQ(every({{"lines", 0}, {"seconds", 1}}), "callback_every.lines");
  EXPECT_EQ(every({{"lines", 1'001}, {"seconds", 1}}), "callback_every.lines");
  EXPECT_EQ(every({{"lines", 1}, {"seconds", 3'601}}), "callback_every.seconds");
  EXPECT_EQ(every({{"lines", 1}}), "callback_every.seconds");
  EXPECT_EQ(every({{"lines", 1}, {"seconds", 1}, {"bytes", 1}}), "callback_every.bytes");
  EXPECT_EQ(every(7), "callback_every");
  EXPECT_EQ(param_of({{"callback_every", {{"lines", 1}, {"seconds", 1}}}}), "callback_url");
  EXPECT_EQ(param_of({{"window", "24h"}}), "window");
}

TEST(BatchRequest, WindowsAreWholeTimesUpToAWeek) {
  EXPECT_EQ(parse_window("24h"), 86'400);
  EXPECT_EQ(parse_window("7d"), kWindowMaxS);
  EXPECT_EQ(parse_window("1s"), 1);
  for (const char* bad :
       {"", "h", "24", "0h", "-1h", "+1h", "1.5h", "8d", "169h", "24H", "24 h", "99999999h"}) {
    EXPECT_EQ(parse_window(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace sluice::producer
