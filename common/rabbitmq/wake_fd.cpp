#include "common/rabbitmq/wake_fd.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "common/base/check.h"

namespace sluice::rabbitmq {

WakeFd::WakeFd() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  SLUICE_CHECK(fd_ >= 0);
}

WakeFd::~WakeFd() {
  close(fd_);
}

void WakeFd::wake() {
  const std::uint64_t one = 1;
  // Full means that it is awake already.
  [[maybe_unused]] const ssize_t written = write(fd_, &one, sizeof one);
}

void WakeFd::wait(int socket, bool write, std::chrono::nanoseconds longest) {
  pollfd wanted[2] = {{fd_, POLLIN, 0}, {socket, static_cast<short>(POLLIN | (write ? POLLOUT : 0)), 0}};
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(longest).count();
  poll(wanted, socket >= 0 ? 2 : 1, static_cast<int>(std::clamp<std::int64_t>(milliseconds, 0, 60'000)));
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t taken = read(fd_, &count, sizeof count);
}

std::chrono::milliseconds heartbeat_pause(std::chrono::seconds heartbeat) {
  // The library wants to send one after half the time.
  const std::chrono::milliseconds third = std::chrono::milliseconds(heartbeat) / 3;
  constexpr std::chrono::milliseconds kLongest{10'000};
  return third.count() == 0 ? kLongest : std::min(third, kLongest);
}

}  // namespace sluice::rabbitmq
