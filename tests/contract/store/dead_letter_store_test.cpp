// What every DeadLetterStore and AuditStore promises, asked of the real ones and of the fake alike.
#include "common/store/dead_letter_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/contract/store/store_world.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using testing::FakeWorld;
using ::testing::IsEmpty;
using testing::kTenant;
using testing::kWorker;
using testing::MysqlWorld;
using ::testing::SizeIs;

const Actor kActor{TenantId{"ops"}, "night shift ...1234"};

template <class T>
class DeadLetterContract : public testing::StoreContract<T> {
 protected:
  DeadLetterStore& letters() { return this->world_->letters(); }

  // Each error's digits are its own, as those of real ones are.
  Ending failing(const TaskRef& ref, const std::string& what, bool permanent) {
    return Ending{ref, kWorker,
                  Failed{JobError{permanent ? "invalid_request" : "engine_unavailable",
                                  what + " " + std::to_string(++errors_), "server_error", ""},
                         permanent}};
  }
  JobId fail_job(const std::string& what = "a bad request", NewJob fresh = {}) {
    if (fresh.job.id.empty()) fresh = this->new_job();
    const JobId id = this->submit(fresh);
    this->finish(failing(this->claim(id)[0].ref, what, true));
    return id;
  }
  JobId wear_out(const std::string& what = "the engine is down") {
    const JobId id = this->submit();
    for (int attempt = 0; attempt < JobRules{}.attempts_max; ++attempt) {
      this->finish(failing(this->claim(id, attempt)[0].ref, what, false));
      this->advance(seconds(20));
    }
    return id;
  }
  std::vector<DeadLetter> list(DeadLetterQuery query = {}) {
    auto found = letters().list_letters(query, this->soon());
    EXPECT_TRUE(found.has_value());
    return found.value_or(std::vector<DeadLetter>());
  }
  static std::vector<std::string> ids(const std::vector<DeadLetter>& letters) {
    std::vector<std::string> out;
    for (const DeadLetter& letter : letters) out.push_back(letter.job_id.value);
    return out;
  }

  int errors_ = 0;
};

using Worlds = ::testing::Types<FakeWorld, MysqlWorld>;
TYPED_TEST_SUITE(DeadLetterContract, Worlds);

TYPED_TEST(DeadLetterContract, AJobThatWoreOutLeavesALetterWithEveryAttempt) {
  const JobId id = this->wear_out();
  const auto letters = this->list();
  ASSERT_THAT(letters, SizeIs(1));
  EXPECT_EQ(letters[0].job_id, id);
  EXPECT_EQ(letters[0].generation, 1);
  EXPECT_EQ(letters[0].tenant, kTenant);
  EXPECT_EQ(letters[0].model, "sluice-tiny");
  EXPECT_EQ(letters[0].reason, DeadReason::kAttempts);
  EXPECT_EQ(letters[0].error_code, "engine_unavailable");
  EXPECT_EQ(letters[0].attempts, 5);
  EXPECT_EQ(letters[0].state, LetterState::kDead);
  EXPECT_GT(letters[0].died_us, 0);

  const auto shown = this->letters().show_letter(id, this->soon());
  ASSERT_TRUE(shown.has_value());
  EXPECT_EQ(shown->job.state, JobState::kDead);
  EXPECT_EQ(shown->request_json, this->new_job().request_json);
  ASSERT_THAT(shown->attempts, SizeIs(5));
  for (int i = 0; i < 5; ++i) {
    const AttemptRecord& attempt = shown->attempts[static_cast<std::size_t>(i)];
    EXPECT_EQ(attempt.attempt, i + 1);
    EXPECT_EQ(attempt.worker_id, kWorker);
    EXPECT_EQ(attempt.error_message, "the engine is down " + std::to_string(i + 1));
    EXPECT_GT(attempt.started_us, 0);
    EXPECT_GE(attempt.ended_us, attempt.started_us);
  }
  EXPECT_THAT(shown->earlier, IsEmpty());
  EXPECT_TRUE(shown->replay_of.empty());
}

TYPED_TEST(DeadLetterContract, AFailedJobLeavesALetterButACancelledOrExpiredOneDoesNot) {
  const JobId failed = this->fail_job();
  const JobId cancelled = this->submit();
  ASSERT_TRUE(this->jobs().cancel(kTenant, cancelled, this->soon()).has_value());
  NewJob brief = this->new_job();
  brief.expires_in_s = 1;
  this->submit(brief);
  this->advance(seconds(2));
  ASSERT_EQ(*this->jobs().expire_due(10, this->soon()), 1);
  const auto letters = this->list();
  ASSERT_THAT(letters, SizeIs(1));
  EXPECT_EQ(letters[0].job_id, failed);
  EXPECT_EQ(letters[0].reason, DeadReason::kFailed);
  EXPECT_EQ(letters[0].attempts, 1);
  EXPECT_EQ(this->letters().show_letter(cancelled, this->soon()).error().code, ErrorCode::kNotFound);
}

