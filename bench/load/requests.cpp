#include "bench/load/requests.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "common/base/clock.h"

namespace sluice::bench {

namespace {

using nlohmann::json;

Result<std::vector<json>> read_prompts(const std::string& path) {
  std::ifstream file(path);
  std::vector<json> prompts;
  for (std::string line; std::getline(file, line);) {
    const json object = json::parse(line, nullptr, false);
    if (object.is_object() && object.contains("messages"))
      prompts.push_back({{"messages", object["messages"]}});
  }
  if (prompts.empty()) return fail(ErrorCode::kInvalid, path + ": no line with messages");
  return prompts;
}

// Every job of every run its own text, so that none is answered with another's result.
json made_up(const std::string& run, int number, int bytes) {
  std::string text = "job " + run + "-" + std::to_string(number) + ":";
  while (static_cast<int>(text.size()) < bytes) text += " lorem";
  return {{"prompt", text}};
}

}  // namespace

Result<std::vector<Submission>> make_submissions(const Options& options) {
  std::vector<json> prompts;
  if (!options.prompts.empty()) {
    SLUICE_ASSIGN(prompts, read_prompts(options.prompts));
  }
  const std::string run = std::to_string(SystemClock().wall_now().time_since_epoch().count());
  std::vector<Submission> submissions;
  for (int first = 0; first < options.jobs; first += options.batch) {
    Submission submission;
    submission.jobs = std::min(options.batch, options.jobs - first);
    json requests = json::array();
    for (int number = first; number < first + submission.jobs; ++number) {
      json request = prompts.empty() ? made_up(run, number, options.prompt_bytes)
                                     : prompts[static_cast<std::size_t>(number) % prompts.size()];
      request["parameters"] = {{"max_tokens", options.max_tokens}};
      request["priority"] = options.priority;
      if (!prompts.empty()) request["cache"] = false;  // They come again, and are to be computed again.
      requests.push_back(std::move(request));
    }
    const json body = options.batch == 1 ? requests.front() : json{{"requests", std::move(requests)}};
    submission.body = body.dump();
    submissions.push_back(std::move(submission));
  }
  return submissions;
}

}  // namespace sluice::bench
