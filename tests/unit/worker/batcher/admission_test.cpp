#include "worker/batcher/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::worker {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const SteadyTime kStart{std::chrono::hours(1)};

SteadyTime at(int ms) {
  return kStart + milliseconds(ms);
}

Work work(const std::string& key, int offered_ms, std::size_t tokens = 10, bool alone = false) {
  Work w;
  w.request.key = key;
  w.kv_tokens = tokens;
  w.alone = alone;
  w.offered = at(offered_ms);
  return w;
}

std::vector<std::string> keys(const std::vector<Work>& works) {
  std::vector<std::string> keys;
  for (const Work& w : works) keys.push_back(w.request.key);
  return keys;
}

TEST(Admission, AnIdleEngineStartsAtOnceWithAllThatWaits) {
  Admission admission({.jobs_max = 4});
  admission.push(work("a", 0));
  admission.push(work("b", 0));
  EXPECT_THAT(keys(admission.next({}, at(0))), ElementsAre("a", "b"));
  EXPECT_EQ(admission.size(), 0U);
}

TEST(Admission, BesideRunningOnesAGroupIsGatheredForTheLinger) {
  Admission admission({.jobs_max = 8, .linger = milliseconds(50)});
  const Running running{2, 20, false};
  admission.push(work("a", 0));
  EXPECT_THAT(keys(admission.next(running, at(10))), IsEmpty());
  admission.push(work("b", 30));
  EXPECT_EQ(admission.due(running), at(50));
  EXPECT_THAT(keys(admission.next(running, at(49))), IsEmpty());
  EXPECT_THAT(keys(admission.next(running, at(50))), ElementsAre("a", "b"));
}

TEST(Admission, EnoughToFillTheFreePlacesDoNotLinger) {
  Admission admission({.jobs_max = 4});
  const Running running{2, 20, false};
  admission.push(work("a", 0));
  EXPECT_THAT(keys(admission.next(running, at(0))), IsEmpty());
  admission.push(work("b", 0));
  admission.push(work("c", 0));
  EXPECT_THAT(keys(admission.next(running, at(0))), ElementsAre("a", "b"));
  EXPECT_EQ(admission.size(), 1U);
}

TEST(Admission, AFullEngineTakesNobodyAndIsNotAskedAgainByTheClock) {
  Admission admission({.jobs_max = 2});
  admission.push(work("a", 0));
  EXPECT_THAT(keys(admission.next({2, 20, false}, at(1000))), IsEmpty());
  EXPECT_EQ(admission.due({2, 20, false}), std::nullopt);
}

TEST(Admission, TheTokenBudgetHoldsAndNobodyOvertakesTheFirstInLine) {
  Admission admission({.jobs_max = 10, .tokens_max = 100});
  admission.push(work("a", 0, 60));
  admission.push(work("large", 0, 50));
  admission.push(work("small", 0, 1));
  EXPECT_THAT(keys(admission.next({}, at(0))), ElementsAre("a"));
  EXPECT_THAT(keys(admission.next({1, 60, false}, at(500))), IsEmpty());
  EXPECT_THAT(keys(admission.next({1, 50, false}, at(500))), ElementsAre("large"));
}

TEST(Admission, AnEmptyEngineIsAskedEvenForMoreThanTheBudget) {
  Admission admission({.jobs_max = 10, .tokens_max = 100});
  admission.push(work("huge", 0, 1000));
  EXPECT_THAT(keys(admission.next({}, at(0))), ElementsAre("huge"));
}

TEST(Admission, WhatMustBeAloneWaitsForAnEmptyEngineAndHoldsBackThoseBehind) {
  Admission admission({.jobs_max = 10});
  admission.push(work("a", 0));
  admission.push(work("poison", 0, 10, true));
  admission.push(work("b", 0));
  EXPECT_THAT(keys(admission.next({}, at(0))), ElementsAre("a"));
  EXPECT_THAT(keys(admission.next({1, 10, false}, at(900))), IsEmpty());
  EXPECT_THAT(keys(admission.next({}, at(900))), ElementsAre("poison"));
  EXPECT_THAT(keys(admission.next({1, 10, true}, at(9000))), IsEmpty());
  EXPECT_THAT(keys(admission.next({}, at(9000))), ElementsAre("b"));
}

