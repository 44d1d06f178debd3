#include "common/rabbitmq/socket_watchdog.h"

#include <pthread.h>
#include <sys/socket.h>

namespace sluice::rabbitmq {

SocketWatchdog::SocketWatchdog(Clock& clock) : clock_(clock), thread_([this] { run(); }) {}

SocketWatchdog::~SocketWatchdog() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void SocketWatchdog::begin(int fd, SteadyTime until) {
  bool wake;
  {
    MutexLock lock(mutex_);
    fd_ = fd;
    until_ = until;
    // Mostly the thread still sleeps towards an earlier write's time and looks again by itself.
    wake = until < sleeping_until_;
  }
  if (wake) changed_.notify_one();
}

void SocketWatchdog::end() {
  MutexLock lock(mutex_);
  fd_ = -1;
}

void SocketWatchdog::run() {
  pthread_setname_np(pthread_self(), "amqp-watchdog");
  MutexLock lock(mutex_);
  while (!stopping_) {
    if (fd_ < 0) {
      sleeping_until_ = SteadyTime::max();
      lock.wait(changed_);
      continue;
    }
    if (clock_.steady_now() < until_) {
      sleeping_until_ = until_;
      lock.wait_until(clock_, changed_, until_);
      continue;
    }
    shutdown(fd_, SHUT_RDWR);
    fd_ = -1;
  }
}

}  // namespace sluice::rabbitmq
