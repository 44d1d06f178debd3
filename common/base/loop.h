// A background thread that runs one function again and again: at once when woken, else after the pause that
// the function's last run asked for.
//
// start/stop/wake are safe from any thread; stop() joins, and may be called twice or before start().
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "common/base/clock.h"
#include "common/base/mutex.h"

namespace sluice {

class Loop {
 public:
  // `run_once` returns the longest pause until its next run. `clock` must outlive the loop.
  Loop(std::string name, Clock& clock, std::function<Duration()> run_once);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void start();
  void wake();
  void stop();

 private:
  void run();

  const std::string name_;
  Clock& clock_;
  const std::function<Duration()> run_once_;
  Mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool woken_ GUARDED_BY(mutex_) = false;
  bool started_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace sluice
