// What the commands that call the admin API share.
//
// Not safe for concurrent use: a command has one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "operator/client/admin_api.h"
#include "operator/output/console.h"

namespace sluice::operate {

// Waits between two looks at a long work.
class Waiter {
 public:
  virtual ~Waiter() = default;
  // From now on Ctrl-C ends nothing: `wait` tells of it. Before that it ends the program, as everywhere.
  virtual void hold() = 0;
  // True: somebody pressed Ctrl-C (or SIGTERM, SIGHUP came) before the time was over.
  virtual bool wait(std::chrono::milliseconds time) = 0;
};

// Of SIGINT, SIGTERM and SIGHUP, in the calling thread: others must hold them back from their start.
class SignalWaiter final : public Waiter {
 public:
  void hold() override;
  bool wait(std::chrono::milliseconds time) override;
};

// All references must outlive the Tool.
struct Tool {
  AdminApi& api;
  Console& console;
  Clock& clock;
  Waiter& waiter;
  bool json = false;  // Results for machines.
  bool yes = false;   // Confirmed beforehand.

  std::int64_t now_s() const { return unix_seconds(clock.wall_now()); }
  std::ostream& out() const { return console.out; }
};

// Pretty JSON and a line end. On a terminal everything but ASCII is escaped.
void print_json(Tool& tool, const nlohmann::json& value);
// Prints the value for machines, if that was asked for; true: done.
bool printed_json(Tool& tool, const nlohmann::json& value);

// Asks for consent to `question`. kInvalid: nobody can be asked and --yes isn't given; kConflict: refused.
Status confirm(Tool& tool, const std::string& question);

// Members of what the server answered; absent, null or of another type: empty, 0, false, null.
std::string text_in(const nlohmann::json& object, std::string_view name);
std::int64_t number_in(const nlohmann::json& object, std::string_view name);
bool flag_in(const nlohmann::json& object, std::string_view name);
const nlohmann::json& member_in(const nlohmann::json& object, std::string_view name);
// `data` of a list; empty if there is none.
const nlohmann::json& data_in(const nlohmann::json& list);

// "4m" since that time; "-" for none.
std::string age_in(const Tool& tool, const nlohmann::json& object, std::string_view name);
// "2026-11-22 07:20:01Z (4m ago)"; "-" for none.
std::string when_in(const Tool& tool, const nlohmann::json& object, std::string_view name);

// After a list that was cut: how to see more.
void print_more(Tool& tool, const nlohmann::json& list);

Style state_style(std::string_view state);

}  // namespace sluice::operate
