// Calls the commands as the program does, with streams in memory.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "worker/engine_cli/commands.h"

namespace sluice::engine_cli {

inline const std::string kModels = SLUICE_SOURCE_DIR "/models/sluice-tiny/";
inline const std::string kTinyModel = kModels + "sluice-tiny-f16.gguf";

struct Ran {
  int code = 0;
  std::string out;
  std::string err;
  nlohmann::json json() const { return nlohmann::json::parse(out); }
};

inline Ran run(const std::string& input, const std::function<int(const Io&)>& command) {
  std::istringstream in(input);
  std::ostringstream out, err;
  Ran ran;
  ran.code = command({in, out, err});
  ran.out = out.str();
  ran.err = err.str();
  return ran;
}

inline CommonOptions with_model(const std::string& path = kTinyModel, bool json = true) {
  CommonOptions options;
  options.model.path = path;
  options.model.threads = 2;
  options.json = json;
  return options;
}

}  // namespace sluice::engine_cli
