#include "producer/api/answer_key.h"

#include <utility>

#include "common/crypto/crypto.h"

namespace sluice::producer {

bool shares_answer(const JobSpec& spec) {
  const JobParameters& parameters = spec.request.parameters;
  if (parameters.fault) return false;
  const bool seeded = parameters.seed.has_value() && !spec.seed_is_ours;
  const bool same_each_time =
      (parameters.temperature == 0 || seeded) && parameters.precision == RequestPrecision::kFull;
  return spec.cache.value_or(same_each_time);
}

std::string answer_key(const JobSpec& spec, std::string_view revision) {
  JobRequest asked = spec.request;
  // How it is told, and in what shape, changes nothing about the result.
  asked.parameters.stream = false;
  asked.echo_json.clear();
  if (asked.messages.empty() && !asked.raw) {
    asked.messages.push_back({"user", std::exchange(asked.prompt, {})});  // The same to the model.
  }
  if (spec.seed_is_ours) asked.parameters.seed.reset();
  std::string text;
  for (const std::string_view part : {std::string_view(SLUICE_VERSION), std::string_view(spec.model->name()),
                                      std::string_view(spec.model->revision()), revision}) {
    text += part;
    text += '\0';
  }
  return to_hex(sha256(text + job_request_to_json(asked)));
}

}  // namespace sluice::producer
