#include "common/base/loop.h"

#include <pthread.h>

#include <utility>

namespace sluice {

Loop::Loop(std::string name, Clock& clock, std::function<Duration()> run_once)
    : name_(std::move(name)), clock_(clock), run_once_(std::move(run_once)) {}

Loop::~Loop() {
  stop();
}

void Loop::start() {
  MutexLock lock(mutex_);
  if (started_ || stopping_) return;
  started_ = true;
  thread_ = std::thread([this] { run(); });
}

void Loop::wake() {
  {
    MutexLock lock(mutex_);
    woken_ = true;
  }
  changed_.notify_all();
}

void Loop::stop() {
  std::thread joinable;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    joinable.swap(thread_);
  }
  changed_.notify_all();
  if (joinable.joinable()) joinable.join();
}

void Loop::run() {
  pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
  for (;;) {
    {
      MutexLock lock(mutex_);
      if (stopping_) return;
      woken_ = false;
    }
    const Duration pause = run_once_();
    const SteadyTime next = clock_.steady_now() + pause;
    MutexLock lock(mutex_);
    while (!stopping_ && !woken_ && clock_.steady_now() < next) lock.wait_until(clock_, changed_, next);
  }
}

}  // namespace sluice