TYPED_TEST(DeadLetterContract, AnErasedJobsLetterIsNotRunAgain) {
  const JobId id = this->fail_job();
  EXPECT_TRUE(this->jobs().erase(kTenant, id, this->soon()).has_value());
  EXPECT_THAT(this->list(), IsEmpty());
  const auto letter = this->letters().show_letter(id, this->soon());
  ASSERT_TRUE(letter.has_value());
  EXPECT_EQ(letter->letter.state, LetterState::kDiscarded);
  EXPECT_EQ(letter->request_json, "");
}

TYPED_TEST(DeadLetterContract, APoisonJobSaysSo) {
  const JobId id = this->submit();
  for (int attempt = 0; attempt < 3; ++attempt) {
    ASSERT_THAT(this->claim(id, attempt), SizeIs(1));
    this->advance(seconds(16));
    ASSERT_EQ(*this->jobs().rescue_lapsed(10, this->soon()), 1);
    this->advance(seconds(20));
  }
  const auto letters = this->list();
  ASSERT_THAT(letters, SizeIs(1));
  EXPECT_EQ(letters[0].reason, DeadReason::kPoison);
  EXPECT_EQ(letters[0].error_code, "poison");
}

TYPED_TEST(DeadLetterContract, FiltersChooseByEverythingThatALetterSays) {
  NewJob other = this->new_job();
  other.job.tenant = TenantId{"other"};
  other.job.model = "larger";
  const JobId first = this->fail_job("no such thing", other);
  this->advance(seconds(10));
  const JobId second = this->fail_job();
  const auto all = this->list();
  ASSERT_THAT(this->ids(all), ElementsAre(second.value, first.value));  // The last died first.

  DeadLetterQuery query;
  query.filter.tenant = TenantId{"other"};
  EXPECT_THAT(this->ids(this->list(query)), ElementsAre(first.value));
  query.filter = {};
  query.filter.model = "larger";
  EXPECT_THAT(this->ids(this->list(query)), ElementsAre(first.value));
  query.filter = {};
  query.filter.fingerprint = all[0].fingerprint;
  EXPECT_THAT(this->ids(this->list(query)), ElementsAre(second.value));
  query.filter = {};
  query.filter.error_code = "invalid_request";
  EXPECT_THAT(this->list(query), SizeIs(2));
  query.filter.reason = DeadReason::kPoison;
  EXPECT_THAT(this->list(query), IsEmpty());
  query.filter = {};
  query.filter.ids = {first};
  EXPECT_THAT(this->ids(this->list(query)), ElementsAre(first.value));
  query.filter = {};
  query.filter.died_from_us = all[0].died_us;
  EXPECT_THAT(this->ids(this->list(query)), ElementsAre(second.value));
  query.filter = {};
  query.filter.died_before_us = all[0].died_us;
  EXPECT_THAT(this->ids(this->list(query)), ElementsAre(first.value));
  query = {};
  query.state = LetterState::kDiscarded;
  EXPECT_THAT(this->list(query), IsEmpty());
}

TYPED_TEST(DeadLetterContract, PagesShowEachLetterOnceWhateverIsHandledMeanwhile) {
  std::vector<std::string> newest_first;
  for (int i = 0; i < 5; ++i) newest_first.insert(newest_first.begin(), this->fail_job().value);
  DeadLetterQuery query;
  query.limit = 2;
  auto page = this->list(query);
  EXPECT_THAT(this->ids(page), ElementsAre(newest_first[0], newest_first[1]));
  NewJob copy = this->new_job();
  ASSERT_TRUE(
      this->letters().replay_letter({page[1].job_id, 1}, copy, kActor, "{}", this->soon()).has_value());
  query.after = LetterRef{page[1].job_id, 0};
  page = this->list(query);
  EXPECT_THAT(this->ids(page), ElementsAre(newest_first[2], newest_first[3]));
  query.after = LetterRef{page[1].job_id, 1};
  EXPECT_THAT(this->ids(this->list(query)), ElementsAre(newest_first[4]));
  query.after = LetterRef{page[1].job_id, 2};
  EXPECT_EQ(this->letters().list_letters(query, this->soon()).error().code, ErrorCode::kNotFound);
  query.after = LetterRef{this->new_job().job.id, 0};
  EXPECT_EQ(this->letters().list_letters(query, this->soon()).error().code, ErrorCode::kNotFound);
}

TYPED_TEST(DeadLetterContract, GroupsPutLettersOfOneCauseTogether) {
  this->fail_job("prompt 17 is too long by");
  this->advance(seconds(1));
  this->fail_job("cannot read part");
  const JobId last = this->fail_job("cannot read part");
  const auto groups = this->letters().group_letters({}, 10, this->soon());
  ASSERT_TRUE(groups.has_value());
  ASSERT_THAT(*groups, SizeIs(2));
  EXPECT_EQ((*groups)[0].count, 2);
  EXPECT_EQ((*groups)[0].error_code, "invalid_request");
  EXPECT_EQ((*groups)[0].reason, DeadReason::kFailed);
  EXPECT_EQ((*groups)[0].error_message, "cannot read part 3");
  EXPECT_EQ((*groups)[0].last_job, last);
  EXPECT_LE((*groups)[0].first_us, (*groups)[0].last_us);
  EXPECT_EQ((*groups)[1].count, 1);
  EXPECT_LT((*groups)[1].last_us, (*groups)[0].first_us);
  EXPECT_THAT(*this->letters().group_letters({}, 1, this->soon()), SizeIs(1));
  DeadLetterFilter filter;
  filter.fingerprint = (*groups)[1].fingerprint;
  EXPECT_THAT(*this->letters().group_letters(filter, 10, this->soon()), SizeIs(1));
}

