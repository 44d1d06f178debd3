#include "common/store/task_message.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice {
namespace {

const std::string kId = "job_018f4e1c-7a2b-7abc-8def-0123456789a5";

TEST(TaskMessage, ComesBackAsItWas) {
  const TaskRef task{JobId{kId}, 3, 2};
  const std::string text = task_to_json(task);
  EXPECT_EQ(task_from_json(text).value(), task);
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json["job_id"], kId);
  EXPECT_EQ(json["shard"], 5);
}

TEST(TaskMessage, UnknownMembersAreIgnored) {
  EXPECT_TRUE(
      task_from_json(R"({"job_id": ")" + kId + R"(", "generation": 1, "attempt": 0, "traceparent": "00-x"})")
          .has_value());
}

TEST(TaskMessage, BrokenOnesAreCorrupt) {
  const auto with = [](const std::string& id, const std::string& generation, const std::string& attempt) {
    return R"({"job_id": )" + id + R"(, "generation": )" + generation + R"(, "attempt": )" + attempt + "}";
  };
  const std::string id = '"' + kId + '"';
  ASSERT_TRUE(task_from_json(with(id, "1", "0")).has_value());
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("{}"), std::string("\xff"),
        with("5", "1", "0"), with("\"job_x\"", "1", "0"), with("\"batch" + kId.substr(3) + "\"", "1", "0"),
        with(id, "\"1\"", "0"), with(id, "1.5", "0"), with(id, "-1", "0"), with(id, "1", "null"),
        with(id, "1", "99999999999"), with(id, "18446744073709551615", "0")}) {
    const auto task = task_from_json(text);
    ASSERT_FALSE(task.has_value()) << text;
    EXPECT_EQ(task.error().code, ErrorCode::kCorrupt);
  }
}

}  // namespace
}  // namespace sluice
