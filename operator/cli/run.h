// From the words of a command line to its exit code.
#pragma once

#include <string_view>

#include "common/base/result.h"

namespace sluice::operate {

inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitInterrupted = 130;

int exit_code(ErrorCode code);

// The commands that migrate, bootstrap and topology are: run_setup does those.
bool is_setup_command(std::string_view word);

// The rest: parses, calls, prints.
int run_command_line(int argc, const char* const* argv);

}  // namespace sluice::operate
