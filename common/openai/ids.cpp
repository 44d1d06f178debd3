#include "common/openai/ids.h"

#include <array>

namespace sluice::openai {

namespace {
constexpr std::array<std::string_view, kSurfaces> kPrefixes = {JobIdTag::kPrefix, "chatcmpl-", "cmpl-",
                                                               "resp_"};

std::string_view uuid_of(const JobId& id) {
  std::string_view text = id.value;
  if (text.starts_with(JobIdTag::kPrefix)) text.remove_prefix(JobIdTag::kPrefix.size());
  return text;
}
}  // namespace

std::string_view id_prefix(Surface surface) {
  return kPrefixes[static_cast<std::size_t>(surface)];
}

std::string part_id(std::string_view prefix, const JobId& id) {
  return std::string(prefix) + std::string(uuid_of(id));
}

std::string surface_id(Surface surface, const JobId& id) {
  return part_id(id_prefix(surface), id);
}

std::optional<JobId> job_id_from(Surface surface, std::string_view id) {
  if (is_well_formed_id(id, JobIdTag::kPrefix)) return JobId{std::string(id)};
  const std::string_view prefix = id_prefix(surface);
  if (!is_well_formed_id(id, prefix)) return std::nullopt;
  return JobId{std::string(JobIdTag::kPrefix) + std::string(id.substr(prefix.size()))};
}

}  // namespace sluice::openai
