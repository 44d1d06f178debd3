#include "common/base/failpoint.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

namespace sluice {

#if defined(SLUICE_FAILPOINTS)

namespace {
std::string armed_name;
std::string armed_defect;
std::atomic<long> passages_left{0};
}  // namespace

Status failpoints_init() {
  if (const char* defect = std::getenv("SLUICE_DEFECT"); defect != nullptr) armed_defect = defect;
  const char* setting = std::getenv("SLUICE_FAILPOINT");
  if (setting == nullptr || *setting == '\0') return {};
  std::string name = setting;
  long count = 1;
  if (const auto colon = name.find(':'); colon != std::string::npos) {
    char* end = nullptr;
    count = std::strtol(name.c_str() + colon + 1, &end, 10);
    if (*end != '\0' || count < 1)
      return fail(ErrorCode::kInvalid, "SLUICE_FAILPOINT: expected name[:n], n >= 1");
    name.resize(colon);
  }
  armed_name = name;
  passages_left = count;
  return {};
}

void failpoint_hit(const char* name) {
  if (armed_name.empty() || armed_name != name) return;
  if (passages_left.fetch_sub(1) != 1) return;
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

bool defect_wanted(const char* name) {
  return armed_defect == name;
}

#else

Status failpoints_init() {
  for (const char* variable : {"SLUICE_FAILPOINT", "SLUICE_DEFECT"}) {
    if (const char* setting = std::getenv(variable); setting != nullptr && *setting != '\0') {
      return fail(ErrorCode::kInvalid,
                  std::string(variable) + " is set, but this build has no failpoints (use the test preset)");
    }
  }
  return {};
}

#endif

}  // namespace sluice
