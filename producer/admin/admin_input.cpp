#include "producer/admin/admin_input.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "common/http/body_json.h"
#include "common/text/unicode.h"
#include "producer/api/json_fields.h"

namespace sluice::producer {

using nlohmann::json;

namespace {

constexpr std::size_t kModelBytesMax = 128;
constexpr std::size_t kTenantBytesMax = 64;
constexpr std::size_t kErrorCodeBytesMax = 64;
constexpr std::size_t kFingerprintBytes = 16;
constexpr std::size_t kActionBytesMax = 64;
constexpr double kSecondsMax = 253402300799;  // The last second of the year 9999.
constexpr double kRateMin = 0.001;            // One letter in 17 minutes.
constexpr double kRateMax = 100'000;
constexpr std::int64_t kCanaryMax = 1'000'000;
constexpr std::array<std::string_view, 7> kFilterMembers = {
    "tenant", "model", "fingerprint", "error_code", "reason", "died_from", "died_before"};

bool is_member(std::string_view name) {
  return std::find(kFilterMembers.begin(), kFilterMembers.end(), name) != kFilterMembers.end();
}

std::optional<std::int64_t> read_micros(std::string_view text) {
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (!(seconds > 0) || seconds > kSecondsMax) return std::nullopt;
  const std::int64_t us = std::llround(seconds * 1e6);
  // In a filter 0 stands for any time: what rounds to it would choose everything.
  return us > 0 ? std::optional(us) : std::nullopt;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// Sets one member from its text; says what is wrong, or nothing.
std::string set_member(DeadLetterFilter& filter, std::string_view name, const std::string& value) {
  const auto text = [&value](std::string& target, std::size_t bytes_max) -> std::string {
    if (value.empty() || value.size() > bytes_max)
      return "must have 1 to " + std::to_string(bytes_max) + " bytes";
    if (!utf8_valid(value)) return "must be UTF-8";
    target = value;
    return {};
  };
  if (name == "tenant") {
    // The database would not compare its column with anything else.
    if (!is_ascii(value)) return "must be ASCII";
    return text(filter.tenant.value, kTenantBytesMax);
  }
  if (name == "model") return text(filter.model, kModelBytesMax);
  if (name == "error_code") return text(filter.error_code, kErrorCodeBytesMax);
  if (name == "fingerprint") {
    const bool hex = value.size() == kFingerprintBytes && std::all_of(value.begin(), value.end(), [](char c) {
                       return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
                     });
    if (!hex) return "must be 16 hexadecimal digits in lower case";
    filter.fingerprint = value;
    return {};
  }
  if (name == "reason") {
    filter.reason = dead_reason_from(value);
    return filter.reason ? "" : "must be attempts, poison, failed or expired";
  }
  const auto us = read_micros(value);
  if (!us) return "must be Unix seconds";
  (name == "died_from" ? filter.died_from_us : filter.died_before_us) = *us;
  return {};
}

void read_filter(const json& value, DeadLetterFilter& filter, FieldErrors& errors) {
  if (!value.is_object()) {
    errors.add("filter", "invalid_type", "must be an object");
    return;
  }
  for (const auto& [name, member] : value.items()) {
    const std::string field = "filter." + field_name(name);
    const bool time = name == "died_from" || name == "died_before";
    if (!is_member(name)) {
      errors.add(field, "unknown_field", "is not a member of a filter");
    } else if (time ? !member.is_number() : !member.is_string()) {
      errors.add(field, "invalid_type", time ? "must be a number" : "must be a string");
    } else if (const std::string wrong =
                   set_member(filter, name, member.is_string() ? member.get<std::string>() : member.dump());
               !wrong.empty()) {
      errors.add(field, "invalid_value", wrong);
    }
  }
  if (errors.empty() && filter.everything())
    errors.add("filter", "invalid_value", "chooses everything: say \"all\": true if you mean that");
}

void read_ids(const json& value, DeadLetterFilter& filter, FieldErrors& errors) {
  if (!value.is_array() || value.empty() || value.size() > kLetterIdsMax) {
    errors.add("ids", value.is_array() ? "out_of_range" : "invalid_type",
               "must be an array of 1 to " + std::to_string(kLetterIdsMax) + " job ids");
    return;
  }
  std::set<std::string> seen;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (!value[i].is_string() ||
        !is_well_formed_id(value[i].get_ref<const std::string&>(), JobIdTag::kPrefix)) {
      errors.add("ids[" + std::to_string(i) + "]", "invalid_value", "must be the id of a job");
    } else if (seen.insert(value[i].get<std::string>()).second) {
      filter.ids.push_back(JobId{value[i].get<std::string>()});
    }
  }
}

void read_flag(const json& value, const std::string& name, FieldErrors& errors, bool& target) {
  if (value.is_null()) return;
  if (value.is_boolean()) {
    target = value.get<bool>();
  } else {
    errors.add(name, "invalid_type", "must be true or false");
  }
}

void read_redrive_member(const std::string& name, const json& value, NewOperation& operation,
                         FieldErrors& errors) {
  if (name == "force") {
    read_flag(value, name, errors, operation.forced);
  } else if (name == "canary") {
    read_integer(value, name, 1, kCanaryMax, errors,
                 [&](std::int64_t count) { operation.canary = static_cast<int>(count); });
  } else if (name == "rate") {
    double rate = 0;
    read_number(value, name, {.min = kRateMin, .max = kRateMax}, errors, rate);
    if (rate > 0) operation.rate_max = rate;
  } else if (name == "expires_in") {
    read_integer(value, name, 1, kExpiresInMaxS, errors, [&](std::int64_t s) { operation.expires_in_s = s; });
  } else {
    errors.add(field_name(name), "unknown_field", "is not a field of a redrive");
  }
}

}  // namespace

const std::string* QueryReader::take(std::string_view name) {
  taken_.emplace_back(name);
  for (const auto& [given, value] : head_.query) {
    if (given == name) return &value;
  }
  return nullptr;
}

void QueryReader::refuse(std::string_view name, std::string message) {
  if (!bad_) bad_ = BadQuery{field_name(name), std::move(message)};
}

int QueryReader::take_limit(int limit_max) {
  const std::string* value = take("limit");
  if (value == nullptr) return std::min(kListLimitDefault, limit_max);
  int limit = 0;
  const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), limit);
  if (error != std::errc() || end != value->data() + value->size() || limit < 1 || limit > limit_max) {
    refuse("limit", "must be a whole number from 1 to " + std::to_string(limit_max));
    return 1;
  }
  return limit;
}

