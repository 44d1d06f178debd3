// Ends a blocked write: rabbitmq-c sends without a time limit, and in a memory alarm the broker stops
// reading, so a thread could hang in send(2). Whoever is about to write says until when; if the write is
// still going on then, the socket is shut down, and the write fails.
//
// Safe for concurrent use. Internal to this folder.
#pragma once

#include <condition_variable>
#include <thread>

#include "common/base/clock.h"
#include "common/base/mutex.h"

namespace sluice::rabbitmq {

class SocketWatchdog {
 public:
  explicit SocketWatchdog(Clock& clock);  // `clock` must outlive this.
  ~SocketWatchdog();
  SocketWatchdog(const SocketWatchdog&) = delete;
  SocketWatchdog& operator=(const SocketWatchdog&) = delete;

  // Watches `fd` for as long as the guard lives. The fd must stay open until then.
  class Guard {
   public:
    Guard(SocketWatchdog& watchdog, int fd, SteadyTime until) : watchdog_(watchdog) {
      watchdog_.begin(fd, until);
    }
    ~Guard() { watchdog_.end(); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    SocketWatchdog& watchdog_;
  };

 private:
  void begin(int fd, SteadyTime until) EXCLUDES(mutex_);
  void end() EXCLUDES(mutex_);
  void run() EXCLUDES(mutex_);

  Clock& clock_;
  Mutex mutex_;
  std::condition_variable changed_;
  int fd_ GUARDED_BY(mutex_) = -1;  // -1 = nobody writes.
  SteadyTime until_ GUARDED_BY(mutex_){};
  SteadyTime sleeping_until_ GUARDED_BY(mutex_) = SteadyTime::max();
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace sluice::rabbitmq
