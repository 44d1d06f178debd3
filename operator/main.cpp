// sluicectl: the operator's command line.
#include <cstdio>
#include <exception>
#include <string_view>

#include "operator/cli/run.h"
#include "operator/commands/setup.h"

int main(int argc, char** argv) {
  using namespace sluice::operate;
  try {
    // The commands of set-up take the services' settings instead of the admin API's.
    if (argc > 1 && is_setup_command(argv[1])) return run_setup(argc, argv);
    return run_command_line(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "sluicectl: %s\n", e.what());
    return 1;
  }
}