std::optional<BadQuery> QueryReader::finish() const {
  if (bad_) return bad_;
  std::set<std::string_view> seen;
  for (const auto& [given, value] : head_.query) {
    if (std::find(taken_.begin(), taken_.end(), given) == taken_.end()) {
      return BadQuery{field_name(given), "is not a query parameter of this route"};
    }
    if (!seen.insert(given).second) return BadQuery{field_name(given), "is given twice"};
  }
  return std::nullopt;
}

DeadLetterFilter take_filter(QueryReader& query) {
  DeadLetterFilter filter;
  for (const std::string_view name : kFilterMembers) {
    const std::string* value = query.take(name);
    if (value == nullptr) continue;
    if (const std::string wrong = set_member(filter, name, *value); !wrong.empty()) query.refuse(name, wrong);
  }
  return filter;
}

std::optional<LetterRef> take_letter(QueryReader& query, std::string_view name) {
  const std::string* value = query.take(name);
  if (value == nullptr) return std::nullopt;
  std::optional<LetterRef> letter = letter_ref_from(*value);
  if (!letter && is_well_formed_id(*value, JobIdTag::kPrefix)) letter = LetterRef{JobId{*value}, 0};
  if (!letter) query.refuse(name, "must be the last_id of a page, or the id of a job");
  return letter;
}

std::string take_action(QueryReader& query) {
  const std::string* value = query.take("action");
  if (value == nullptr) return {};
  const bool good = !value->empty() && value->size() <= kActionBytesMax &&
                    std::all_of(value->begin(), value->end(),
                                [](char c) { return (c >= 'a' && c <= 'z') || c == '_' || c == '.'; });
  if (!good) query.refuse("action", "must be an action, or the beginning of some up to a dot");
  return *value;
}

tl::expected<LettersAsked, SubmitRefusal> read_letters_asked(std::string_view body, OperationKind kind) {
  LettersAsked asked;
  asked.operation.kind = kind;
  const auto parsed = http::parse_json(body);
  if (!parsed) return tl::unexpected(SubmitRefusal{400, "invalid_json", parsed.error().message, "", {}});
  FieldErrors errors;
  if (!parsed->is_object()) {
    errors.add("", "invalid_type", "must be a JSON object");
    return tl::unexpected(refusal_of(std::move(errors)));
  }
  int chosen = 0;
  for (const auto& [name, value] : parsed->items()) {
    if (name == "ids") {
      ++chosen;
      read_ids(value, asked.operation.filter, errors);
    } else if (name == "filter") {
      ++chosen;
      read_filter(value, asked.operation.filter, errors);
    } else if (name == "all") {
      bool all = false;
      read_flag(value, name, errors, all);
      if (all) ++chosen;
    } else if (name == "dry_run") {
      read_flag(value, name, errors, asked.dry_run);
    } else if (kind == OperationKind::kRedrive) {
      read_redrive_member(name, value, asked.operation, errors);
    } else {
      errors.add(field_name(name), "unknown_field", "is not a field of a discard");
    }
  }
  if (errors.empty() && chosen != 1) {
    errors.add("", chosen == 0 ? "missing_field" : "invalid_value",
               "must say which letters with exactly one of \"ids\", \"filter\" and \"all\": true");
  }
  if (!errors.empty()) return tl::unexpected(refusal_of(std::move(errors)));
  return asked;
}

}  // namespace sluice::producer
