// Shell completion, generated from the commands themselves. Pure functions.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>

namespace sluice::operate {

// `shell` is bash or zsh. To be evaluated by it.
std::string completion_script(const CLI::App& app, std::string_view shell);

}  // namespace sluice::operate
