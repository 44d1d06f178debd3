#include "common/http/multipart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace sluice::http {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Writes down what it is told; file contents joined.
struct Written : MultipartForm {
  Status on_field(const std::string& name, const std::string& value) override {
    said.push_back(name + "=" + value);
    return {};
  }
  Status on_file(const MultipartFile& file) override {
    said.push_back(file.name + ": " + file.filename + " (" + file.content_type + ") ");
    return refuses_files ? Status(fail(ErrorCode::kExhausted, "no room")) : Status{};
  }
  Status on_file_bytes(std::string_view bytes) override {
    EXPECT_FALSE(bytes.empty());
    said.back() += bytes;
    return {};
  }
  Status on_file_end() override {
    said.back() += ".";
    return {};
  }
  std::vector<std::string> said;
  bool refuses_files = false;
};

// In pieces of `size` bytes. The message of the error, or "".
std::string parse(const std::string& text, Written& form, std::size_t size, MultipartLimits limits = {}) {
  MultipartParser parser("b0", form, limits);
  for (std::size_t at = 0; at < text.size(); at += size) {
    const Status pushed = parser.push(std::string_view(text).substr(at, size));
    if (!pushed) return pushed.error().message;
  }
  const Status finished = parser.finish();
  return finished ? "" : finished.error().message;
}

std::string part(const std::string& disposition, const std::string& content) {
  return "--b0\r\nContent-Disposition: form-data; " + disposition + "\r\n\r\n" + content + "\r\n";
}

const std::string kForm =
    "to be ignored\r\n--b\r\n" + part("name=\"purpose\"", "batch") +
    "--b0 \t\r\ncontent-disposition: FORM-DATA; filename=\"a \\\"b\\\" C:\\d\\\\e.jsonl\"; name=file\r\n"
    "Content-Type: application/jsonl\r\nX-Other: 1\r\n\r\n" +
    "{}\r\n--b\r\n\r\n--b1\r\r\n-\r\n" + "\r\n" + part("name=\"empty\"", "") +
    part("name=\"none\"; filename=\"\"", "") + "--b0--\r\nignored --b0\r\n--b0\r\n";

TEST(Multipart, FindsThePartsHoweverTheBytesAreCut) {
  for (std::size_t size = 1; size <= kForm.size(); ++size) {
    Written form;
    ASSERT_EQ(parse(kForm, form, size), "") << size;
    ASSERT_THAT(
        form.said,
        ElementsAre("purpose=batch",
                    "file: a \"b\" C:\\d\\e.jsonl (application/jsonl) {}\r\n--b\r\n\r\n--b1\r\r\n-\r\n.",
                    "empty=", "none:  () ."))
        << size;
  }
  for (std::size_t cut = 1; cut < kForm.size(); ++cut) {
    Written form;
    MultipartParser parser("b0", form);
    ASSERT_TRUE(parser.push(std::string_view(kForm).substr(0, cut)));
    ASSERT_TRUE(parser.push(std::string_view(kForm).substr(cut)));
    ASSERT_TRUE(parser.finish());
    ASSERT_EQ(form.said.size(), 4u) << cut;
  }
}

TEST(Multipart, EveryPrefixIsIncomplete) {
  const std::size_t end = kForm.find("--b0--") + 6;
  for (std::size_t size = 0; size < end; ++size) {
    Written form;
    ASSERT_THAT(parse(kForm.substr(0, size), form, 7), HasSubstr("closing boundary")) << size;
  }
}

TEST(Multipart, AContentIsWhatItIs) {
  for (const std::string content :
       {"\r\n", "\r", "\n", "\r\n--", "\r\n--b", "--b0", "\r\n-\r\n--b\r\n", "\r\r\n"}) {
    for (const std::size_t size : {1u, 2u, 3u, 1000u}) {
      Written form;
      ASSERT_EQ(parse(part("name=x", content) + "--b0--", form, size), "");
      ASSERT_THAT(form.said, ElementsAre("x=" + content));
    }
  }
}

