// One run of a program of ours. Killed when destroyed.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <string>

namespace sluice::testing {

class ServiceProcess {
 public:
  // Runs it with `settings` (SLUICE_… names) and nothing else of ours in its environment.
  explicit ServiceProcess(const std::map<std::string, std::string>& settings,
                          const std::string& program = "sluice-callback");
  ~ServiceProcess();
  ServiceProcess(const ServiceProcess&) = delete;
  ServiceProcess& operator=(const ServiceProcess&) = delete;

  // False: /ready did not answer 200 in time, or the process ended.
  bool wait_ready(std::chrono::milliseconds longest = std::chrono::seconds(20));
  // The status and body of a GET; 0: no answer.
  std::pair<int, std::string> get(const std::string& path);
  // The value of a series such as `sluice_x_total{outcome="y"}`; -1: there is none.
  double metric(const std::string& series);
  void signal(int number);
  // Waits for its end: the exit code, or 128 + the signal. -1: it still runs.
  int wait_end(std::chrono::milliseconds longest = std::chrono::seconds(30));
  bool running();
  // What it logged.
  std::string log() const;

 private:
  const std::string program_;
  pid_t pid_ = -1;
  int ended_ = -1;
  int port_ = 0;
  std::string log_path_;
};

}  // namespace sluice::testing
