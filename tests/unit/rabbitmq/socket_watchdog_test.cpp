#include "common/rabbitmq/socket_watchdog.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "common/rabbitmq/wake_fd.h"

namespace sluice::rabbitmq {
namespace {

using std::chrono::milliseconds;

class Pair {
 public:
  Pair() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends_), 0); }
  ~Pair() {
    close(ends_[0]);
    close(ends_[1]);
  }
  int writer() const { return ends_[0]; }

 private:
  int ends_[2];
};

TEST(SocketWatchdog, EndsAWriteThatNobodyReads) {
  SystemClock clock;
  SocketWatchdog watchdog(clock);
  for (int round = 0; round < 3; ++round) {
    const Pair pair;
    const std::string much(8 << 20, 'x');
    const SteadyTime start = clock.steady_now();
    const SocketWatchdog::Guard guard(watchdog, pair.writer(), start + milliseconds(50));
    ssize_t sent = 0;
    while (sent >= 0) sent = send(pair.writer(), much.data(), much.size(), MSG_NOSIGNAL);
    EXPECT_GE(clock.steady_now() - start, milliseconds(49));
    EXPECT_LT(clock.steady_now() - start, milliseconds(2000));
  }
}

TEST(SocketWatchdog, LeavesAWriteAloneThatEndedInTime) {
  SystemClock clock;
  SocketWatchdog watchdog(clock);
  const Pair first, second;
  { const SocketWatchdog::Guard guard(watchdog, first.writer(), clock.steady_now() + milliseconds(20)); }
  {
    const SocketWatchdog::Guard guard(watchdog, second.writer(), clock.steady_now() + milliseconds(10'000));
    WakeFd pause;
    pause.wait(-1, false, milliseconds(60));  // The first one's time passes.
    EXPECT_EQ(send(second.writer(), "x", 1, MSG_NOSIGNAL), 1);
  }
  EXPECT_EQ(send(first.writer(), "x", 1, MSG_NOSIGNAL), 1);
}

TEST(WakeFd, AWakeBeforeTheWaitIsNotLost) {
  SystemClock clock;
  WakeFd wake;
  wake.wake();
  const SteadyTime start = clock.steady_now();
  wake.wait(-1, false, milliseconds(5000));
  EXPECT_LT(clock.steady_now() - start, milliseconds(1000));
  wake.wait(-1, false, milliseconds(20));  // And counts once.
  EXPECT_GE(clock.steady_now() - start, milliseconds(19));
}

}  // namespace
}  // namespace sluice::rabbitmq
