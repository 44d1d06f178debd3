// The real binary of the producer in a process of its own, which a failpoint may kill.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/integration/producer/world.h"

extern char** environ;

namespace sluice::producer {

// The real binary, killed at a failpoint.
class ProducerProcess : public ProducerWorld {
 protected:
  // Runs sluice-producer on the test's database until it dies or stop_binary().
  void start_binary(const std::string& failpoint,
                    const std::vector<std::pair<std::string, std::string>>& further = {}) {
    const ProducerConfig settings = config();
    log_ = ::testing::TempDir() + "producer-" + std::to_string(getpid()) + ".log";
    std::vector<std::string> environment;
    for (char** variable = environ; *variable != nullptr; ++variable) {
      if (std::string(*variable).rfind("SLUICE_", 0) != 0) environment.emplace_back(*variable);
    }
    const auto set = [&](const std::string& name, const std::string& value) {
      environment.push_back("SLUICE_" + name + "=" + value);
    };
    set("ENGINE", "native");
    set("MODEL", SLUICE_SOURCE_DIR "/models/sluice-tiny/sluice-tiny-f16.gguf");
    set("HTTP_PORT", "0");
    set("SHARD_LEASE", "2s");
    set("MYSQL_HOST", settings.mysql.host);
    set("MYSQL_PORT", std::to_string(settings.mysql.port));
    set("MYSQL_USER", settings.mysql.user);
    set("MYSQL_PASSWORD", settings.mysql.password.reveal());
    set("MYSQL_DATABASE", settings.mysql.database);
    set("REDIS_HOST", settings.redis.host);
    set("REDIS_PORT", std::to_string(settings.redis.port));
    set("REDIS_PASSWORD", settings.redis.password.reveal());
    set("RABBITMQ_HOST", settings.rabbitmq.host);
    set("RABBITMQ_PORT", std::to_string(settings.rabbitmq.port));
    set("RABBITMQ_USER", settings.rabbitmq.user);
    set("RABBITMQ_PASSWORD", settings.rabbitmq.password.reveal());
    set("RABBITMQ_VHOST", settings.rabbitmq.vhost);
    if (!failpoint.empty()) set("FAILPOINT", failpoint);
    for (const auto& [name, value] : further) set(name, value);
    std::vector<char*> pointers;
    for (std::string& variable : environment) pointers.push_back(variable.data());
    pointers.push_back(nullptr);
    std::string program = SLUICE_BINARY_DIR "/sluice-producer";
    char* arguments[] = {program.data(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 2, log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ASSERT_EQ(posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments, pointers.data()), 0);
    posix_spawn_file_actions_destroy(&actions);
    ASSERT_TRUE(eventually([&] { return port() != 0; }, std::chrono::seconds(30))) << log_text();
  }
  std::string log_text() const {
    std::ifstream in(log_);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // From the line that says that it has started.
  int port() const {
    const std::string text = log_text();
    const std::size_t at = text.find("\"http_port\":");
    return at == std::string::npos ? 0 : std::atoi(text.c_str() + at + 12);
  }
  Client binary_client() { return Client("http://127.0.0.1:" + std::to_string(port()), kKey); }
  // Jobs are published as soon as they are committed.
  void wait_until_fresh_path() {
    Client http = binary_client();
    EXPECT_TRUE(eventually([&] {
      return http.get("/metrics")
                 .body.find("sluice_producer_backlog{model=\"sluice-tiny\",priority=\"normal\"} 0") !=
             std::string::npos;
    }));
  }
  // How it ended: the signal, or 0.
  int wait_death() {
    int status = 0;
    const bool died =
        eventually([&] { return waitpid(pid_, &status, WNOHANG) == pid_; }, std::chrono::seconds(40));
    EXPECT_TRUE(died) << log_text();
    if (!died) {
      kill(pid_, SIGKILL);
      waitpid(pid_, &status, 0);
    }
    pid_ = 0;
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }
  void stop_binary() {
    if (pid_ == 0) return;
    kill(pid_, SIGTERM);
    EXPECT_EQ(wait_death(), 0);
  }
  void SetUp() override {
    ProducerWorld::SetUp();
    if (!IsSkipped()) use_model("sluice-tiny");
  }
  void TearDown() override {
    if (pid_ != 0) {
      kill(pid_, SIGKILL);
      wait_death();
    }
    ProducerWorld::TearDown();
  }

  pid_t pid_ = 0;
  std::string log_;
};

}  // namespace sluice::producer
