#include "producer/live/token_feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "tests/support/fake_job_store.h"

namespace sluice::producer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class Quiet final : public LogSink {
 public:
  void write(std::string_view) override {}
};

class FakeStreams final : public LiveStreams {
 public:
  Result<std::vector<News>> read(std::span<const Place> places, Deadline) override {
    if (down) return fail(ErrorCode::kUnavailable, "no redis");
    ++reads;
    places_read = places.size();
    std::vector<News> all;
    for (std::size_t i = 0; i < places.size(); ++i) {
      const auto& entries = streams[places[i].key];
      const std::size_t after = std::stoul(places[i].after);
      if (entries.size() <= after) continue;
      News news{i, std::to_string(entries.size()), {}};
      news.entries.assign(entries.begin() + static_cast<std::ptrdiff_t>(after), entries.end());
      all.push_back(std::move(news));
    }
    return all;
  }
  Status ask_for(std::span<const JobId> ids, Deadline) override {
    if (down) return fail(ErrorCode::kUnavailable, "no redis");
    for (const JobId& id : ids) asked.push_back(id);
    return {};
  }
  std::map<std::string, std::vector<LiveText>> streams;
  std::vector<JobId> asked;
  std::size_t places_read = 0;
  int reads = 0;
  bool down = false;
};

class FakeLiveStore final : public LiveStore {
 public:
  explicit FakeLiveStore(JobStore& jobs) : jobs_(jobs) {}
  Result<std::vector<JobGlance>> glance(std::span<const JobId> ids, Deadline deadline) override {
    looks.push_back(ids.size());
    std::vector<JobGlance> glances;
    for (const JobId& id : ids) {
      const auto job = jobs_.get({}, id, deadline);
      if (!job) continue;
      JobGlance glance;
      glance.id = job->id;
      glance.tenant = job->tenant;
      glance.state = job->state;
      glance.generation = job->generation;
      glance.attempt = job->attempt;
      glances.push_back(std::move(glance));
    }
    return glances;
  }
  Result<std::vector<WaitingJob>> queue_front(const std::string&, Priority, int, Deadline) override {
    return std::vector<WaitingJob>{};
  }
  Result<FleetRate> fleet_rate(const std::string&, Deadline) override { return FleetRate{}; }
  std::vector<std::size_t> looks;  // Of so many rows each.

 private:
  JobStore& jobs_;
};

// What one watcher heard.
struct Heard {
  std::string text;
  std::string reasoning;
  int pieces = 0;
  int mismatches = 0;
  std::vector<std::string> states;  // Each once.
  std::vector<Result<Job>> ends;
};

class TokenFeedTest : public ::testing::Test {
 protected:
  JobId accept() {
    std::vector<Submission> submissions(1);
    NewJob& fresh = submissions[0].jobs.emplace_back();
    fresh.job.id = ids_.make<JobId>(0);
    fresh.job.tenant.value = "t";
    fresh.job.model = "m";
    fresh.request_json = "{}";
    EXPECT_TRUE(store_.submit(submissions, soon())[0].has_value());
    return submissions[0].jobs[0].job.id;
  }
  void begin(const JobId& id, int attempt = 1) {
    EXPECT_EQ(store_.claim({{TaskRef{id, 1, attempt - 1}}}, "w", soon())->size(), 1U);
  }
  void succeed(const JobId& id, const std::string& text, const std::string& reasoning = {}, int attempt = 1) {
    JobResult result;
    result.text = text;
    result.reasoning_content = reasoning;
    result.finish_reason = "stop";
    const std::vector<Ending> endings{{TaskRef{id, 1, attempt}, "w", Succeeded{result}}};
    EXPECT_EQ(store_.finish(endings, soon())->front().outcome, EndingOutcome::kEnded);
    waiters_.notify(id);
  }
  std::optional<TokenFeed::Ticket> watch(const JobId& id, Heard& heard, TextPlace from = {},
                                         std::optional<std::uint32_t> told = std::nullopt,
                                         const std::string& tenant = "t") {
    FeedCallbacks callbacks;
    callbacks.on_text = [&heard](const TextPiece& piece) {
      ++heard.pieces;
      heard.text += piece.text;
      heard.reasoning += piece.reasoning;
    };
    callbacks.on_state = [&heard](const JobGlance&, const LiveState& state) {
      std::string name = std::string(job_state_name(state.state)) + " " + std::to_string(state.attempt);
      if (heard.states.empty() || heard.states.back() != name) heard.states.push_back(std::move(name));
    };
    callbacks.on_mismatch = [&heard] { ++heard.mismatches; };
    callbacks.on_final = [&heard](const Result<Job>& job) { heard.ends.push_back(job); };
    return feed_.watch(TenantId{tenant}, id, 1, from, std::move(callbacks), told);
  }
  void say(const JobId& id, std::size_t at, std::string text, int attempt = 1) {
    streams_.streams[live_text_key(id, 1)].push_back(
        {.attempt = attempt, .text_at = at, .text = std::move(text)});
  }
  // A quarter of a second for all of the threads.
  void turn() {
    clock_.advance(milliseconds(250));
    feed_.read_once();
    feed_.look_once();
    waiters_.run_once();
    feed_.read_once();
  }
  Deadline soon() { return Deadline::in(clock_, seconds(5)); }

