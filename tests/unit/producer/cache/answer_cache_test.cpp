#include "producer/cache/answer_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "producer/api/answer_key.h"
#include "tests/support/fake_job_store.h"

namespace sluice::producer {
namespace {

using std::chrono::seconds;

class SaidShared final : public SharedAnswers {
 public:
  std::vector<std::optional<Answer>> find(std::span<const std::string> keys, Deadline) override {
    asked += static_cast<int>(keys.size());
    std::vector<std::optional<Answer>> found;
    for (const std::string& key : keys) {
      const auto known = answers.find(key);
      found.push_back(known == answers.end() ? std::nullopt : std::optional(known->second));
    }
    return found;
  }
  std::map<std::string, Answer> answers;
  int asked = 0;
};

class AnswerCacheTest : public ::testing::Test {
 protected:
  Submission one(const std::string& key) {
    Submission submission;
    NewJob& fresh = submission.jobs.emplace_back();
    fresh.job.id = ids_.make<JobId>(0);
    fresh.job.tenant.value = "t";
    fresh.job.model = "m";
    fresh.answer_key = key;
    return submission;
  }
  // Where Redis would have it, for a minute.
  void share(const std::string& key, const std::string& text) {
    Answer& answer = shared_.answers[answer_cache_key(TenantId{"t"}, key)];
    answer.job.value = "job_of_before";
    answer.until_us = unix_micros(clock_.wall_now()) + 60'000'000;
    answer.result.text = text;
  }
  Deadline soon() { return Deadline::in(clock_, seconds(1)); }

  ManualClock clock_;
  SeededRng rng_{1};
  IdMaker ids_{clock_, rng_};
  testing::FakeJobStore store_{clock_, ids_};
  SaidShared shared_;
  AnswerCache cache_{shared_, store_, {}, clock_, {}};
};

TEST_F(AnswerCacheTest, WhatIsSharedIsAskedForOnce) {
  share("a", "known");
  for (int i = 0; i < 3; ++i) {
    Submission asked = one("a");
    cache_.look(asked);
    ASSERT_TRUE(asked.jobs[0].answer.has_value());
    EXPECT_EQ(asked.jobs[0].answer->result.text, "known");
  }
  EXPECT_EQ(shared_.asked, 1);
  Submission other = one("b");
  cache_.look(other);
  EXPECT_FALSE(other.jobs[0].answer.has_value());
  Submission own = one("");
  cache_.look(own);
  EXPECT_FALSE(own.jobs[0].answer.has_value());
  EXPECT_EQ(shared_.asked, 2);
}

TEST_F(AnswerCacheTest, AnotherTenantIsToldNothing) {
  share("a", "known");
  Submission asked = one("a");
  cache_.look(asked);
  asked = one("a");
  asked.jobs[0].job.tenant.value = "other";
  cache_.look(asked);
  EXPECT_FALSE(asked.jobs[0].answer.has_value());
}

TEST_F(AnswerCacheTest, AnAnswerHasItsTime) {
  share("a", "known");
  Submission asked = one("a");
  cache_.look(asked);
  clock_.advance(seconds(61));
  asked = one("a");
  cache_.look(asked);
  EXPECT_FALSE(asked.jobs[0].answer.has_value());
  // Unless the client takes it all the same.
  EXPECT_FALSE(cache_.look_for_stale(asked));
  asked.jobs[0].stale_will_do = true;
  EXPECT_TRUE(cache_.look_for_stale(asked));
  asked.jobs[0].job.created_us = unix_micros(clock_.wall_now());
  EXPECT_EQ(cache_state(asked.jobs[0]), "stale");
}

TEST_F(AnswerCacheTest, AStaleAnswerComesFromTheRecordIfNowhereElse) {
  std::vector<Submission> all{one("a")};
  all[0].jobs[0].answer_keep_s = 1;
  ASSERT_TRUE(store_.submit(all, soon())[0].has_value());
  const TaskRef task{all[0].jobs[0].job.id, 1, 0};
  const auto claimed = store_.claim(std::span(&task, 1), "w", soon());
  JobResult result;
  result.text = "old";
  const Ending ending{claimed->front().ref, "w", Succeeded{result}};
  ASSERT_TRUE(store_.finish(std::span(&ending, 1), soon()).has_value());
  clock_.advance(seconds(5));
  Submission asked = one("a");
  asked.jobs[0].stale_will_do = true;
  EXPECT_TRUE(cache_.look_for_stale(asked));
  EXPECT_EQ(asked.jobs[0].answer->result.text, "old");
  asked.jobs.push_back(one("b").jobs[0]);
  asked.jobs[1].stale_will_do = true;
  EXPECT_FALSE(cache_.look_for_stale(asked));  // All or nothing.
}

TEST_F(AnswerCacheTest, OfOneLargeAnswerOnlySoManyCopiesAreMade) {
  share("a", std::string(3'000'000, 'x'));
  Submission asked = one("a");
  for (int i = 0; i < 9; ++i) asked.jobs.push_back(one("a").jobs[0]);
  cache_.look(asked);
  const auto copies = std::count_if(asked.jobs.begin(), asked.jobs.end(),
                                    [](const NewJob& fresh) { return fresh.answer.has_value(); });
  EXPECT_EQ(copies, 1);
}

TEST_F(AnswerCacheTest, WhatTheDatabaseKnewIsKept) {
  Submission written = one("a");
  written.jobs[0].answer = Answer{JobId{"job_x"}, unix_micros(clock_.wall_now()) + 1'000'000, {}};
  written.jobs[0].answer->result.text = "from the record";
  cache_.note(written);
  Submission asked = one("a");
  cache_.look(asked);
  ASSERT_TRUE(asked.jobs[0].answer.has_value());
  EXPECT_EQ(asked.jobs[0].answer->result.text, "from the record");
  EXPECT_EQ(shared_.asked, 0);
}

TEST_F(AnswerCacheTest, AFreshAnswerTakesThePlaceOfAStaleOne) {
  share("a", "old");
  Submission asked = one("a");
  cache_.look(asked);
  clock_.advance(seconds(61));
  shared_.answers.clear();
  Submission written = one("a");
  written.jobs[0].answer = Answer{JobId{"job_x"}, unix_micros(clock_.wall_now()) + 1'000'000, {}};
  written.jobs[0].answer->result.text = "new";
  cache_.note(written);
  asked = one("a");
  cache_.look(asked);
  ASSERT_TRUE(asked.jobs[0].answer.has_value());
  EXPECT_EQ(asked.jobs[0].answer->result.text, "new");
}

TEST(CacheState, SaysWhereAResultComesFrom) {
  Job job;
  job.created_us = job.finished_us = 5;
  EXPECT_EQ(cache_state(job), "miss");
  job.leader_id.value = "job_x";
  EXPECT_EQ(cache_state(job), "hit");
  job.finished_us = 6;
  EXPECT_EQ(cache_state(job), "coalesced");
}

class AnswerKeyTest : public ::testing::Test {
 protected:
  AnswerKeyTest() {
    spec_.model = model_.get();
    spec_.request.prompt = "2 + 2";
  }
  std::string key(std::string_view revision = "") const { return answer_key(spec_, revision); }

