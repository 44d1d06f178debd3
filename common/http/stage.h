// A bounded pool of threads for work that may block. Full: submit() refuses at once, and its caller answers
// so.
//
// submit() is safe from any thread. stop() lets running tasks finish, drops waiting ones, and joins; it may
// be called twice or before start().
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "common/base/mutex.h"

namespace sluice::http {

class Stage {
 public:
  Stage(std::string name, int threads, std::size_t waiting_max);
  ~Stage();
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  void start();
  // False: too many tasks wait, or the stage is stopped; `task` is then dropped. Tasks must not throw.
  [[nodiscard]] bool submit(std::function<void()> task);
  // The same however many wait: goes on with work that was let in before, whose number is bounded elsewhere.
  [[nodiscard]] bool resume(std::function<void()> task);
  void stop();
  std::size_t waiting() const;

 private:
  void run();

  const std::string name_;
  const int thread_count_;
  const std::size_t waiting_max_;
  mutable Mutex mutex_;
  std::condition_variable filled_;
  std::deque<std::function<void()>> tasks_ GUARDED_BY(mutex_);
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace sluice::http
