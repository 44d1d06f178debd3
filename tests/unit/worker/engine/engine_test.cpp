#include "worker/engine/engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

namespace sluice {
namespace {

TEST(SamplingParams, DefaultsAndEdgesAreValid) {
  EXPECT_TRUE(validate({}).has_value());
  SamplingParams edges;
  edges.max_tokens = 0;
  edges.temperature = 2.0F;
  edges.top_p = 1.0F;
  edges.min_p = 0.99F;
  edges.frequency_penalty = -2.0F;
  EXPECT_TRUE(validate(edges).has_value());
}

TEST(SamplingParams, WhatIsOutOfRangeIsNamed) {
  const std::vector<std::pair<std::string, std::function<void(SamplingParams&)>>> cases = {
      {"max_tokens", [](SamplingParams& p) { p.max_tokens = -1; }},
      {"temperature", [](SamplingParams& p) { p.temperature = -0.1F; }},
      {"temperature", [](SamplingParams& p) { p.temperature = NAN; }},
      {"temperature", [](SamplingParams& p) { p.temperature = INFINITY; }},
      {"top_p", [](SamplingParams& p) { p.top_p = 0.0F; }},
      {"top_p", [](SamplingParams& p) { p.top_p = 1.01F; }},
      {"top_p", [](SamplingParams& p) { p.top_p = NAN; }},
      {"top_k", [](SamplingParams& p) { p.top_k = -1; }},
      {"min_p", [](SamplingParams& p) { p.min_p = 1.0F; }},
      {"min_p", [](SamplingParams& p) { p.min_p = -0.5F; }},
      {"repetition_penalty", [](SamplingParams& p) { p.repetition_penalty = 0.0F; }},
      {"frequency_penalty", [](SamplingParams& p) { p.frequency_penalty = INFINITY; }},
      {"presence_penalty", [](SamplingParams& p) { p.presence_penalty = -INFINITY; }},
  };
  for (const auto& [field, spoil] : cases) {
    SamplingParams params;
    spoil(params);
    const Status status = validate(params);
    ASSERT_FALSE(status.has_value()) << field;
    EXPECT_EQ(status.error().code, ErrorCode::kInvalid);
    EXPECT_TRUE(status.error().message.starts_with(field)) << status.error().message;
  }
}

TEST(FaultKind, IsFoundByItsName) {
  EXPECT_EQ(fault_kind_from("transient"), FaultKind::kTransient);
  EXPECT_EQ(fault_kind_from("permanent"), FaultKind::kPermanent);
  EXPECT_EQ(fault_kind_from("crash"), FaultKind::kCrash);
  EXPECT_EQ(fault_kind_from("slow"), FaultKind::kSlow);
  EXPECT_EQ(fault_kind_from("Slow"), std::nullopt);
}

TEST(FinishReason, HasTheNamesOfTheApi) {
  EXPECT_EQ(finish_reason_name(FinishReason::kStop), "stop");
  EXPECT_EQ(finish_reason_name(FinishReason::kLength), "length");
  EXPECT_EQ(finish_reason_name(FinishReason::kCancelled), "cancelled");
}

}  // namespace
}  // namespace sluice
