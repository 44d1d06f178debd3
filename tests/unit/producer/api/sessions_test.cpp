#include "producer/api/sessions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "producer/api/job_fields.h"
#include "producer/api/job_intake.h"
#include "tests/support/fake_job_store.h"

namespace sluice::producer {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;

class SessionsTest : public ::testing::Test {
 protected:
  SessionsTest() { models_.add(make_echo_model()); }

  JobSpec spec(std::vector<RequestMessage> messages, const std::string& session = "s") {
    JobSpec spec;
    spec.model = &models_.default_model();
    spec.request.messages = std::move(messages);
    spec.session_id = session;
    return spec;
  }
  JobSpec user(const std::string& text) { return spec({{"user", text}}); }

  struct Made {
    JobId id;
    std::string header;
    std::vector<RequestMessage> messages;
  };
  // Accepts the turn; a refusal's code is the header of a job without id.
  Made make(JobSpec asked) {
    auto turn = sessions_.continue_with(kTenant, asked, soon());
    if (!turn) return {{}, turn.error().code, {}};
    Made made{ids_.make<JobId>(0), session_header(*turn), asked.request.messages};
    std::vector<Submission> all(1);
    all[0].jobs.push_back(new_job(made.id, kTenant, std::move(asked)));
    all[0].session = std::move(*turn);
    EXPECT_TRUE(store_.submit(all, soon())[0].has_value());
    return made;
  }
  void succeed(const JobId& id, const std::string& text) {
    EXPECT_EQ(store_.claim({{TaskRef{id, 1, 0}}}, "w", soon())->size(), 1U);
    const std::vector<Ending> endings{
        {TaskRef{id, 1, 1}, "w", Succeeded{JobResult{text, "a thought", "stop", 1, 1}}}};
    EXPECT_EQ(store_.finish(endings, soon())->front().outcome, EndingOutcome::kEnded);
  }
  void cancel(const JobId& id) { EXPECT_TRUE(store_.cancel(kTenant, id, soon()).has_value()); }
  Deadline soon() { return Deadline::in(clock_, seconds(5)); }

  const TenantId kTenant{"t"};
  ManualClock clock_;
  SeededRng rng_{7};
  IdMaker ids_{clock_, rng_};
  ModelCatalog models_;
  testing::FakeJobStore store_{clock_, ids_};
  NoHotJobs hot_;
  JobReader reader_{store_, hot_, clock_, {}};
  Sessions sessions_{store_, store_, reader_, SessionsConfig{seconds(60)}};
};

TEST_F(SessionsTest, AConversationGrowsByEachTurn) {
  const Made first = make(spec({{"system", "Be brief."}, {"user", "one"}}));
  EXPECT_EQ(first.header, "new; turn=1");
  succeed(first.id, "1");
  const Made second = make(user("two"));
  EXPECT_EQ(second.header, "continued; turn=2");
  EXPECT_THAT(second.messages,
              ElementsAre(RequestMessage{"system", "Be brief."}, RequestMessage{"user", "one"},
                          RequestMessage{"assistant", "1"}, RequestMessage{"user", "two"}));
  succeed(second.id, "2");
  const Made third = make(spec({{"system", "Now rhyme."}, {"user", "three"}}));
  EXPECT_EQ(third.header, "continued; turn=3");
  EXPECT_THAT(third.messages,
              ElementsAre(RequestMessage{"system", "Now rhyme."}, RequestMessage{"user", "one"},
                          RequestMessage{"assistant", "1"}, RequestMessage{"user", "two"},
                          RequestMessage{"assistant", "2"}, RequestMessage{"user", "three"}));
  EXPECT_EQ(sessions_.header_of(kTenant, second.id, soon()), "continued; turn=2");
  EXPECT_EQ(sessions_.header_of(TenantId{"other"}, second.id, soon()), "");
}

TEST_F(SessionsTest, TheWholeConversationIsMeasured) {
  const Made first = make(user("one two three"));
  succeed(first.id, "four five");
  JobSpec next = user("six");
  ASSERT_TRUE(sessions_.continue_with(kTenant, next, soon()).has_value());
  JobSpec whole = spec({{"user", "one two three"}, {"assistant", "four five"}, {"user", "six"}}, "");
  FieldErrors errors;
  ASSERT_TRUE(measure_prompt(whole, "messages", errors));
  EXPECT_EQ(next.prompt_tokens, whole.prompt_tokens);
  EXPECT_EQ(next.tokens_max, whole.tokens_max);
}

TEST_F(SessionsTest, ATurnWaitsForTheOneBefore) {
  const Made first = make(user("one"));
  EXPECT_EQ(make(user("two")).header, "session_busy");
  succeed(first.id, "1");
  EXPECT_EQ(make(user("two")).header, "continued; turn=2");
}

TEST_F(SessionsTest, ATurnWithoutAnAnswerIsLeftOut) {
  const Made none = make(user("never answered"));
  cancel(none.id);
  const Made first = make(user("one"));
  EXPECT_EQ(first.header, "new; turn=1");
  EXPECT_THAT(first.messages, ElementsAre(RequestMessage{"user", "one"}));
  succeed(first.id, "1");
  for (int i = 0; i < 2; ++i) {
    const Made failed = make(user("lost"));
    EXPECT_EQ(failed.header, "continued; turn=2");
    cancel(failed.id);
  }
  const Made second = make(user("two"));
  EXPECT_EQ(second.header, "continued; turn=2");
  EXPECT_THAT(second.messages, ElementsAre(RequestMessage{"user", "one"}, RequestMessage{"assistant", "1"},
                                           RequestMessage{"user", "two"}));
}

TEST_F(SessionsTest, ASessionIsForgottenAfterItsTime) {
  const Made first = make(user("one"));
  succeed(first.id, "1");
  clock_.advance(seconds(59));
  const Made second = make(user("two"));
  EXPECT_EQ(second.header, "continued; turn=2");
  succeed(second.id, "2");
  clock_.advance(seconds(59));
  EXPECT_EQ(make(user("three")).header, "continued; turn=3");
  clock_.advance(seconds(61));
  const Made anew = make(user("four"));
  EXPECT_EQ(anew.header, "new; turn=1");
  EXPECT_THAT(anew.messages, ElementsAre(RequestMessage{"user", "four"}));
}

TEST_F(SessionsTest, AnotherTenantsSessionIsAnother) {
  succeed(make(user("one")).id, "1");
  JobSpec foreign = user("two");
  const auto turn = sessions_.continue_with(TenantId{"other"}, foreign, soon());
  ASSERT_TRUE(turn.has_value());
  EXPECT_EQ(session_header(*turn), "new; turn=1");
  EXPECT_THAT(foreign.request.messages, ElementsAre(RequestMessage{"user", "two"}));
}

TEST_F(SessionsTest, AConversationCantGrowForever) {
  std::vector<RequestMessage> many(999, RequestMessage{"user", "x"});
  succeed(make(spec(std::move(many))).id, "1");
  EXPECT_EQ(make(user("two")).header, "out_of_range");
}

TEST_F(SessionsTest, WhatCantBeReadIsNoNewConversation) {
  succeed(make(user("one")).id, "1");
  for (const char* method : {"find_session", "get", "get_request"}) {
    store_.fail_next(method, ErrorCode::kUnavailable);
    JobSpec next = user("two");
    const auto turn = sessions_.continue_with(kTenant, next, soon());
    ASSERT_FALSE(turn.has_value()) << method;
    EXPECT_EQ(turn.error().answer.status, 503) << method;
  }
}

}  // namespace
}  // namespace sluice::producer