  ManualClock clock_;
  SeededRng rng_{7};
  IdMaker ids_{clock_, rng_};
  Log log_{"test", LogLevel::kError, clock_, std::make_shared<Quiet>()};
  testing::FakeJobStore store_{clock_, ids_};
  NoHotJobs hot_;
  JobReader reader_{store_, hot_, clock_, {}};
  Waiters waiters_{reader_, {}, clock_, log_, {}};
  FakeLiveStore live_{store_};
  FakeStreams streams_;
  std::deque<Heard> heard_;  // Outlives the feed, which tells all when it ends.
  TokenFeed feed_{waiters_, live_, streams_, {.watchers_max = 60}, clock_, log_, {}};
};

TEST_F(TokenFeedTest, TextComesAsItIsSaidAndTheResultCompletesIt) {
  const JobId id = accept();
  Heard& heard = heard_.emplace_back();
  ASSERT_TRUE(watch(id, heard));
  turn();
  EXPECT_THAT(streams_.asked, ElementsAre(id));
  begin(id);
  say(id, 0, "one ");
  turn();
  EXPECT_EQ(heard.text, "one ");
  say(id, 4, "two ");
  turn();
  EXPECT_EQ(heard.text, "one two ");
  succeed(id, "one two three");
  turn();
  EXPECT_EQ(heard.text, "one two three");
  EXPECT_EQ(heard.pieces, 3);
  EXPECT_EQ(heard.mismatches, 0);
  EXPECT_THAT(heard.states, ElementsAre("queued 0", "running 1"));
  ASSERT_THAT(heard.ends, SizeIs(1));
  EXPECT_EQ(heard.ends[0]->state, JobState::kSucceeded);
  EXPECT_EQ(feed_.size(), 0U);
  EXPECT_EQ(waiters_.size(), 0U);
}

TEST_F(TokenFeedTest, AJobThatEndedBeforeIsToldAtOnce) {
  const JobId id = accept();
  begin(id);
  succeed(id, "answer", "thought");
  Heard& heard = heard_.emplace_back();
  watch(id, heard, {.text = 3, .reasoning = 7});
  feed_.read_once();
  waiters_.run_once();
  feed_.read_once();
  EXPECT_EQ(heard.text, "wer");
  EXPECT_EQ(heard.reasoning, "");
  EXPECT_THAT(heard.ends, SizeIs(1));
}

TEST_F(TokenFeedTest, ASecondAttemptThatSaysTheSameIsNotHeardTwice) {
  const JobId id = accept();
  Heard& heard = heard_.emplace_back();
  watch(id, heard);
  say(id, 0, "one two ");
  turn();
  say(id, 0, "", 2);
  say(id, 0, "one ", 2);
  turn();
  EXPECT_EQ(heard.text, "one two ");
  say(id, 4, "two three", 2);
  turn();
  EXPECT_EQ(heard.text, "one two three");
  EXPECT_EQ(heard.mismatches, 0);
}

TEST_F(TokenFeedTest, WhoWasToldSomethingElseHearsSoOnceAndThenTheEnd) {
  const JobId id = accept();
  Heard& early = heard_.emplace_back();
  Heard& late = heard_.emplace_back();
  watch(id, early);
  say(id, 0, "one two ");
  turn();
  say(id, 0, "one more", 2);
  turn();
  EXPECT_EQ(early.mismatches, 1);
  watch(id, late);
  begin(id);
  succeed(id, "one more time");
  turn();
  EXPECT_EQ(early.text, "one two ");
  EXPECT_EQ(early.mismatches, 1);
  EXPECT_THAT(early.ends, SizeIs(1));
  EXPECT_EQ(late.text, "one more time");
  EXPECT_EQ(late.mismatches, 0);
}

