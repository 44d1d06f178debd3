// The real servers that contract tests run against: told by SLUICE_… variables, as `deploy/local/stack env`
// prints them. A test whose variables are unset is skipped and says so.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <string>

#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/log/log.h"

namespace sluice::testing {

// The variable's value, or `otherwise`.
std::string env_or(const char* name, std::string otherwise);
inline bool has_env(const char* name) {
  return std::getenv(name) != nullptr;
}

// The stack that the variables came from can be told to stop and start its servers.
bool owns_stack();
// Runs `deploy/local/stack <arguments>`; false if it failed (its output is then in the test's log).
bool stack(const std::string& arguments);
// The process of a server of the stack; 0 if it isn't running.
int stack_pid(const std::string& server);

// A server of the stack is away. It is back at the end of the block at the latest, so that a test which
// failed halfway doesn't take the following ones with it.
class ServerOutage {
 public:
  explicit ServerOutage(std::string server);
  ~ServerOutage();
  ServerOutage(const ServerOutage&) = delete;
  ServerOutage& operator=(const ServerOutage&) = delete;
  bool end();

 private:
  const std::string server_;
  bool over_ = false;
};

// Waits until `condition` holds, looking often; false after `longest`.
bool eventually(const std::function<bool()>& condition,
                std::chrono::milliseconds longest = std::chrono::seconds(10));

// What every adapter takes.
struct Parts {
  SystemClock clock;
  SystemRng rng;
  Log log{"contract-test", std::getenv("SLUICE_TEST_LOG") != nullptr ? LogLevel::kDebug : LogLevel::kError,
          clock};
  Deadline in(std::chrono::milliseconds time) const { return Deadline::in(clock, time); }
};
Parts& parts();

// Seconds that `work` took.
double seconds_of(const std::function<void()>& work);

}  // namespace sluice::testing

#define SLUICE_REQUIRE_SERVER(variable)                               \
  if (!::sluice::testing::has_env(variable)) {                        \
    GTEST_SKIP() << variable " is unset: see deploy/local/stack env"; \
  }
#define SLUICE_REQUIRE_OWN_STACK()                                              \
  if (!::sluice::testing::owns_stack()) {                                       \
    GTEST_SKIP() << "SLUICE_STACK_DIR is unset: servers can't be stopped here"; \
  }
