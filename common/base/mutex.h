// A mutex whose use clang's -Wthread-safety can check. Shared data stands beside its lock:
//
//   Mutex mutex_;
//   std::deque<Job> waiting_ GUARDED_BY(mutex_);
#pragma once

#include <condition_variable>
#include <mutex>

#include "common/base/clock.h"

#if defined(__clang__)
#define SLUICE_ANNOTATE(x) __attribute__((x))
#else
#define SLUICE_ANNOTATE(x)
#endif
#define CAPABILITY(x) SLUICE_ANNOTATE(capability(x))
#define SCOPED_CAPABILITY SLUICE_ANNOTATE(scoped_lockable)
#define GUARDED_BY(x) SLUICE_ANNOTATE(guarded_by(x))
#define REQUIRES(...) SLUICE_ANNOTATE(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) SLUICE_ANNOTATE(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) SLUICE_ANNOTATE(acquire_capability(__VA_ARGS__))
#define RELEASE(...) SLUICE_ANNOTATE(release_capability(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS SLUICE_ANNOTATE(no_thread_safety_analysis)

namespace sluice {

class CAPABILITY("mutex") Mutex {
 public:
  void lock() ACQUIRE() { mutex_.lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }

 private:
  friend class MutexLock;
  std::mutex mutex_;
};

// Holds a Mutex for its own lifetime, and waits on condition variables with it.
class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : lock_(mutex.mutex_) {}
  ~MutexLock() RELEASE() {}
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void wait(std::condition_variable& signal) { signal.wait(lock_); }
  void wait_until(Clock& clock, std::condition_variable& signal, SteadyTime until) {
    clock.wait_until(signal, lock_, until);
  }

 private:
  std::unique_lock<std::mutex> lock_;
};

}  // namespace sluice
