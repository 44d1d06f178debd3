#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "common/log/log.h"
#include "common/migrations/migrator.h"
#include "operator/commands/command.h"

namespace sluice::operate {

namespace {

Status show(const std::vector<MigrationState>& states, bool json) {
  if (json) {
    nlohmann::json out = nlohmann::json::array();
    for (const MigrationState& state : states) {
      out.push_back(
          {{"version", state.version},
           {"name", state.name},
           {"applied", state.applied},
           {"applied_at", state.applied_at.empty() ? nlohmann::json() : nlohmann::json(state.applied_at)},
           {"problem", state.problem.empty() ? nlohmann::json() : nlohmann::json(state.problem)}});
    }
    std::printf("%s\n", out.dump(2).c_str());
    return {};
  }
  for (const MigrationState& state : states) {
    std::printf("%04d  %-28s  %-20s  %s\n", state.version, state.name.c_str(),
                state.applied ? state.applied_at.c_str() : "not applied", state.problem.c_str());
  }
  return {};
}

}  // namespace

Status migrate(Context& context, const std::vector<std::string>& words) {
  const Log log("sluicectl", LogLevel::kError, context.clock);
  // A change to a big table may take as long as the whole command may.
  MysqlConfig patient = context.settings.mysql;
  patient.read_timeout =
      std::max(patient.read_timeout, std::chrono::ceil<std::chrono::seconds>(context.settings.timeout));
  MysqlPool pool(patient, context.clock, context.rng, log);
  Migrator migrator(pool);
  const std::string verb = words.empty() ? "status" : words[0];
  if (verb == "status" && words.size() <= 1) {
    SLUICE_ASSIGN(const auto states, migrator.status(context.deadline()));
    return show(states, context.settings.json);
  }
  if (verb == "up" && words.size() == 1) {
    SLUICE_ASSIGN(const int applied, migrator.up(context.deadline()));
    std::printf("%d migrations applied\n", applied);
    return {};
  }
  if (verb == "down" && words.size() <= 2) {
    int steps = 1;
    if (words.size() == 2) {
      const std::string& text = words[1];
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), steps);
      if (error != std::errc() || end != text.data() + text.size() || steps < 1) {
        return fail(ErrorCode::kInvalid,
                    "migrate down: the number of steps must be 1 or more, not '" + text + "'");
      }
    }
    SLUICE_ASSIGN(const int reverted, migrator.down(steps, context.deadline()));
    std::printf("%d migrations reverted\n", reverted);
    return {};
  }
  return fail(ErrorCode::kInvalid, "migrate: expected up, down [N] or status");
}

}  // namespace sluice::operate
