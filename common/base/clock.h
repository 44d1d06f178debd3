// Time, as something that is passed in. Durations use the steady clock; records use the wall clock.
//
// Safe for concurrent use. Tests take ManualClock and move it by hand.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <set>

namespace sluice {

using SteadyTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;
using Duration = std::chrono::nanoseconds;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual SteadyTime steady_now() const = 0;
  virtual WallTime wall_now() const = 0;
  // Waits on `signal` (the caller holds `lock`) until it is notified or `until` has come by this clock. May
  // wake early for no reason, like any condition variable.
  virtual void wait_until(std::condition_variable& signal, std::unique_lock<std::mutex>& lock,
                          SteadyTime until) = 0;
};

class SystemClock final : public Clock {
 public:
  SteadyTime steady_now() const override;
  WallTime wall_now() const override;
  void wait_until(std::condition_variable& signal, std::unique_lock<std::mutex>& lock,
                  SteadyTime until) override;
};

// Stands still until it is advanced.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(WallTime start = WallTime(std::chrono::seconds(1'700'000'000)));
  SteadyTime steady_now() const override;
  WallTime wall_now() const override;
  void wait_until(std::condition_variable& signal, std::unique_lock<std::mutex>& lock,
                  SteadyTime until) override;
  void advance(Duration by);         // Both clocks; wakes whoever waits on this clock.
  void set_wall(WallTime wall_now);  // A clock that jumps: the steady clock doesn't.

 private:
  mutable std::mutex mutex_;
  SteadyTime steady_;
  WallTime wall_;
  std::multiset<std::condition_variable*> waiting_;
};

std::int64_t unix_seconds(WallTime time);
std::int64_t unix_millis(WallTime time);
std::int64_t unix_micros(WallTime time);
WallTime from_unix_micros(std::int64_t micros);

// A point in time by which a call must be over. Passed last to every call that leaves the process.
class Deadline {
 public:
  explicit Deadline(SteadyTime at) : at_(at) {}
  static Deadline in(const Clock& clock, Duration time) { return Deadline(clock.steady_now() + time); }
  SteadyTime at() const { return at_; }
  // Time left; zero or negative when it has passed.
  Duration remaining(const Clock& clock) const { return at_ - clock.steady_now(); }
  bool passed(const Clock& clock) const { return remaining(clock) <= Duration::zero(); }

 private:
  SteadyTime at_;
};

}  // namespace sluice
