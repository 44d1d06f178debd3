#include "tests/contract/support/servers.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

namespace sluice::testing {

namespace {
std::string output_of(const std::string& command, int& status) {
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) {
    status = -1;
    return output;
  }
  char piece[4096];
  while (const std::size_t got = fread(piece, 1, sizeof piece, pipe)) output.append(piece, got);
  status = pclose(pipe);
  return output;
}
const std::string kStack = SLUICE_SOURCE_DIR "/deploy/local/stack ";
}  // namespace

std::string env_or(const char* name, std::string otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::string(value);
}

bool owns_stack() {
  return has_env("SLUICE_STACK_DIR");
}

bool stack(const std::string& arguments) {
  int status = 0;
  const std::string output = output_of(kStack + arguments + " 2>&1", status);
  if (status != 0) std::fprintf(stderr, "stack %s: %s\n", arguments.c_str(), output.c_str());
  return status == 0;
}

ServerOutage::ServerOutage(std::string server) : server_(std::move(server)) {
  EXPECT_TRUE(stack("stop " + server_));
}

ServerOutage::~ServerOutage() {
  if (!over_) {
    EXPECT_TRUE(end());
  }
}

bool ServerOutage::end() {
  over_ = true;
  return stack("start " + server_);
}

int stack_pid(const std::string& server) {
  int status = 0;
  const auto list = nlohmann::json::parse(output_of(kStack + "status --json", status), nullptr, false);
  if (!list.is_array()) return 0;
  for (const auto& one : list) {
    if (one.value("name", "") == server && one.contains("pid") && one["pid"].is_number()) return one["pid"];
  }
  return 0;
}

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds longest) {
  const auto until = std::chrono::steady_clock::now() + longest;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

Parts& parts() {
  static Parts shared;
  return shared;
}

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace sluice::testing
