#include "common/base/clock.h"

namespace sluice {

SteadyTime SystemClock::steady_now() const {
  return std::chrono::steady_clock::now();
}
WallTime SystemClock::wall_now() const {
  return std::chrono::system_clock::now();
}
void SystemClock::wait_until(std::condition_variable& signal, std::unique_lock<std::mutex>& lock,
                             SteadyTime until) {
  signal.wait_until(lock, until);
}

ManualClock::ManualClock(WallTime start) : steady_(std::chrono::hours(1)), wall_(start) {}

SteadyTime ManualClock::steady_now() const {
  std::lock_guard lock(mutex_);
  return steady_;
}

WallTime ManualClock::wall_now() const {
  std::lock_guard lock(mutex_);
  return wall_;
}

void ManualClock::wait_until(std::condition_variable& signal, std::unique_lock<std::mutex>& lock,
                             SteadyTime until) {
  {
    std::lock_guard own(mutex_);
    if (steady_ >= until) return;
    waiting_.insert(&signal);
  }
  // The bound makes up for an advance between the insertion and the wait; callers must stand early wake-ups
  // anyway.
  signal.wait_for(lock, std::chrono::milliseconds(2));
  std::lock_guard own(mutex_);
  waiting_.erase(waiting_.find(&signal));
}

void ManualClock::advance(Duration by) {
  std::lock_guard lock(mutex_);
  steady_ += std::chrono::duration_cast<std::chrono::steady_clock::duration>(by);
  wall_ += std::chrono::duration_cast<std::chrono::system_clock::duration>(by);
  for (auto* signal : waiting_) signal->notify_all();
}

void ManualClock::set_wall(WallTime wall_now) {
  std::lock_guard lock(mutex_);
  wall_ = wall_now;
}

std::int64_t unix_seconds(WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()).count();
}
std::int64_t unix_millis(WallTime time) {
  return std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
}
std::int64_t unix_micros(WallTime time) {
  return std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch()).count();
}
WallTime from_unix_micros(std::int64_t micros) {
  return WallTime(std::chrono::duration_cast<WallTime::duration>(std::chrono::microseconds(micros)));
}

}  // namespace sluice