TYPED_TEST(DeadLetterContract, AReplayedLetterIsDoneAndItsCopyKnowsItsOrigin) {
  const JobId id = this->fail_job();
  NewJob copy = this->new_job();
  copy.request_json = R"({"prompt":"corrected"})";
  const Status done =
      this->letters().replay_letter({id, 1}, copy, kActor, R"({"changed":["prompt"]})", this->soon());
  ASSERT_TRUE(done.has_value()) << done.error().message;
  EXPECT_EQ(copy.job.state, JobState::kQueued);
  EXPECT_EQ(copy.job.expires_us, copy.job.created_us + 3600 * 1'000'000LL);
  EXPECT_EQ(this->read(copy.job.id).state, JobState::kQueued);
  EXPECT_EQ(this->read(id).state, JobState::kFailed);
  EXPECT_THAT(this->list(), IsEmpty());

  auto origin = this->letters().show_letter(id, this->soon());
  ASSERT_TRUE(origin.has_value());
  EXPECT_EQ(origin->letter.state, LetterState::kReplayed);
  EXPECT_EQ(origin->letter.replayed_as, copy.job.id);
  EXPECT_GT(origin->letter.handled_us, 0);
  EXPECT_EQ(origin->request_json, this->new_job().request_json);
  this->finish(this->failing(this->claim(copy.job.id)[0].ref, "still bad", true));
  EXPECT_EQ(this->letters().show_letter(copy.job.id, this->soon())->replay_of, id);

  NewJob second = this->new_job();
  EXPECT_EQ(this->letters().replay_letter({id, 1}, second, kActor, "{}", this->soon()).error().code,
            ErrorCode::kConflict);
  EXPECT_EQ(this->letters().replay_letter({id, 2}, second, kActor, "{}", this->soon()).error().code,
            ErrorCode::kNotFound);
  EXPECT_EQ(this->jobs().get(kTenant, second.job.id, this->soon()).error().code, ErrorCode::kNotFound);

  const auto audit = this->world_->audit().list_audit({}, this->soon());
  ASSERT_TRUE(audit.has_value());
  ASSERT_THAT(*audit, SizeIs(1));
  EXPECT_EQ((*audit)[0].action, "dead_letters.replay");
  EXPECT_EQ((*audit)[0].target, id.value);
  EXPECT_EQ((*audit)[0].filter_json, R"({"changed":["prompt"]})");
  EXPECT_EQ((*audit)[0].actor, kActor);
  EXPECT_EQ((*audit)[0].count, 1);
}

TYPED_TEST(DeadLetterContract, ManyLettersAreExpandedInTheOrderAskedFor) {
  const JobId a = this->fail_job();
  const JobId b = this->wear_out();
  const JobId alive = this->submit();
  const std::vector<JobId> asked = {b, alive, a};
  const auto details = this->letters().expand_letters(asked, this->soon());
  ASSERT_TRUE(details.has_value());
  ASSERT_THAT(*details, SizeIs(2));
  EXPECT_EQ((*details)[0].letter.job_id, b);
  EXPECT_THAT((*details)[0].attempts, SizeIs(5));
  EXPECT_EQ((*details)[1].letter.job_id, a);
  EXPECT_EQ((*details)[1].job.state, JobState::kFailed);
}

TYPED_TEST(DeadLetterContract, TheAuditLogIsReadFromTheNewestByActionAndPage) {
  AuditStore& audit = this->world_->audit();
  for (const char* action : {"keys.create", "keys.revoke", "pauses.set", "keysmith"}) {
    AuditEntry entry;
    entry.actor = kActor;
    entry.action = action;
    entry.target = "t";
    ASSERT_TRUE(audit.record(entry, this->soon()).has_value());
  }
  const auto actions = [&](AuditFilter filter) {
    std::vector<std::string> out;
    const auto entries = audit.list_audit(filter, this->soon());
    for (const AuditEntry& entry : *entries) out.push_back(entry.action);
    return out;
  };
  EXPECT_THAT(actions({}), ElementsAre("keysmith", "pauses.set", "keys.revoke", "keys.create"));
  EXPECT_THAT(actions({"keys.", {}, 20}), ElementsAre("keys.revoke", "keys.create"));
  EXPECT_THAT(actions({"keys.create", {}, 20}), ElementsAre("keys.create"));
  const auto page = *audit.list_audit({"", {}, 2}, this->soon());
  EXPECT_THAT(actions({"", page[1].id, 20}), ElementsAre("keys.revoke", "keys.create"));
  EXPECT_GT(page[0].at_us, 0);
}

}  // namespace
}  // namespace sluice
