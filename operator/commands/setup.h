// migrate, bootstrap and topology: they work on the servers themselves, before there is an admin API.
#pragma once

namespace sluice::operate {

// `argv[1]` names one of them. The answer is the code to exit with.
int run_setup(int argc, char** argv);

}  // namespace sluice::operate
