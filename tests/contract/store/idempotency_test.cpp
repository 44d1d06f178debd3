// Requests that are sent again, against every store.
#include <gmock/gmock.h>

#include <set>
#include <thread>

#include "tests/contract/store/store_world.h"

namespace sluice {
namespace {

using std::chrono::seconds;
using testing::FakeWorld;
using testing::kTenant;
using testing::MysqlWorld;

template <class T>
class IdempotencyContract : public testing::StoreContract<T> {
 protected:
  static IdempotencyClaim claim(char key, char request = 'r') {
    IdempotencyClaim claim;
    if (key != ' ') claim.key_hash = std::string(64, key);
    claim.fingerprint = std::string(64, request);
    claim.keep_s = 60;
    return claim;
  }
  Submission submission(std::optional<IdempotencyClaim> claim) {
    Submission one;
    one.jobs.push_back(this->new_job());
    one.claim = std::move(claim);
    return one;
  }
  // What the submission came to: its job's id if it was taken in, else what has its key.
  std::string submit(std::optional<IdempotencyClaim> claim) {
    std::vector<Submission> one{submission(std::move(claim))};
    const auto answers = this->jobs().submit(one, this->soon());
    if (answers.front()) return one.front().resource_id();
    EXPECT_EQ(answers.front().error().code, ErrorCode::kConflict);
    return one.front().existing ? one.front().existing->resource_id : "nothing";
  }
  bool is_there(const Submission& one) {
    return this->jobs().get(kTenant, one.jobs.front().job.id, this->soon()).has_value();
  }
  IdempotencyStore& keys() { return this->world_->idempotency(); }
};

using Worlds = ::testing::Types<FakeWorld, MysqlWorld>;
TYPED_TEST_SUITE(IdempotencyContract, Worlds);

TYPED_TEST(IdempotencyContract, AKeyMakesOneJob) {
  const std::string first = this->submit(this->claim('a'));
  EXPECT_EQ(this->submit(this->claim('a')), first);
  EXPECT_NE(this->submit(this->claim('b')), first);
  EXPECT_NE(this->submit(std::nullopt), first);
  EXPECT_EQ(this->keys().find_key(kTenant, std::string(64, 'a'), this->soon())->value(),
            (IdempotencyRecord{first, std::string(64, 'r')}));
  // Another tenant's key is another key.
  EXPECT_FALSE(this->keys().find_key(TenantId{"other"}, std::string(64, 'a'), this->soon())->has_value());
  EXPECT_FALSE(this->keys().find_key(kTenant, std::string(64, 'c'), this->soon())->has_value());
}

TYPED_TEST(IdempotencyContract, EqualRequestsInOneCallMakeOneJob) {
  std::vector<Submission> all;
  for (int i = 0; i < 20; ++i) all.push_back(this->submission(this->claim(i % 2 == 0 ? 'a' : ' ')));
  const auto answers = this->jobs().submit(all, this->soon());
  for (std::size_t i = 0; i < all.size(); ++i) {
    const bool taken = i == 0 || i % 2 == 1;
    EXPECT_EQ(answers[i].has_value(), taken) << i;
    EXPECT_EQ(this->is_there(all[i]), taken) << i;
    if (!taken) {
      EXPECT_EQ(all[i].existing->resource_id, all[0].resource_id());
    }
  }
}

TYPED_TEST(IdempotencyContract, ARefusedRequestLeavesItsKeyFree) {
  std::vector<Submission> all;
  all.push_back(this->submission(this->claim('a')));
  all.push_back(this->submission(this->claim('a')));
  all[0].jobs[0].job.model = std::string(500, 'm');
  const auto answers = this->jobs().submit(all, this->soon());
  EXPECT_EQ(answers[0].error().code, ErrorCode::kInvalid);
  EXPECT_TRUE(answers[1].has_value());
  EXPECT_EQ(this->submit(this->claim('a')), all[1].resource_id());
}

TYPED_TEST(IdempotencyContract, AKeyIsFreeAgainAfterItsTime) {
  const std::string first = this->submit(this->claim('a'));
  this->advance(seconds(61));
  EXPECT_FALSE(this->keys().find_key(kTenant, std::string(64, 'a'), this->soon())->has_value());
  const std::string second = this->submit(this->claim('a'));
  EXPECT_NE(second, first);
  EXPECT_EQ(this->submit(this->claim('a')), second);
}

TYPED_TEST(IdempotencyContract, ARequestWithoutKeyIsFoundByWhatItAsks) {
  const auto found = [this](char request, std::int64_t within_s) {
    const auto record = this->keys().find_request(kTenant, std::string(64, request), within_s, this->soon());
    return record->has_value() ? (*record)->resource_id : "";
  };
  const std::string first = this->submit(this->claim(' ', 'x'));
  EXPECT_EQ(found('x', 30), first);
  // The same twice: both are made, and the later one is found.
  const std::string second = this->submit(this->claim(' ', 'x'));
  EXPECT_NE(second, first);
  EXPECT_EQ(found('x', 30), second);
  EXPECT_EQ(found('y', 30), "");
  (void)this->submit(this->claim('k', 'z'));
  EXPECT_EQ(found('z', 30), "") << "a request with a key is found by that alone";
  this->advance(seconds(31));
  EXPECT_EQ(found('x', 30), "");
}

TYPED_TEST(IdempotencyContract, AnErasedJobLeavesItsKeyFree) {
  const std::string first = this->submit(this->claim('a'));
  EXPECT_TRUE(this->jobs().erase(kTenant, JobId{first}, this->soon()).has_value());
  EXPECT_NE(this->submit(this->claim('a')), first);
}

TYPED_TEST(IdempotencyContract, AJobWhoseClientLeftLeavesItsKeyFree) {
  const auto state_of = [this](const std::string& id) {
    return this->jobs().get(kTenant, JobId{id}, this->soon())->state;
  };
  for (const char key : {'a', ' '}) {
    const std::string first = this->submit(this->claim(key, 'x'));
    const std::string other = this->submit(this->claim('o', 'y'));
    EXPECT_EQ(this->jobs().cancel_left(TenantId{"other"}, JobId{first}, this->soon()).error().code,
              ErrorCode::kNotFound);
    EXPECT_EQ(state_of(first), JobState::kQueued);
    const auto left = this->jobs().cancel_left(kTenant, JobId{first}, this->soon());
    ASSERT_TRUE(left.has_value()) << left.error().message;
    EXPECT_EQ(left->state, JobState::kCancelled);
    EXPECT_FALSE(this->keys().find_key(kTenant, std::string(64, 'a'), this->soon())->has_value());
    EXPECT_FALSE(this->keys().find_request(kTenant, std::string(64, 'x'), 30, this->soon())->has_value());
    const std::string second = this->submit(this->claim(key, 'x'));
    EXPECT_NE(second, first);
    EXPECT_EQ(state_of(second), JobState::kQueued);
    EXPECT_EQ(this->submit(this->claim('o', 'y')), other) << "another request's key";
    // What had ended is what its repetition is answered with.
    EXPECT_TRUE(this->jobs().cancel(kTenant, JobId{second}, this->soon()).has_value());
    EXPECT_EQ(this->jobs().cancel_left(kTenant, JobId{second}, this->soon())->state, JobState::kCancelled);
    if (key == 'a') {
      EXPECT_EQ(this->submit(this->claim(key, 'x')), second);
      EXPECT_TRUE(this->jobs().erase(kTenant, JobId{second}, this->soon()).has_value());
    } else {
      EXPECT_EQ(
          this->keys().find_request(kTenant, std::string(64, 'x'), 30, this->soon())->value().resource_id,
          second);
    }
  }
}

TYPED_TEST(IdempotencyContract, ExpiredKeysAreSwept) {
  for (const char key : {'a', 'b', 'c'}) (void)this->submit(this->claim(key));
  EXPECT_EQ(this->keys().forget_expired(10, this->soon()), 0);
  this->advance(seconds(61));
  EXPECT_EQ(this->keys().forget_expired(2, this->soon()), 2);
  EXPECT_EQ(this->keys().forget_expired(2, this->soon()), 1);
}

// Fifty at once, on several connections.
TYPED_TEST(IdempotencyContract, ARaceForOneKeyHasOneWinner) {
  constexpr int kThreads = 10;
  std::vector<std::string> came_to(50);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::vector<Submission> mine;
      for (int i = t; i < 50; i += kThreads) mine.push_back(this->submission(this->claim('a')));
      const auto answers = this->jobs().submit(mine, this->soon());
      for (std::size_t i = 0; i < mine.size(); ++i) {
        const std::size_t at = static_cast<std::size_t>(t) + i * kThreads;
        if (answers[i]) {
          came_to[at] = mine[i].resource_id();
        } else if (mine[i].existing) {
          came_to[at] = mine[i].existing->resource_id;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(std::set<std::string>(came_to.begin(), came_to.end()).size(), 1U);
  EXPECT_NE(came_to[0], "");
  JobFilter all;
  all.tenant = kTenant;
  EXPECT_EQ(this->jobs().list(all, this->soon())->size(), 1U);
}

}  // namespace
}  // namespace sluice