  std::unique_ptr<ServedModel> model_ = make_echo_model();
  JobSpec spec_;
};

TEST_F(AnswerKeyTest, WhateverDecidesOverTheResultChangesIt) {
  const std::string before = key();
  EXPECT_EQ(before.size(), 64U);
  EXPECT_EQ(key(), before);
  EXPECT_NE(key("2"), before);
  std::vector<std::string> keys{before};
  const auto changed = [&](auto change) {
    JobSpec other = spec_;
    change(other);
    keys.push_back(answer_key(other, ""));
  };
  const auto large = make_echo_model("large");
  changed([&](JobSpec& s) { s.model = large.get(); });
  changed([](JobSpec& s) { s.request.prompt = "2 + 3"; });
  changed([](JobSpec& s) { s.request.raw = true; });
  changed([](JobSpec& s) { s.request.messages = {{"user", "2 + 2"}, {"assistant", "4"}}; });
  changed([](JobSpec& s) { s.request.messages = {{"system", "2 + 2"}}; });
  changed([](JobSpec& s) { s.request.parameters.max_tokens = 3; });
  changed([](JobSpec& s) { s.request.parameters.seed = 4; });
  changed([](JobSpec& s) { s.request.parameters.stop = {"x"}; });
  changed([](JobSpec& s) { s.request.parameters.logprobs = true; });
  changed([](JobSpec& s) { s.request.parameters.precision = RequestPrecision::kAdaptive; });
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(std::adjacent_find(keys.begin(), keys.end()), keys.end());
}

TEST_F(AnswerKeyTest, HowItIsToldDoesNot) {
  const std::string before = key();
  spec_.request.parameters.stream = true;
  spec_.request.echo_json = R"({"store":true})";
  spec_.request.parameters.seed = 99;
  spec_.seed_is_ours = true;
  spec_.surface = Surface::kChat;
  spec_.priority = Priority::kHigh;
  spec_.metadata_json = R"({"a":"b"})";
  EXPECT_EQ(key(), before);
  spec_.request.messages = {{"user", std::exchange(spec_.request.prompt, {})}};
  EXPECT_EQ(key(), before);
}

TEST_F(AnswerKeyTest, WhatIsTheSameEachTimeIsSharedUnlessTheClientSaysOtherwise) {
  EXPECT_TRUE(shares_answer(spec_));
  spec_.request.parameters.precision =
      RequestPrecision::kAdaptive;  // It depends on what else there is to do.
  EXPECT_FALSE(shares_answer(spec_));
  spec_.request.parameters.precision = RequestPrecision::kFull;
  spec_.request.parameters.temperature = 0.7;
  EXPECT_FALSE(shares_answer(spec_));
  spec_.cache = true;
  EXPECT_TRUE(shares_answer(spec_));
  spec_.cache.reset();
  spec_.request.parameters.seed = 1;
  EXPECT_TRUE(shares_answer(spec_));
  spec_.cache = false;
  EXPECT_FALSE(shares_answer(spec_));
  spec_.cache.reset();
  spec_.seed_is_ours = true;
  EXPECT_FALSE(shares_answer(spec_));
  spec_.cache = true;
  spec_.request.parameters.fault = RequestFault{};
  EXPECT_FALSE(shares_answer(spec_));
}

}  // namespace
}  // namespace sluice::producer
