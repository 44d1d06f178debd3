// The guard, end to end: a receiver that must not be reached, spelt in every way that leads to it.
#include <gtest/gtest.h>

#include "tests/unit/callback/sender/sending.h"

namespace sluice::callback {
namespace {

using ::sluice::testing::Receiver;

class GuardedHosts : public testing::Sending {
 protected:
  static SenderConfig strict() {
    SenderConfig config = local();
    config.guard.allow_loopback = false;
    return config;
  }
};

TEST_F(GuardedHosts, LoopbackInEverySpelling) {
  Receiver receiver;
  start(strict());
  for (const char* host : {"127.0.0.1", "127.1", "0x7f.0.0.1", "0x7f000001", "0177.0.0.1", "017700000001",
                           "2130706433", "localhost", "LOCALHOST", "a.localhost"}) {
    const AttemptReport done =
        report("http://" + std::string(host) + ":" + std::to_string(receiver.port()) + "/");
    EXPECT_EQ(done.failure, AttemptFailure::kRefused) << host << ": " << done.error;
    EXPECT_NE(done.error.find("loopback address"), std::string::npos) << host << ": " << done.error;
    EXPECT_FALSE(done.status);
  }
  EXPECT_EQ(receiver.connections(), 0);
}

TEST_F(GuardedHosts, OtherAddressesThatNobodyMayBeSentTo) {
  start(strict());
  for (const char* host : {"0.0.0.0",
                           "0",
                           "10.0.0.1",
                           "192.168.1.1",
                           "172.16.0.1",
                           "169.254.169.254",
                           "0xa9fea9fe",
                           "2852039166",
                           "100.64.0.1",
                           "224.0.0.1",
                           "255.255.255.255",
                           "[::1]",
                           "[::]",
                           "[::ffff:127.0.0.1]",
                           "[::ffff:169.254.169.254]",
                           "[::ffff:7f00:1]",
                           "[0:0:0:0:0:ffff:7f00:0001]",
                           "[::ffff:0:127.0.0.1]",
                           "[64:ff9b:1::7f00:1]",
                           "[2001:0:7f00:1::]",
                           "[::127.0.0.1]",
                           "0x0a000001",
                           "012.0.0.1",
                           "0300.0250.1.1",
                           "3232235777",
                           "0.1",
                           "%31%30.0.0.1",
                           "[64:ff9b::7f00:1]",
                           "[2002:7f00:1::]",
                           "[fc00::1]",
                           "[fe80::1]",
                           "[ff02::1]",
                           "[2001:db8::1]"}) {
    const AttemptReport done = report("http://" + std::string(host) + "/");
    EXPECT_EQ(done.failure, AttemptFailure::kRefused) << host << ": " << done.error;
  }
}

TEST_F(GuardedHosts, ANameThatLeadsInside) {
  Receiver receiver;
  start(strict());
  const std::string url = "http://hook.example.test:" + std::to_string(receiver.port()) + "/";
  for (const char* address :
       {"127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00::1"}) {
    resolver_.pin("hook.example.test", {{address}});
    const AttemptReport done = report(url);
    EXPECT_EQ(done.failure, AttemptFailure::kRefused) << address << ": " << done.error;
  }
  resolver_.pin("hook.example.test", {{"10.0.0.1", "127.0.0.1", "::1"}});
  EXPECT_EQ(report(url).failure, AttemptFailure::kRefused);
  EXPECT_EQ(receiver.connections(), 0);
}

// A name server that answers well when it is asked first, and with an inner address when it is asked again.
TEST_F(GuardedHosts, RebindingDoesNotHelp) {
  Receiver receiver;
  SenderConfig config = strict();
  config.connect_timeout = std::chrono::milliseconds(200);
  start(config);
  const std::string url = "http://hook.example.test:" + std::to_string(receiver.port()) + "/";
  // 192.0.2.1 stands for "outside": nothing of ours, and refused as documentation; what counts is the second
  // answer.
  resolver_.pin("hook.example.test", {{"192.0.2.1"}, {"127.0.0.1"}});
  EXPECT_FALSE(report(url).status);
  const AttemptReport rebound = report(url);
  EXPECT_EQ(rebound.failure, AttemptFailure::kRefused);
  EXPECT_NE(rebound.error.find("loopback"), std::string::npos) << rebound.error;
  EXPECT_EQ(receiver.connections(), 0);
}

TEST_F(GuardedHosts, TheAddressIsLookedAtAlsoWhenTheNameIsPinnedWell) {
  Receiver receiver;
  start(local());
  resolver_.pin("hook.example.test", {{"127.0.0.1"}});
  EXPECT_EQ(report("http://hook.example.test:" + std::to_string(receiver.port()) + "/").status, 200);
  EXPECT_EQ(receiver.requests().front().headers.at("host"),
            "hook.example.test:" + std::to_string(receiver.port()));
}

TEST_F(GuardedHosts, AHostWithoutAddressIsNotFoundAndNotRefused) {
  start(strict());
  resolver_.pin("hook.example.test", {{}});
  EXPECT_EQ(report("http://hook.example.test/").failure, AttemptFailure::kResolve);
}

}  // namespace
}  // namespace sluice::callback
