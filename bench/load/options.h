// What a load run does. Plain data and its settings.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "common/base/secret.h"
#include "common/config/settings.h"
#include "common/mysql/mysql.h"

namespace sluice::bench {

struct Options {
  std::string url;  // http://host:port of a producer.
  Secret api_key;
  int jobs = 1000;
  int concurrency = 32;  // Connections that submit, each one request at a time.
  int batch = 1;         // Jobs in one request.
  int max_tokens = 64;
  std::string priority = "normal";
  std::string prompts;    // A file with one JSON object a line that has `messages`; empty = made up.
  int prompt_bytes = 64;  // Length of made-up prompts.
  int watch_every = 20;   // Every nth job is also awaited by a client (?wait=); 0 = none.
  std::chrono::seconds timeout{600};
  // What is watched while it runs: NAME=PID of processes, NAME=URL of /metrics pages.
  std::vector<std::string> processes;
  std::vector<std::string> metrics;
  std::string label;  // Goes into the report: commit, engine.
  bool json = false;
  MysqlConfig mysql;
};
void bind(config::Settings& settings, Options& options);

}  // namespace sluice::bench
