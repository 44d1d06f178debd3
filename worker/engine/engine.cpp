#include "worker/engine/engine.h"

#include <array>
#include <cmath>
#include <utility>

namespace sluice {
namespace {

constexpr std::array<std::pair<std::string_view, FaultKind>, 4> kFaultNames{{
    {"transient", FaultKind::kTransient},
    {"permanent", FaultKind::kPermanent},
    {"crash", FaultKind::kCrash},
    {"slow", FaultKind::kSlow},
}};

// Limits that keep arithmetic finite; what clients may ask for is narrower and checked where they ask.
constexpr float kTemperatureMax = 100.0F;
constexpr float kPenaltyMax = 100.0F;

}  // namespace

Status validate(const SamplingParams& params) {
  const auto refuse = [](std::string_view field, std::string_view expected) {
    return fail(ErrorCode::kInvalid, std::string(field) + " must be " + std::string(expected));
  };
  // Written so that NaN fails every comparison.
  const auto within = [](float value, float low, float high) { return value >= low && value <= high; };
  if (params.max_tokens < 0) return refuse("max_tokens", "0 or more");
  if (!within(params.temperature, 0.0F, kTemperatureMax)) return refuse("temperature", "from 0 to 100");
  if (!(params.top_p > 0.0F && params.top_p <= 1.0F)) return refuse("top_p", "above 0 and at most 1");
  if (params.top_k < 0) return refuse("top_k", "0 or more");
  if (!(params.min_p >= 0.0F && params.min_p < 1.0F)) return refuse("min_p", "at least 0 and below 1");
  if (!within(params.repetition_penalty, 0.01F, kPenaltyMax))
    return refuse("repetition_penalty", "from 0.01 to 100");
  if (!within(params.frequency_penalty, -kPenaltyMax, kPenaltyMax))
    return refuse("frequency_penalty", "from -100 to 100");
  if (!within(params.presence_penalty, -kPenaltyMax, kPenaltyMax))
    return refuse("presence_penalty", "from -100 to 100");
  if (params.top_logprobs < 0 || params.top_logprobs > kTopLogprobsMax)
    return refuse("top_logprobs", "from 0 to 20");
  if (params.top_logprobs > 0 && !params.logprobs) return refuse("top_logprobs", "0 without logprobs");
  return {};
}

std::optional<FaultKind> fault_kind_from(std::string_view name) {
  for (const auto& [known, kind] : kFaultNames) {
    if (known == name) return kind;
  }
  return std::nullopt;
}

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

}  // namespace sluice
