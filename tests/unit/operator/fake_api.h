// An admin API that answers what a test lays ready, and a tool around it whose console is in memory.
#pragma once

#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "operator/commands/tool.h"

namespace sluice::operate::testing {

class FakeApi final : public AdminApi {
 public:
  // Answers to "GET /v1/admin/status" in their order; the last one stays.
  void answer(const std::string& call, nlohmann::json body) {
    ApiReply reply;
    reply.text = body.dump();
    reply.body = std::move(body);
    answers_[call].push_back({std::move(reply), {}});
  }
  void answer(const std::string& call, ApiReply reply) { answers_[call].push_back({std::move(reply), {}}); }
  void refuse(const std::string& call, Error error) {
    answers_[call].push_back({std::nullopt, std::move(error)});
  }

  Result<ApiReply> call(const ApiRequest& request) override {
    requests.push_back(request);
    const auto found = answers_.find(request.method + " " + request.path);
    if (found == answers_.end() || found->second.empty()) {
      return fail(ErrorCode::kInternal, "the test has no answer to " + request.method + " " + request.path);
    }
    const Answer answer = found->second.front();
    if (found->second.size() > 1) found->second.pop_front();
    if (!answer.reply) return fail(answer.error);
    return *answer.reply;
  }
  std::string name() const override { return "http://test"; }

  std::vector<ApiRequest> requests;

 private:
  struct Answer {
    std::optional<ApiReply> reply;
    Error error;  // If there is none.
  };
  std::map<std::string, std::deque<Answer>> answers_;
};

class FakeWaiter final : public Waiter {
 public:
  void hold() override { held = true; }
  bool wait(std::chrono::milliseconds time) override {
    clock.advance(time);
    ++waits;
    return interrupt_at > 0 && waits >= interrupt_at;
  }
  ManualClock clock;
  bool held = false;
  int waits = 0;
  int interrupt_at = 0;  // The wait that Ctrl-C ends; 0: none.
};

struct World {
  FakeApi api;
  FakeWaiter waiter;
  std::istringstream in;
  std::ostringstream out, err;
  Console console{in, out, err};
  Tool tool{api, console, waiter.clock, waiter};

  std::int64_t ago(std::int64_t seconds) const { return tool.now_s() - seconds; }
  void at_terminal(int columns = 0) {
    console.in_is_terminal = console.out_is_terminal = console.err_is_terminal = true;
    console.columns = columns;
  }
};

inline std::string query_text(const ApiRequest& request) {
  std::string text;
  for (const auto& [name, value] : request.query) {
    if (!value.empty()) text += (text.empty() ? "" : "&") + name + "=" + value;
  }
  return text;
}

}  // namespace sluice::operate::testing