TEST_F(TokenFeedTest, AResumedWatcherGetsTheRestIfItWasToldTheSame) {
  const JobId id = accept();
  Heard& first = heard_.emplace_back();
  Heard& same = heard_.emplace_back();
  Heard& other = heard_.emplace_back();
  Heard& ahead = heard_.emplace_back();
  watch(id, first);
  say(id, 0, "one two ");
  turn();
  watch(id, same, {.text = 4}, live_hash(kLiveHashBegin, "one "));
  watch(id, other, {.text = 4}, live_hash(kLiveHashBegin, "uno "));
  watch(id, ahead, {.text = 12}, live_hash(kLiveHashBegin, "one two thre"));
  turn();
  EXPECT_EQ(same.text, "two ");
  EXPECT_EQ(other.mismatches, 1);
  EXPECT_EQ(other.text, "");
  begin(id);
  succeed(id, "one two three");
  turn();
  EXPECT_EQ(same.text, "two three");
  EXPECT_EQ(ahead.text, "e");
  EXPECT_EQ(ahead.mismatches, 0);
  EXPECT_THAT(other.ends, SizeIs(1));
}

TEST_F(TokenFeedTest, WhoWasToldMoreThanTheJobEverSaidHearsSo) {
  const JobId id = accept();
  Heard& heard = heard_.emplace_back();
  watch(id, heard, {.text = 100});
  begin(id);
  succeed(id, "short");
  turn();
  EXPECT_EQ(heard.mismatches, 1);
  EXPECT_THAT(heard.ends, SizeIs(1));
}

TEST_F(TokenFeedTest, WithoutRedisStatesComeFromTheRowsAndTheTextAtTheEnd) {
  streams_.down = true;
  const JobId id = accept();
  Heard& heard = heard_.emplace_back();
  watch(id, heard);
  turn();
  begin(id);
  turn();
  EXPECT_THAT(heard.states, ElementsAre("queued 0", "running 1"));
  EXPECT_EQ(heard.text, "");
  streams_.down = false;
  clock_.advance(seconds(1));
  turn();
  EXPECT_THAT(streams_.asked, ElementsAre(id));
  streams_.down = true;
  succeed(id, "all of it");
  turn();
  EXPECT_EQ(heard.text, "all of it");
  EXPECT_THAT(heard.ends, SizeIs(1));
}

TEST_F(TokenFeedTest, ManyWatchersOfOneJobShareOneReading) {
  const JobId id = accept();
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(watch(id, heard_.emplace_back()));
  say(id, 0, "all ");
  turn();
  EXPECT_EQ(streams_.places_read, 1U);
  EXPECT_THAT(streams_.asked, SizeIs(1));
  EXPECT_EQ(waiters_.size(), 1U);
  begin(id);
  succeed(id, "all hear");
  turn();
  for (const Heard& one : heard_) {
    EXPECT_EQ(one.text, "all hear");
    EXPECT_THAT(one.ends, SizeIs(1));
  }
}

TEST_F(TokenFeedTest, JobsThatSayNothingAreReadLessOften) {
  const JobId talks = accept();
  const JobId waits = accept();
  watch(talks, heard_.emplace_back());
  watch(waits, heard_.emplace_back());
  feed_.read_once();
  clock_.advance(seconds(2));
  say(talks, 0, "one ");
  feed_.read_once();
  EXPECT_EQ(streams_.places_read, 2U);
  clock_.advance(milliseconds(20));
  feed_.read_once();
  EXPECT_EQ(streams_.places_read, 1U);
  clock_.advance(milliseconds(230));
  feed_.read_once();
  EXPECT_EQ(streams_.places_read, 2U);
}

