// Names of a letter's reasons and states, and filters as text.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "common/store/dead_letter_store.h"
#include "common/store/operation_store.h"

namespace sluice {

namespace {

constexpr std::array<std::string_view, 4> kReasons = {"attempts", "poison", "failed", "expired"};
constexpr std::array<std::string_view, 4> kLetterStates = {"dead", "redriven", "replayed", "discarded"};
constexpr std::array<std::string_view, 2> kOperationKinds = {"redrive", "discard"};
constexpr std::array<std::string_view, 4> kOperationStates = {"running", "canary", "done", "cancelled"};

template <class T, std::size_t N>
std::optional<T> find_name(const std::array<std::string_view, N>& names, std::string_view name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return std::nullopt;
  return static_cast<T>(found - names.begin());
}

nlohmann::json seconds(std::int64_t us) {
  if (us % 1'000'000 == 0) return us / 1'000'000;
  return static_cast<double>(us) / 1e6;
}

}  // namespace

std::string_view dead_reason_name(DeadReason reason) {
  return kReasons[static_cast<std::size_t>(reason)];
}
std::optional<DeadReason> dead_reason_from(std::string_view name) {
  return find_name<DeadReason>(kReasons, name);
}
std::string_view letter_state_name(LetterState state) {
  return kLetterStates[static_cast<std::size_t>(state)];
}
std::optional<LetterState> letter_state_from(std::string_view name) {
  return find_name<LetterState>(kLetterStates, name);
}
std::string_view operation_kind_name(OperationKind kind) {
  return kOperationKinds[static_cast<std::size_t>(kind)];
}
std::string_view operation_state_name(OperationState state) {
  return kOperationStates[static_cast<std::size_t>(state)];
}

std::string filter_to_json(const DeadLetterFilter& filter) {
  nlohmann::json out = nlohmann::json::object();
  if (!filter.ids.empty()) {
    nlohmann::json& ids = out["ids"] = nlohmann::json::array();
    for (const JobId& id : filter.ids) ids.push_back(id.value);
  }
  const auto put = [&out](const char* name, const std::string& value) {
    if (!value.empty()) out[name] = value;
  };
  put("tenant", filter.tenant.value);
  put("model", filter.model);
  put("fingerprint", filter.fingerprint);
  put("error_code", filter.error_code);
  if (filter.reason) out["reason"] = dead_reason_name(*filter.reason);
  if (filter.died_from_us != 0) out["died_from"] = seconds(filter.died_from_us);
  if (filter.died_before_us != 0) out["died_before"] = seconds(filter.died_before_us);
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string asked_to_json(const NewOperation& asked) {
  nlohmann::json out = nlohmann::json::parse(filter_to_json(asked.filter));
  if (asked.filter.everything()) out["all"] = true;
  if (asked.forced) out["force"] = true;
  if (asked.rate_max) out["rate"] = *asked.rate_max;
  if (asked.canary) out["canary"] = *asked.canary;
  if (asked.expires_in_s) out["expires_in"] = *asked.expires_in_s;
  return out.dump();
}

Result<DeadLetterFilter> filter_from_json(std::string_view text) {
  try {
    const auto in = nlohmann::json::parse(text);
    DeadLetterFilter filter;
    for (const auto& id : in.value("ids", nlohmann::json::array()))
      filter.ids.push_back(JobId{id.get<std::string>()});
    filter.tenant.value = in.value("tenant", "");
    filter.model = in.value("model", "");
    filter.fingerprint = in.value("fingerprint", "");
    filter.error_code = in.value("error_code", "");
    if (in.contains("reason")) {
      filter.reason = dead_reason_from(in.at("reason").get<std::string>());
      if (!filter.reason) return fail(ErrorCode::kCorrupt, "stored filter: unknown reason");
    }
    filter.died_from_us = std::llround(in.value("died_from", 0.0) * 1e6);
    filter.died_before_us = std::llround(in.value("died_before", 0.0) * 1e6);
    return filter;
  } catch (const nlohmann::json::exception& e) {
    return fail(ErrorCode::kCorrupt, std::string("stored filter: ") + e.what());
  }
}

std::string letter_ref_text(const LetterRef& letter) {
  return letter.job_id.value + ":" + std::to_string(letter.generation);
}

std::optional<LetterRef> letter_ref_from(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  LetterRef letter{JobId{std::string(text.substr(0, colon))}, 0};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, letter.generation);
  if (error != std::errc() || stop != end || letter.generation <= 0 ||
      !is_well_formed_id(letter.job_id.value, JobIdTag::kPrefix)) {
    return std::nullopt;
  }
  return letter;
}

}  // namespace sluice