TEST(Admission, WhatFoundNoRoomIsFirstInLineAgain) {
  Admission admission({.jobs_max = 10});
  for (const char* key : {"a", "b", "c"}) admission.push(work(key, 0));
  std::vector<Work> group = admission.next({}, at(0));
  admission.push(work("d", 1));
  group.erase(group.begin());
  admission.put_back(std::move(group));
  EXPECT_THAT(keys(admission.next({}, at(60))), ElementsAre("b", "c", "d"));
}

TEST(Admission, RemovesByKey) {
  Admission admission({.jobs_max = 10});
  for (const char* key : {"a", "b", "c"}) admission.push(work(key, 0));
  EXPECT_EQ(admission.remove("b")->request.key, "b");
  EXPECT_FALSE(admission.remove("b").has_value());
  EXPECT_THAT(keys(admission.take_all()), ElementsAre("a", "c"));
  EXPECT_EQ(admission.size(), 0U);
}

Work express(const std::string& key, int offered_ms, std::size_t tokens = 10) {
  Work w = work(key, offered_ms, tokens);
  w.express = true;
  return w;
}

TEST(Admission, ExpressWorkStartsAtOnceInPlacesOfItsOwn) {
  Admission admission({.jobs_max = 4, .express_max = 2, .linger = milliseconds(50)});
  admission.push(work("a", 0));
  admission.push(express("b", 1));
  admission.push(express("c", 1));
  admission.push(express("d", 1));
  Running full{4, 40, false};
  EXPECT_THAT(keys(admission.next(full, at(1))), ElementsAre("b", "c"));
  full = {6, 60, false, 2};
  EXPECT_THAT(keys(admission.next(full, at(100))), IsEmpty());
  // An usual place that is free is for those that wait in line, an express one for the next.
  EXPECT_THAT(keys(admission.next({5, 50, false, 2}, at(100))), ElementsAre("a"));
  EXPECT_THAT(keys(admission.next({5, 50, false, 1}, at(100))), ElementsAre("d"));
  EXPECT_EQ(admission.size(), 0U);
}

TEST(Admission, ExpressWorkKeepsToTheEnginesTokensAndToWhoMustBeAlone) {
  Admission admission({.jobs_max = 4, .express_max = 2, .tokens_max = 100});
  admission.push(express("a", 0, 50));
  EXPECT_THAT(keys(admission.next({4, 60, false}, at(0))), IsEmpty());
  EXPECT_THAT(keys(admission.next({1, 10, true}, at(0))), IsEmpty());
  EXPECT_THAT(keys(admission.next({4, 50, false}, at(0))), ElementsAre("a"));
}

TEST(Admission, NobodyPassesWhoHasAPlaceAndWaitsForRoom) {
  Admission admission({.jobs_max = 4, .express_max = 2, .linger = milliseconds(0)});
  admission.push(work("large", 0));
  ASSERT_THAT(keys(admission.next({2, 20, false}, at(0))), ElementsAre("large"));
  std::vector<Work> refused;
  refused.push_back(work("large", 0));
  admission.put_back(std::move(refused));  // The engine has no room for it.
  admission.push(express("urgent", 1));
  EXPECT_THAT(keys(admission.next({2, 20, false}, at(9))), ElementsAre("large"));
  // Without a place it waits for that, and holds up nobody.
  refused.clear();
  refused.push_back(work("large", 0));
  admission.put_back(std::move(refused));
  EXPECT_THAT(keys(admission.next({4, 40, false}, at(9))), ElementsAre("urgent"));
}

TEST(Admission, WhatTheEngineRefusedAndWhatIsTakenBackIsOfBothLines) {
  Admission admission({.jobs_max = 4, .express_max = 2});
  admission.push(work("b", 0));
  admission.push(express("d", 0));
  std::vector<Work> back;
  back.push_back(express("c", 0));
  back.push_back(work("a", 0));
  admission.put_back(std::move(back));
  EXPECT_EQ(admission.remove("d")->request.key, "d");
  EXPECT_FALSE(admission.remove("d").has_value());
  EXPECT_THAT(keys(admission.take_all()), ElementsAre("c", "a", "b"));
}

}  // namespace
}  // namespace sluice::worker
