#include "callback/courier/endpoint_gate.h"

#include <gtest/gtest.h>

namespace sluice::callback {
namespace {

using namespace std::chrono_literals;

class Gate : public testing::Test {
 protected:
  static GateConfig config() {
    GateConfig config;
    config.total_max = 8;
    config.endpoint_max = 4;
    config.failures_to_rest = 2;
    config.rest = {1s, 8s, 0};
    return config;
  }
  // What each endpoint may have now, as "a3 b1".
  std::string wishes(std::initializer_list<const char*> endpoints) {
    std::vector<DueEndpoint> due;
    for (const char* endpoint : endpoints) due.push_back({endpoint, 0ms});
    std::string text;
    for (const ClaimWish& wish : gate_.wishes(due)) {
      text += (text.empty() ? "" : " ") + wish.endpoint + std::to_string(wish.deliveries_max);
    }
    return text;
  }
  void begin(const char* endpoint, int times = 1) {
    while (times-- > 0) gate_.begin(endpoint);
  }
  void fail(const char* endpoint) {
    gate_.begin(endpoint);
    gate_.end(endpoint, EndpointHealth::kFails);
  }

  ManualClock clock_;
  SeededRng rng_{1};
  EndpointGate gate_{config(), clock_, rng_};
};

TEST_F(Gate, AnEndpointHasItsLimit) {
  EXPECT_EQ(wishes({"a"}), "a4");
  begin("a", 3);
  EXPECT_EQ(wishes({"a"}), "a1");
  begin("a");
  EXPECT_EQ(wishes({"a"}), "");
  gate_.end("a", EndpointHealth::kAnswers);
  EXPECT_EQ(wishes({"a"}), "a1");
}

TEST_F(Gate, PlacesAreSharedOutInRounds) {
  // Six places are open to all, two are kept for endpoints with nothing under way.
  EXPECT_EQ(wishes({"a", "b"}), "a3 b3");
  EXPECT_EQ(wishes({"a", "b", "c", "d", "e"}), "a2 b1 c1 d1 e1");
  EXPECT_EQ(wishes({"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}), "a1 b1 c1 d1 e1 f1 g1 h1");
}

TEST_F(Gate, BusyEndpointsLeaveAQuarterToTheOthers) {
  begin("slow1", 4);
  begin("slow2", 2);
  EXPECT_EQ(wishes({"slow1", "slow2"}), "");
  EXPECT_EQ(wishes({"slow1", "slow2", "new"}), "new1");
  begin("new");
  EXPECT_EQ(wishes({"slow2", "new"}), "");
  EXPECT_EQ(wishes({"slow2", "new", "newer"}), "newer1");
  begin("newer");
  EXPECT_EQ(wishes({"newest"}), "");
  EXPECT_EQ(gate_.under_way(), 8);
}

TEST_F(Gate, AnEndpointThatOnlyFailsRestsAndIsTriedSeldom) {
  fail("a");
  EXPECT_FALSE(gate_.resting("a"));
  EXPECT_EQ(wishes({"a"}), "a4");
  fail("a");
  EXPECT_TRUE(gate_.resting("a"));
  EXPECT_EQ(gate_.resting_count(), 1);
  EXPECT_EQ(wishes({"a", "b"}), "b4");
  clock_.advance(999ms);
  EXPECT_EQ(wishes({"a"}), "");
  clock_.advance(1ms);
  EXPECT_EQ(wishes({"a"}), "a1");
  begin("a");
  EXPECT_EQ(wishes({"a"}), "");  // One at a time.
  gate_.end("a", EndpointHealth::kFails);
  clock_.advance(1999ms);
  EXPECT_EQ(wishes({"a"}), "");
  clock_.advance(1ms);
  EXPECT_EQ(wishes({"a"}), "a1");
  for (int i = 0; i < 10; ++i) fail("a");
  clock_.advance(8s);  // Pauses grow no further.
  EXPECT_EQ(wishes({"a"}), "a1");
}

TEST_F(Gate, OneAnswerEndsTheRest) {
  fail("a");
  fail("a");
  clock_.advance(1s);
  begin("a");
  gate_.end("a", EndpointHealth::kAnswers);
  EXPECT_FALSE(gate_.resting("a"));
  EXPECT_EQ(wishes({"a"}), "a4");
  fail("a");
  EXPECT_FALSE(gate_.resting("a"));  // Counted from nought again.
}

TEST_F(Gate, AnAttemptThatSaysNothingChangesNothing) {
  fail("a");
  begin("a");
  gate_.end("a", EndpointHealth::kUnjudged);
  EXPECT_FALSE(gate_.resting("a"));
  fail("a");
  EXPECT_TRUE(gate_.resting("a"));
}

}  // namespace
}  // namespace sluice::callback
