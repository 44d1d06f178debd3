// How large the activations are that each matrix of a model meets, measured over prompts like those it will
// serve. A column whose activations are large makes its weights' rounding errors count more.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "worker/engine/loaded_model.h"
#include "worker/engine_cli/commands.h"

namespace sluice::engine_cli {

// The mean squared activation of each column, by tensor name. Matrices that nothing is multiplied with (an
// embedding that isn't the output matrix, too) are missing.
using Importance = std::map<std::string, std::vector<float>, std::less<>>;

// Reads `path` as read_text_file does, in pieces of at most 512 tokens (conversations whole), `tokens_max`
// tokens at most. Errors are its as well.
Result<Importance> calibrate(const LoadedModel& model, const std::string& path, std::size_t tokens_max,
                             const Io& io);

}  // namespace sluice::engine_cli
