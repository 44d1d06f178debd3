#include "producer/api/event_mark.h"

#include <gtest/gtest.h>

namespace sluice::producer {
namespace {

TEST(EventMarkTest, IsReadAsItWasWritten) {
  for (const EventMark& mark :
       {EventMark{}, EventMark{2, false, 3, {17, 4}, 0xdeadbeef}, EventMark{3, true}}) {
    EXPECT_EQ(event_mark_from(event_mark_text(mark)), mark) << event_mark_text(mark);
  }
}

TEST(EventMarkTest, WhatIsNotOursIsRefused) {
  for (const char* text :
       {"", "7", "final", "0-final", "1-", "1-0-0-0-", "1-0-0-0-xyz", "1-0--1-0-811c9dc5",
        "1-0-0-0-811c9dc5-1", "1-0-99999999999999999999-0-811c9dc5", " 1-final", "1-final "}) {
    EXPECT_FALSE(event_mark_from(text)) << text;
  }
}

}  // namespace
}  // namespace sluice::producer
