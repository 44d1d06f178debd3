#include "common/store/task_message.h"

#include <limits>
#include <nlohmann/json.hpp>

namespace sluice {

std::string task_to_json(const TaskRef& task) {
  // Ids hold nothing that JSON would escape, and this runs once for each job.
  std::string out;
  out.reserve(128);
  out.append(R"({"job_id":")").append(task.id.value);
  out.append(R"(","generation":)").append(std::to_string(task.generation));
  out.append(R"(,"attempt":)").append(std::to_string(task.attempt));
  out.append(R"(,"shard":)").append(std::to_string(shard_of_id(task.id.value).value_or(0))).append("}");
  return out;
}

Result<TaskRef> task_from_json(std::string_view text) {
  const auto in = nlohmann::json::parse(text, nullptr, false);
  if (!in.is_object()) return fail(ErrorCode::kCorrupt, "task message: not a JSON object");
  const auto id = in.find("job_id");
  const auto generation = in.find("generation");
  const auto attempt = in.find("attempt");
  if (id == in.end() || !id->is_string() ||
      !is_well_formed_id(id->get_ref<const std::string&>(), JobIdTag::kPrefix)) {
    return fail(ErrorCode::kCorrupt, "task message: no job id");
  }
  const auto is_count = [&in](auto found) {
    return found != in.end() && found->is_number_integer() && found->template get<std::int64_t>() >= 0 &&
           found->template get<std::int64_t>() <= std::numeric_limits<std::int32_t>::max();
  };
  if (!is_count(generation) || !is_count(attempt)) {
    return fail(ErrorCode::kCorrupt, "task message: no generation or attempt");
  }
  return TaskRef{JobId{id->get<std::string>()}, generation->get<std::int64_t>(), attempt->get<int>()};
}

}  // namespace sluice
