// Decides what enters the engine next: strictly in the order of arrival, so that nobody starves, and in
// groups, because every group's prefill holds up those that are decoding. Express work has places of its own,
// in which it starts at once.
//
// A group is let in when the engine is idle (at once), when enough wait to fill the free places, or when the
// first in line has waited for the linger. Work that must run alone waits until the engine is empty and then
// keeps it. Work that shares a prompt prefix is not sought out: an engine that shares prefixes does so
// however long ago they were computed, so the order of arrival costs nothing.
//
// Not safe for concurrent use; knows no threads and no clock.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "worker/batcher/work.h"

namespace sluice::worker {

struct AdmissionLimits {
  std::size_t jobs_max = 32;    // At once in the engine,
  std::size_t express_max = 0;  // and so many express ones beside them.
  std::size_t tokens_max =
      0;  // Prompt and answer tokens of all of them together; 0 = as the engine has room.
  Duration linger{std::chrono::milliseconds(50)};
};

// What is in the engine now.
struct Running {
  std::size_t jobs = 0;
  std::size_t tokens = 0;   // Sum of Work::kv_tokens.
  bool alone = false;       // One of them must be alone.
  std::size_t express = 0;  // How many of them are express.
};

class Admission {
 public:
  explicit Admission(AdmissionLimits limits) : limits_(limits) {}

  void push(Work work) { (work.express ? express_ : waiting_).push_back(std::move(work)); }
  // What the engine had no room for after all: first in line again.
  void put_back(std::vector<Work> works);

  // The group that enters now; empty: none yet.
  std::vector<Work> next(const Running& running, SteadyTime now);
  // When next() may answer otherwise although nothing ended or arrived; nullopt: never.
  std::optional<SteadyTime> due(const Running& running) const;

  std::optional<Work> remove(std::string_view key);
  std::vector<Work> take_all();
  std::size_t size() const { return waiting_.size() + express_.size(); }

 private:
  bool fits(const Running& running, const Work& work) const;
  std::size_t ready_to_join(const Running& running, const std::deque<Work>& waiting) const;
  // Moves those that may enter into `group`, and says what runs with them.
  Running take(Running running, std::deque<Work>& waiting, std::vector<Work>& group) const;

  // The first in line has a place, and waits for room in the engine: then nobody passes it.
  bool holds_up(const Running& running) const;

  const AdmissionLimits limits_;
  std::deque<Work> waiting_;
  std::deque<Work> express_;
  std::string refused_;  // The key of the last one that the engine had no room for.
};

}  // namespace sluice::worker
