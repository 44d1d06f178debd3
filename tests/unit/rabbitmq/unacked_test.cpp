#include "common/rabbitmq/unacked.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace sluice::rabbitmq {
namespace {

using Acks = std::vector<Unacked::Ack>;

Unacked with(std::initializer_list<std::uint64_t> numbers) {
  Unacked unacked;
  for (const auto number : numbers) unacked.add(number);
  return unacked;
}

TEST(Unacked, AnUnbrokenRunTravelsAsOne) {
  Unacked unacked = with({1, 2, 3, 4, 5});
  std::size_t known = 0;
  EXPECT_EQ(unacked.take({3, 1, 2, 5}, known), (Acks{{3, true}, {5, false}}));
  EXPECT_EQ(known, 4u);
  EXPECT_EQ(unacked.take({4}, known), (Acks{{4, false}}));
  EXPECT_EQ(unacked.size(), 0u);
}

TEST(Unacked, WhatIsNotAckedIsNeverCovered) {
  Unacked unacked = with({10, 11, 12});
  std::size_t known = 0;
  EXPECT_EQ(unacked.take({11, 12}, known), (Acks{{11, false}, {12, false}}));
  EXPECT_EQ(unacked.size(), 1u);
}

TEST(Unacked, UnknownAndDoubledNumbersAreLeftOut) {
  Unacked unacked = with({1});
  std::size_t known = 0;
  EXPECT_EQ(unacked.take({7, 1, 1}, known), (Acks{{1, false}}));
  EXPECT_EQ(known, 1u);
  EXPECT_TRUE(unacked.take({1}, known).empty());
  EXPECT_EQ(known, 0u);
  EXPECT_FALSE(unacked.remove(1));
}

// Whatever the order: applied as a broker would, the acks settle exactly what was acked.
TEST(Unacked, MeansExactlyWhatWasAsked) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    Unacked unacked;
    std::set<std::uint64_t> broker, expected;
    std::uint64_t next = 1;
    for (int round = 0; round < 30; ++round) {
      for (unsigned i = random() % 6; i > 0; --i, ++next) {
        unacked.add(next);
        broker.insert(next);
        expected.insert(next);
      }
      std::vector<std::uint64_t> acked;
      for (const auto number : expected) {
        if (random() % 2 == 0) acked.push_back(number);
      }
      std::size_t known = 0;
      for (const auto& ack : unacked.take(acked, known)) {
        if (ack.multiple) {
          broker.erase(broker.begin(), broker.upper_bound(ack.number));
        } else {
          broker.erase(ack.number);
        }
      }
      for (const auto number : acked) expected.erase(number);
      ASSERT_EQ(broker, expected) << "seed " << seed;
      ASSERT_EQ(unacked.size(), expected.size());
    }
  }
}

}  // namespace
}  // namespace sluice::rabbitmq