TEST_F(TokenFeedTest, LooksAtRowsKeepTheirPaceWhoeverComesAndGoes) {
  const auto look = [&] {
    feed_.read_once();
    return feed_.look_once();
  };
  watch(accept(), heard_.emplace_back());
  EXPECT_EQ(look(), milliseconds(250));
  EXPECT_THAT(live_.looks, ElementsAre(1));
  const JobId told = accept();
  for (int i = 0; i < 10; ++i) {
    clock_.advance(milliseconds(2));
    FeedCallbacks text_only;
    text_only.on_final = [](const Result<Job>&) {};
    const auto ticket = feed_.watch(TenantId{"t"}, told, 1, {}, std::move(text_only));
    look();
    EXPECT_TRUE(feed_.remove(*ticket));
    look();
  }
  EXPECT_THAT(live_.looks, ElementsAre(1));
  // Who wants states gets the first at once: of its own row, and with others that come as soon.
  watch(accept(), heard_.emplace_back());
  look();
  EXPECT_THAT(live_.looks, ElementsAre(1, 1));
  for (int i = 0; i < 3; ++i) watch(accept(), heard_.emplace_back());
  EXPECT_EQ(look(), milliseconds(20));
  EXPECT_THAT(live_.looks, ElementsAre(1, 1));
  clock_.advance(milliseconds(20));
  look();
  EXPECT_THAT(live_.looks, ElementsAre(1, 1, 3));
  clock_.advance(milliseconds(210));
  look();
  EXPECT_THAT(live_.looks, ElementsAre(1, 1, 3, 5));
  feed_.read_once();
  for (const Heard& one : heard_) EXPECT_THAT(one.states, ElementsAre("queued 0"));
}

TEST_F(TokenFeedTest, AFailedJobEndsWithoutText) {
  const JobId id = accept();
  Heard& heard = heard_.emplace_back();
  watch(id, heard);
  say(id, 0, "half a sen");
  turn();
  ASSERT_TRUE(store_.cancel(TenantId{"t"}, id, soon()));
  turn();
  EXPECT_EQ(heard.text, "half a sen");
  EXPECT_EQ(heard.mismatches, 0);
  ASSERT_THAT(heard.ends, SizeIs(1));
  EXPECT_EQ(heard.ends[0]->state, JobState::kCancelled);
}

TEST_F(TokenFeedTest, NothingIsToldAfterRemove) {
  const JobId id = accept();
  Heard& heard = heard_.emplace_back();
  const auto ticket = watch(id, heard);
  turn();
  EXPECT_TRUE(feed_.remove(*ticket));
  EXPECT_FALSE(feed_.remove(*ticket));
  say(id, 0, "one");
  turn();
  succeed((begin(id), id), "one");
  turn();
  EXPECT_EQ(heard.text, "");
  EXPECT_THAT(heard.ends, IsEmpty());
  EXPECT_EQ(waiters_.size(), 0U);
}

TEST_F(TokenFeedTest, AWaitThatEndsForItsTimeGoesOn) {
  const JobId id = accept();
  Heard& heard = heard_.emplace_back();
  watch(id, heard);
  turn();
  clock_.advance(seconds(90));
  turn();
  turn();
  EXPECT_THAT(heard.ends, IsEmpty());
  begin(id);
  succeed(id, "late");
  turn();
  EXPECT_EQ(heard.text, "late");
}

TEST_F(TokenFeedTest, NobodyHearsOfAnotherTenantsJob) {
  const JobId id = accept();
  Heard& own = heard_.emplace_back();
  Heard& foreign = heard_.emplace_back();
  watch(id, own);
  say(id, 0, "secret");
  turn();
  watch(id, foreign, {}, std::nullopt, "other");
  turn();
  EXPECT_EQ(own.text, "secret");
  EXPECT_EQ(foreign.text, "");
  EXPECT_THAT(foreign.states, IsEmpty());
  ASSERT_THAT(foreign.ends, SizeIs(1));
  EXPECT_EQ(foreign.ends[0].error().code, ErrorCode::kNotFound);
}

TEST_F(TokenFeedTest, AtItsLimitAndAfterItsStopNobodyWatches) {
  const JobId id = accept();
  for (int i = 0; i < 60; ++i) EXPECT_TRUE(watch(id, heard_.emplace_back()));
  EXPECT_FALSE(feed_.has_room());
  Heard refused;
  EXPECT_FALSE(watch(id, refused));
  turn();
  waiters_.stop();
  feed_.stop();
  for (const Heard& one : heard_) {
    ASSERT_THAT(one.ends, SizeIs(1));
    EXPECT_EQ(one.ends[0].error().code, ErrorCode::kCancelled);
  }
  EXPECT_FALSE(watch(id, refused));
}

}  // namespace
}  // namespace sluice::producer
