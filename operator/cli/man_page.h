// docs/man/sluicectl.1, made from the commands themselves; a test holds the file against this. Pure function.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace sluice::operate {

std::string man_page(const CLI::App& app);

}  // namespace sluice::operate
