// Wakes an I/O thread out of poll(2). Safe for concurrent use. Internal to this folder.
#pragma once

#include <chrono>

namespace sluice::rabbitmq {

class WakeFd {
 public:
  WakeFd();
  ~WakeFd();
  WakeFd(const WakeFd&) = delete;
  WakeFd& operator=(const WakeFd&) = delete;

  void wake();
  // Waits until woken, `socket` (if any, -1 = none) is readable, or writable if `write` is asked for, or the
  // time has passed.
  void wait(int socket, bool write, std::chrono::nanoseconds longest);

 private:
  const int fd_;
};

// How often an I/O thread has to look after a connection whose agreed heartbeat is this, though nothing
// happens.
std::chrono::milliseconds heartbeat_pause(std::chrono::seconds heartbeat);

}  // namespace sluice::rabbitmq
