#include "worker/consumer/live_writer.h"

#include <gmock/gmock.h>

#include "tests/unit/worker/consumer/harness.h"

namespace sluice::worker {
namespace {

using std::chrono::milliseconds;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class LiveWriterTest : public ::testing::Test {
 protected:
  TaskRef start(int attempt = 1) { return {ids_.make<JobId>(0), 1, attempt}; }
  void say(const std::string& key, const std::string& text, const std::string& reasoning = {}) {
    writer_.add({Progress{key, text, reasoning, 1}});
  }
  void turn(milliseconds time = milliseconds(250)) {
    clock_.advance(time);
    writer_.run_once();
  }
  // What the entries of a job say when they are joined.
  std::string told(const TaskRef& ref) {
    std::string text;
    for (const LiveText& live : sink_.entries(ref.id)) {
      EXPECT_EQ(live.text_at, text.size());
      text += live.text;
    }
    return text;
  }

  ManualClock clock_;
  SeededRng rng_{7};
  IdMaker ids_{clock_, rng_};
  FakeLiveSink sink_;
  LiveWriter writer_{{.pieces_max = 4, .text_bytes_max = 100},
                     sink_,
                     clock_,
                     Log("test", LogLevel::kError, clock_, std::make_shared<SilentSink>()),
                     {}};
};

TEST_F(LiveWriterTest, ThatAStartBeganIsToldBeforeItSaysAnything) {
  const TaskRef ref = start(2);
  writer_.begin("k", ref, true);
  turn();
  ASSERT_THAT(sink_.entries(ref.id), SizeIs(1));
  EXPECT_EQ(sink_.entries(ref.id)[0].attempt, 2);
  EXPECT_EQ(sink_.entries(ref.id)[0].text, "");
  turn();
  EXPECT_THAT(sink_.entries(ref.id), SizeIs(1));
}

TEST_F(LiveWriterTest, WhatIsSaidBetweenTwoRoundsIsOnePiece) {
  const TaskRef ref = start();
  writer_.begin("k", ref, true);
  say("k", "", "why");
  say("k", "one ");
  say("k", "two ");
  turn();
  say("k", "three");
  turn();
  ASSERT_THAT(sink_.entries(ref.id), SizeIs(2));
  EXPECT_EQ(sink_.entries(ref.id)[0], (LiveText{1, 0, 0, "one two ", "why", 3}));
  EXPECT_EQ(sink_.entries(ref.id)[1], (LiveText{1, 8, 3, "three", "", 4}));
}

TEST_F(LiveWriterTest, NobodyIsToldUnlessSomebodyWatchesAndThenAllOfIt) {
  const TaskRef ref = start();
  const TaskRef other = start();
  writer_.begin("k", ref, false);
  writer_.begin("o", other, false);
  say("k", "one ");
  turn();
  EXPECT_THAT(sink_.entries(ref.id), IsEmpty());
  sink_.watch(ref.id);
  say("k", "two");
  turn();
  EXPECT_EQ(told(ref), "one two");
  EXPECT_THAT(sink_.entries(other.id), IsEmpty());
  const int looks = sink_.looks;
  for (int i = 0; i < 9; ++i) turn(milliseconds(25));
  EXPECT_EQ(sink_.looks, looks);
  turn(milliseconds(25));
  EXPECT_EQ(sink_.looks, looks + 1);
}

TEST_F(LiveWriterTest, AfterAnOutageTheWholeIsToldAgain) {
  const TaskRef ref = start();
  writer_.begin("k", ref, true);
  say("k", "one ");
  turn();
  sink_.failing = true;
  say("k", "two ");
  turn();
  sink_.failing = false;
  sink_.forget_all();
  say("k", "three");
  turn();
  EXPECT_EQ(told(ref), "one two three");
}

TEST_F(LiveWriterTest, AStreamThatVanishedBeginsAnewWithTheWhole) {
  const TaskRef ref = start();
  writer_.begin("k", ref, true);
  say("k", "one ");
  turn();
  sink_.forget_all();
  say("k", "two");
  turn();
  EXPECT_THAT(sink_.entries(ref.id), IsEmpty());
  turn();
  EXPECT_EQ(told(ref), "one two");
}

TEST_F(LiveWriterTest, StreamsDoNotGrowWithoutEnd) {
  const TaskRef ref = start();
  writer_.begin("k", ref, true);
  std::string all;
  for (int i = 0; i < 30; ++i) {
    say("k", "w ");
    all += "w ";
    turn();
    EXPECT_LE(sink_.entries(ref.id).size(), 4U);
    EXPECT_EQ(told(ref), all);
  }
}

TEST_F(LiveWriterTest, AnAnswerTooLongToTellIsToldUpToThere) {
  const TaskRef ref = start();
  writer_.begin("k", ref, true);
  say("k", std::string(90, 'a'));
  say("k", std::string(20, 'b'));
  say("k", "c");
  turn();
  EXPECT_EQ(told(ref), std::string(90, 'a'));
}

TEST_F(LiveWriterTest, AnEndedStartSaysNothingMore) {
  const TaskRef ref = start();
  writer_.begin("k", ref, true);
  say("k", "one");
  writer_.end("k");
  say("k", "two");
  turn();
  EXPECT_THAT(sink_.entries(ref.id), IsEmpty());
}

class LiveRunnerTest : public RunnerTest {};

TEST_F(LiveRunnerTest, ARunningJobIsHeardWhileItRunsAndItsEndIsTheResult) {
  start(config());
  JobRequest request;
  request.prompt = "p";
  request.parameters.stream = true;
  const JobId id = submit("p", Priority::kNormal, job_request_to_json(request));
  dispatch();
  ASSERT_TRUE(engine_.wait_added(1));
  engine_.say(key(id), "one ");
  engine_.say(key(id), "two ");
  ASSERT_TRUE(pass_time_until([&] {
    std::string text;
    for (const LiveText& live : live_sink_.entries(id)) text += live.text;
    return text == "one two ";
  }));
  EXPECT_EQ(live_sink_.entries(id).back().tokens, 2);
  EXPECT_EQ(state(id), JobState::kRunning);
  engine_.finish(key(id));
  ASSERT_TRUE(journal_.wait_for("put:" + id.value));
  EXPECT_EQ(state(id), JobState::kSucceeded);
}

}  // namespace
}  // namespace sluice::worker
