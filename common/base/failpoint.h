// A failpoint is a named place between two effects where a test can kill the process (SIGKILL), to prove that
// what was promised survives. SLUICE_FAILPOINT=name[:n] kills at the nth passage (default 1). Every name is
// listed in docs/crash-windows.md.
//
// Compiled in only with SLUICE_FAILPOINTS (the test presets). A release build refuses to start with the
// variable set.
#pragma once

#include "common/base/result.h"

namespace sluice {

// Call first in main. kInvalid: the variable is set in a build that has no failpoints.
Status failpoints_init();

#if defined(SLUICE_FAILPOINTS)
void failpoint_hit(const char* name);
#define SLUICE_FAILPOINT(name) ::sluice::failpoint_hit(name)
#else
#define SLUICE_FAILPOINT(name) static_cast<void>(0)
#endif

}  // namespace sluice
