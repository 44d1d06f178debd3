#include "producer/api/parameters.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "producer/api/json_fields.h"

namespace sluice::producer {

namespace {

using nlohmann::json;

constexpr std::size_t kStopsMax = 4;
constexpr std::size_t kStopBytesMax = 256;
// Engines compute with floats: closer to an open end of a range than this would be the end itself.
constexpr double kNearest = 1e-6;
constexpr int kTopLogprobsMax = 20;
constexpr int kFaultMsMax = 600'000;
constexpr int kFaultAttemptsMax = 1000;

void read_stop(const json& value, const std::string& field, JobParameters& parameters, FieldErrors& errors) {
  const auto is_stop = [](const json& text) {
    return text.is_string() && !text.get_ref<const std::string&>().empty() &&
           text.get_ref<const std::string&>().size() <= kStopBytesMax;
  };
  if (is_stop(value)) {
    parameters.stop = {value.get<std::string>()};
    return;
  }
  if (!value.is_array() || value.size() > kStopsMax) {
    errors.add(field, value.is_array() || value.is_string() ? "invalid_value" : "invalid_type",
               "must be a string or at most 4 strings, each of 1 to 256 bytes");
    return;
  }
  parameters.stop.clear();
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (is_stop(value[i])) {
      parameters.stop.push_back(value[i].get<std::string>());
    } else {
      errors.add(field + "[" + std::to_string(i) + "]",
                 value[i].is_string() ? "invalid_value" : "invalid_type",
                 "must be a string of 1 to 256 bytes");
    }
  }
}

void read_precision(const json& value, const std::string& field, JobParameters& parameters,
                    FieldErrors& errors) {
  const auto precision =
      value.is_string() ? request_precision_from(value.get_ref<const std::string&>()) : std::nullopt;
  if (precision) {
    parameters.precision = *precision;
  } else if (!value.is_null()) {
    errors.add(field, value.is_string() ? "invalid_value" : "invalid_type", "must be full or adaptive");
  }
}

void read_fault(const json& value, const std::string& field, JobParameters& parameters, FieldErrors& errors) {
  const auto kind =
      value.is_string() ? request_fault_from(value.get_ref<const std::string&>()) : std::nullopt;
  if (!kind) {
    errors.add(field, "invalid_value", "must be transient, permanent, crash or slow");
    return;
  }
  if (!parameters.fault) parameters.fault.emplace();
  parameters.fault->kind = *kind;
}

void read_fault_detail(const std::string& name, const json& value, const std::string& field, bool kind_given,
                       JobParameters& p, FieldErrors& errors) {
  if (!p.fault) {
    // A kind that was given and refused has its own error already.
    if (!kind_given) errors.add(field, "invalid_value", "needs fault beside it");
    return;
  }
  if (name == "fault_ms") {
    read_integer(value, field, 0, kFaultMsMax, errors,
                 [&p](std::int64_t n) { p.fault->ms = static_cast<int>(n); });
  } else {
    read_integer(value, field, 0, kFaultAttemptsMax, errors,
                 [&p](std::int64_t n) { p.fault->attempts = static_cast<int>(n); });
  }
}

}  // namespace

void read_parameters(const json& in, bool faults_allowed, JobParameters& p, FieldErrors& errors,
                     std::string_view prefix) {
  // The kind first: the other two are members of it.
  if (const auto fault = in.find("fault"); faults_allowed && fault != in.end() && !fault->is_null()) {
    read_fault(*fault, std::string(prefix) + "fault", p, errors);
  }
  for (const auto& [name, value] : in.items()) {
    const std::string field = std::string(prefix) + field_name(name);
    if (name == "fault" || name == "fault_attempts" || name == "fault_ms") {
      if (value.is_null()) continue;
      if (!faults_allowed) {
        errors.add(field, "unsupported_parameter", "is taken by the echo engine only");
      } else if (name != "fault") {
        read_fault_detail(name, value, field, in.contains("fault"), p, errors);
      }
      continue;
    }
    if (name == "max_tokens") {
      // More than the context holds is no error: the context caps it.
      read_integer(value, field, 1, std::numeric_limits<std::int64_t>::max(), errors, [&p](std::int64_t n) {
        p.max_tokens = static_cast<int>(std::min<std::int64_t>(n, std::numeric_limits<int>::max()));
      });
    } else if (name == "temperature") {
      read_number(value, field, {0, 2}, errors, p.temperature);
    } else if (name == "top_p") {
      read_number(value, field, {.min = 0, .max = 1, .min_open = true}, errors, p.top_p);
      p.top_p = std::max(p.top_p, kNearest);
    } else if (name == "top_k") {
      read_integer(value, field, 0, 1'000'000, errors,
                   [&p](std::int64_t n) { p.top_k = static_cast<int>(n); });
    } else if (name == "min_p") {
      read_number(value, field, {.min = 0, .max = 1, .max_open = true}, errors, p.min_p);
      p.min_p = std::min(p.min_p, 1 - kNearest);
    } else if (name == "seed") {
      read_integer(value, field, std::numeric_limits<std::int64_t>::min(),
                   std::numeric_limits<std::int64_t>::max(), errors, [&p](std::int64_t n) { p.seed = n; });
    } else if (name == "stop") {
      if (!value.is_null()) read_stop(value, field, p, errors);
    } else if (name == "presence_penalty") {
      read_number(value, field, {-2, 2}, errors, p.presence_penalty);
    } else if (name == "frequency_penalty") {
      read_number(value, field, {-2, 2}, errors, p.frequency_penalty);
    } else if (name == "repetition_penalty") {
      read_number(value, field, {0.01, 10}, errors, p.repetition_penalty);
    } else if (name == "logprobs") {
      if (value.is_boolean()) {
        p.logprobs = value.get<bool>();
      } else if (!value.is_null()) {
        errors.add(field, "invalid_type", "must be true or false");
      }
    } else if (name == "top_logprobs") {
      read_integer(value, field, 0, kTopLogprobsMax, errors,
                   [&p](std::int64_t n) { p.top_logprobs = static_cast<int>(n); });
    } else if (name == "stream") {
      if (value.is_boolean()) {
        p.stream = value.get<bool>();
      } else if (!value.is_null()) {
        errors.add(field, "invalid_type", "must be true or false");
      }
    } else if (name == "precision") {
      read_precision(value, field, p, errors);
    } else {
      errors.add(field, "unknown_field", "is not a parameter");
    }
  }
}

void check_parameters(const JobParameters& parameters, FieldErrors& errors, std::string_view prefix) {
  if (parameters.top_logprobs > 0 && !parameters.logprobs) {
    errors.add(std::string(prefix) + "top_logprobs", "invalid_value",
               "needs " + std::string(prefix) + "logprobs to be true");
  }
}

bool is_parameter(std::string_view name) {
  JobParameters parameters;
  FieldErrors errors;
  // Null counts as not given, whatever the member; only an unknown one is an error.
  read_parameters({{std::string(name), nullptr}}, true, parameters, errors);
  return errors.count() == 0;
}

}  // namespace sluice::producer