TEST(Multipart, NamesOutsideAsciiComeInTwoWays) {
  Written form;
  ASSERT_EQ(parse(part("name=f; filename=\"caf\xc3\xa9\"", "") +
                      part("name=f; filename*=UTF-8''caf%C3%A9%20x", "") +
                      part("name=f; filename=plain; filename*=utf-8''other", "") + "--b0--",
                  form, 5),
            "");
  EXPECT_THAT(form.said, ElementsAre("f: caf\xc3\xa9 () .", "f: caf\xc3\xa9 x () .", "f: plain () ."));
}

TEST(Multipart, WhatIsBrokenIsRefused) {
  const std::string end = "--b0--";
  const std::string bad[] = {
      "--b0x\r\n\r\n\r\n" + end,
      "--b0\r\n\r\nno header\r\n" + end,
      "--b0\r\nContent-Type: a/b\r\n\r\nno name\r\n" + end,
      part("filename=x", "no name") + end,
      part("name=\"x", "open quote") + end,
      part("name=x y", "") + part("=x", "") + end,
      part("name=x; \"y\"", "") + end,
      "--b0\r\nContent-Disposition: attachment; name=x\r\n\r\n\r\n" + end,
      "--b0\r\nContent-Disposition form-data; name=x\r\n\r\n\r\n" + end,
      "--b0\r\n folded: 1\r\nContent-Disposition: form-data; name=x\r\n\r\n\r\n" + end,
      "--b0\r\nContent-Disposition: form-data; name=x\r\nContent-Disposition: form-data; name=y\r\n\r\n\r\n" +
          end,
      "--b0\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: form-data; name=x\r\n\r\n\r\n" + end,
      "--b0\r\nContent-Disposition: form-data; name=a\nb\r\n\r\n\r\n" + end,
      "--b0" + std::string(100, ' ') + "\r\nContent-Disposition: form-data; name=x\r\n\r\n\r\n" + end,
      "no boundary at all",
      "",
  };
  for (const std::string& text : bad) {
    for (const std::size_t size : {1u, 1000u}) {
      Written form;
      EXPECT_NE(parse(text, form, size), "") << text;
    }
  }
}

TEST(Multipart, EveryLimitIsExact) {
  const MultipartLimits limits{.header_bytes_max = 60, .field_bytes_max = 10, .parts_max = 2};
  for (const std::size_t size : {1u, 1000u}) {
    const auto says = [&](const std::string& text) {
      Written form;
      return parse(text + "--b0--", form, size, limits);
    };
    EXPECT_EQ(says(part("name=x", std::string(10, 'x'))), "");
    EXPECT_THAT(says(part("name=x", std::string(11, 'x'))), HasSubstr("more than 10 bytes"));
    EXPECT_EQ(says(part("name=f; filename=f", std::string(1000, 'x'))), "");
    EXPECT_THAT(says(part("name=x", "") + part("name=x", "") + part("name=x", "")), HasSubstr("2 parts"));
    EXPECT_EQ(says(part("name=" + std::string(60 - 2 - 37, 'n'), "")), "");
    EXPECT_THAT(says(part("name=" + std::string(60 - 2 - 37 + 1, 'n'), "")), HasSubstr("too long"));
  }
}

TEST(Multipart, TheFormsOwnRefusalPassesThrough) {
  Written form;
  form.refuses_files = true;
  EXPECT_EQ(parse(part("name=f; filename=f", "x") + "--b0--", form, 10), "no room");
}

TEST(MultipartBoundary, IsFoundOrRefused) {
  EXPECT_EQ(multipart_boundary("multipart/form-data; boundary=b0"), "b0");
  EXPECT_EQ(multipart_boundary("Multipart/Form-Data;charset=utf-8; Boundary=\"a b\""), "a b");
  for (const std::string bad : {"application/json", "multipart/mixed; boundary=b0", "multipart/form-data",
                                "multipart/form-data; boundary=", "multipart/form-data; boundary=\"a\"b",
                                "multipart/form-data; boundary=\"a ", "multipart/form-data; boundary=\"a \"",
                                "multipart/form-data; boundary=a*b"}) {
    EXPECT_FALSE(multipart_boundary(bad).has_value()) << bad;
  }
  EXPECT_TRUE(multipart_boundary("multipart/form-data; boundary=" + std::string(70, 'x')));
  EXPECT_FALSE(multipart_boundary("multipart/form-data; boundary=" + std::string(71, 'x')));
}

}  // namespace
}  // namespace sluice::http
