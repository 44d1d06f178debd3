// Conversations that go on without being sent again, against every store.
#include "common/store/session_store.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "tests/contract/store/store_world.h"

namespace sluice {
namespace {

using std::chrono::seconds;
using testing::FakeWorld;
using testing::kTenant;
using testing::MysqlWorld;

template <class T>
class SessionContract : public testing::StoreContract<T> {
 protected:
  SessionStore& sessions() { return this->world_->sessions(); }
  // A turn of session "s" behind `after`.
  Submission turn(const JobId& after, const JobId& base, std::int64_t number) {
    Submission one;
    one.jobs.push_back(this->new_job());
    one.session = SessionTurn{"s", after, base, number, 60};
    return one;
  }
  // The job that the turn became; empty: it was overtaken.
  JobId take(Submission one) {
    std::vector<Submission> all{std::move(one)};
    const auto answers = this->jobs().submit(all, this->soon());
    EXPECT_EQ(answers.front().has_value(), !all.front().session->overtaken);
    if (answers.front()) return all.front().jobs.front().job.id;
    EXPECT_EQ(answers.front().error().code, ErrorCode::kConflict);
    const JobId& refused = all.front().jobs.front().job.id;
    EXPECT_FALSE(this->jobs().get(kTenant, refused, this->soon()).has_value()) << "the job went in alone";
    return {};
  }
  std::optional<SessionRecord> find(const TenantId& tenant = kTenant) {
    return this->sessions().find_session(tenant, "s", this->soon()).value();
  }
};

using Worlds = ::testing::Types<FakeWorld, MysqlWorld>;
TYPED_TEST_SUITE(SessionContract, Worlds);

TYPED_TEST(SessionContract, ATurnMovesItsSessionOn) {
  EXPECT_FALSE(this->find().has_value());
  const JobId first = this->take(this->turn({}, {}, 1));
  EXPECT_EQ(this->find(), (SessionRecord{first, {}, 1}));
  const JobId second = this->take(this->turn(first, first, 2));
  EXPECT_EQ(this->find(), (SessionRecord{second, first, 2}));
  EXPECT_FALSE(this->find(TenantId{"other"}).has_value());
  EXPECT_FALSE(this->sessions().find_session(kTenant, "S", this->soon())->has_value()) << "case counts";
}

TYPED_TEST(SessionContract, ATurnThatWasOvertakenIsRefusedWhole) {
  const JobId first = this->take(this->turn({}, {}, 1));
  EXPECT_TRUE(this->take(this->turn({}, {}, 1)).empty()) << "begun twice";
  const JobId second = this->take(this->turn(first, first, 2));
  EXPECT_TRUE(this->take(this->turn(first, first, 2)).empty()) << "gone on twice from one turn";
  EXPECT_EQ(this->find(), (SessionRecord{second, first, 2}));
}

TYPED_TEST(SessionContract, NeighboursOfAnOvertakenTurnGoIn) {
  std::vector<Submission> all;
  for (int i = 0; i < 6; ++i) {
    if (i % 2 == 0) {
      all.push_back(this->turn({}, {}, 1));
    } else {
      all.emplace_back().jobs.push_back(this->new_job());
    }
  }
  const auto answers = this->jobs().submit(all, this->soon());
  int begun = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i % 2 == 1) {
      EXPECT_TRUE(answers[i].has_value()) << i;
    } else {
      begun += answers[i] ? 1 : 0;
      EXPECT_EQ(all[i].session->overtaken, !answers[i].has_value()) << i;
    }
  }
  EXPECT_EQ(begun, 1);
}

TYPED_TEST(SessionContract, AnotherKeysConflictIsNoOvertaking) {
  IdempotencyClaim claim;
  claim.key_hash = std::string(64, 'a');
  claim.fingerprint = std::string(64, 'r');
  Submission first = this->turn({}, {}, 1);
  first.claim = claim;
  const JobId job = this->take(std::move(first));
  std::vector<Submission> again{this->turn({}, {}, 1)};
  again.front().claim = claim;
  const auto answers = this->jobs().submit(again, this->soon());
  EXPECT_EQ(answers.front().error().code, ErrorCode::kConflict);
  EXPECT_FALSE(again.front().session->overtaken);
  ASSERT_TRUE(again.front().existing.has_value());
  EXPECT_EQ(again.front().existing->resource_id, job.value);
}

TYPED_TEST(SessionContract, ASessionEndsWithItsTime) {
  const JobId first = this->take(this->turn({}, {}, 1));
  this->advance(seconds(40));
  const JobId second = this->take(this->turn(first, first, 2));
  this->advance(seconds(40));
  EXPECT_EQ(this->find(), (SessionRecord{second, first, 2})) << "each turn gives it time anew";
  EXPECT_EQ(this->sessions().forget_sessions(10, this->soon()), 0);
  this->advance(seconds(30));
  EXPECT_FALSE(this->find().has_value());
  // Its row makes room for a new one before it is swept.
  const JobId anew = this->take(this->turn({}, {}, 1));
  EXPECT_EQ(this->find(), (SessionRecord{anew, {}, 1}));
  this->advance(seconds(61));
  EXPECT_EQ(this->sessions().forget_sessions(10, this->soon()), 1);
  EXPECT_TRUE(this->take(this->turn(anew, anew, 2)).empty()) << "it was swept meanwhile";
}

// Many at once, on several connections, each from where the session stood.
TYPED_TEST(SessionContract, ARaceForOneTurnHasOneWinner) {
  const JobId first = this->take(this->turn({}, {}, 1));
  std::vector<JobId> taken(10);
  std::vector<Submission> turns;
  for (std::size_t i = 0; i < taken.size(); ++i) turns.push_back(this->turn(first, first, 2));
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < taken.size(); ++i) {
    threads.emplace_back([&, i] { taken[i] = this->take(std::move(turns[i])); });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<JobId> winners;
  for (const JobId& id : taken) {
    if (!id.empty()) winners.push_back(id);
  }
  ASSERT_EQ(winners.size(), 1U);
  EXPECT_EQ(this->find(), (SessionRecord{winners.front(), first, 2}));
}

}  // namespace
}  // namespace sluice
