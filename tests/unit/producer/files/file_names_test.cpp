#include "producer/files/file_names.h"

#include <gtest/gtest.h>

namespace sluice::producer {
namespace {

TEST(FileNamesTest, OnlyTheLastComponentOfAPathIsKept) {
  EXPECT_EQ(plain_filename("in.jsonl"), "in.jsonl");
  EXPECT_EQ(plain_filename("/etc/passwd"), "passwd");
  EXPECT_EQ(plain_filename("C:\\temp\\x y.txt"), "x y.txt");
  EXPECT_EQ(plain_filename("\xc3\xa9t\xc3\xa9.jsonl"), "\xc3\xa9t\xc3\xa9.jsonl");
  for (const char* none : {"", ".", "..", "a/..", "dir/", " . "})
    EXPECT_EQ(plain_filename(none), "file") << none;
}

TEST(FileNamesTest, NamesThatNoHeaderShouldHoldAreRefused) {
  for (const std::string& bad : {std::string("a\nb"), std::string("a\0b", 3), std::string("a\x7f"),
                                 std::string("\xff"), std::string(256, 'x')}) {
    EXPECT_FALSE(plain_filename(bad)) << bad;
  }
  std::string longest;
  for (int i = 0; i < 255; ++i) longest += "\xc3\xa9";
  EXPECT_EQ(plain_filename(longest), longest);
}

TEST(FileNamesTest, NothingGetsOutOfTheQuotes) {
  EXPECT_EQ(content_disposition("in.jsonl"), "attachment; filename=\"in.jsonl\"");
  EXPECT_EQ(content_disposition("a\"; x=\"b\\%.txt"),
            "attachment; filename=\"a_; x=_b__.txt\"; filename*=UTF-8''a%22%3B%20x%3D%22b%5C%25.txt");
  EXPECT_EQ(content_disposition("\xc3\xa9"), "attachment; filename=\"__\"; filename*=UTF-8''%C3%A9");
}

}  // namespace
}  // namespace sluice::producer
