// A failpoint is a named place between two effects where a test can kill the process (SIGKILL), to prove that
// what was promised survives. SLUICE_FAILPOINT=name[:n] kills at the nth passage (default 1). Every name is
// listed in docs/crash-windows.md.
//
// A defect is a mistake that a test build makes on request (SLUICE_DEFECT=name), so that a test can show that
// whoever looks for such mistakes finds them.
//
// Compiled in only with SLUICE_FAILPOINTS (the test presets). A release build refuses to start with either
// variable set.
#pragma once

#include "common/base/result.h"

namespace sluice {

// Call first in main. kInvalid: a variable is set in a build that has no failpoints.
Status failpoints_init();

#if defined(SLUICE_FAILPOINTS)
void failpoint_hit(const char* name);
#define SLUICE_FAILPOINT(name) ::sluice::failpoint_hit(name)
bool defect_wanted(const char* name);
#define SLUICE_DEFECT(name) ::sluice::defect_wanted(name)
#else
#define SLUICE_FAILPOINT(name) static_cast<void>(0)
#define SLUICE_DEFECT(name) false
#endif

}  // namespace sluice
