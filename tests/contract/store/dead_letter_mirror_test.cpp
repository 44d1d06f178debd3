// What stands in the table of what the queue tasks.dead shows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/store/mysql_dead_letter_mirror.h"
#include "tests/contract/store/store_world.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::kWorker;
using testing::MysqlWorld;
using ::testing::SizeIs;

const Actor kActor{TenantId{"ops"}, "night shift ...1234"};

class Mirror : public testing::StoreContract<MysqlWorld> {
 protected:
  void SetUp() override {
    StoreContract::SetUp();
    if (world_) mirror_ = std::make_unique<MysqlDeadLetterMirror>(testing::MysqlDatabase::instance()->pool());
  }
  void fail_start(const JobId& id, std::int64_t generation = 1) {
    const auto claimed = claim(id, 0, kWorker, generation);
    ASSERT_THAT(claimed, SizeIs(1));
    finish(Ending{claimed[0].ref, kWorker,
                  Failed{JobError{"invalid_request", "no", "invalid_request_error", ""}, true}});
  }
  void redrive_all() {
    NewOperation asked;
    asked.kind = OperationKind::kRedrive;
    ASSERT_TRUE(world_->operations().start_operation(asked, kActor, soon()).has_value());
    while (world_->operations().step_operation(soon())->worked) {
    }
  }
  std::vector<LetterRef> begin(int limit = 100) {
    const auto sending = mirror_->begin_sending(limit, soon());
    EXPECT_TRUE(sending.has_value());
    again_ = sending->again;
    std::vector<LetterRef> letters;
    for (const DeadLetter& letter : sending->letters) letters.push_back({letter.job_id, letter.generation});
    return letters;
  }
  std::vector<LetterRef> stale() { return *mirror_->stale_letters(100, soon()); }

  std::unique_ptr<MysqlDeadLetterMirror> mirror_;
  bool again_ = false;
};

TEST_F(Mirror, EachEndIsSentAndTakenAwayForItself) {
  const JobId id = submit();
  fail_start(id);
  const LetterRef first{id, 1};
  EXPECT_THAT(begin(), ElementsAre(first));
  ASSERT_TRUE(mirror_->mark_letters(std::vector{first}, true, soon()).has_value());
  EXPECT_THAT(begin(), IsEmpty());
  EXPECT_THAT(stale(), IsEmpty());

  redrive_all();
  EXPECT_THAT(stale(), ElementsAre(first));
  fail_start(id, 2);
  const LetterRef second{id, 2};
  EXPECT_THAT(*mirror_->unhandled_letters(std::vector{first, second}, soon()), ElementsAre(second));
  EXPECT_THAT(begin(), ElementsAre(second));
  ASSERT_TRUE(mirror_->mark_letters(std::vector{first}, false, soon()).has_value());
  EXPECT_THAT(stale(), IsEmpty());
}

TEST_F(Mirror, WhatWasBegunIsSentAgainFirstOrTakenAway) {
  const JobId a = submit();
  fail_start(a);
  EXPECT_THAT(begin(), SizeIs(1));
  EXPECT_FALSE(again_);
  const JobId b = submit();
  fail_start(b);
  EXPECT_THAT(begin(1), ElementsAre(LetterRef{a, 1}));
  EXPECT_TRUE(again_);
  redrive_all();
  EXPECT_THAT(stale(), ElementsAre(LetterRef{a, 1})) << "the other was never sent";
  EXPECT_THAT(begin(), IsEmpty());
}

TEST_F(Mirror, AnEmptiedQueueIsForgottenInParts) {
  for (int i = 0; i < 3; ++i) fail_start(submit());
  const auto letters = begin();
  ASSERT_TRUE(mirror_->mark_letters(letters, true, soon()).has_value());
  EXPECT_EQ(*mirror_->forget_shown(2, soon()), 2);
  EXPECT_EQ(*mirror_->forget_shown(2, soon()), 1);
  EXPECT_EQ(*mirror_->forget_shown(2, soon()), 0);
  EXPECT_EQ(begin(), letters);
}

}  // namespace
}  // namespace sluice
