// Damaged forms, whole and cut into pieces: what the parser finds must not depend on how the bytes were cut,
// and must stay within its limits. A failure prints the seed.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/http/multipart.h"
#include "tests/fuzz/mutator.h"

namespace sluice::http {
namespace {

constexpr MultipartLimits kLimits{.header_bytes_max = 200, .field_bytes_max = 100, .parts_max = 5};

struct Written : MultipartForm {
  Status on_field(const std::string& name, const std::string& value) override {
    EXPECT_LE(value.size(), kLimits.field_bytes_max);
    said += "field " + name + "=" + value + "\n";
    ++parts;
    return {};
  }
  Status on_file(const MultipartFile& file) override {
    EXPECT_FALSE(in_file);
    in_file = true;
    EXPECT_LE(file.name.size() + file.filename.size() + file.content_type.size(), kLimits.header_bytes_max);
    said += "file " + file.name + " " + file.filename + " " + file.content_type + " ";
    ++parts;
    return {};
  }
  Status on_file_bytes(std::string_view bytes) override {
    EXPECT_TRUE(in_file);
    said += bytes;
    return {};
  }
  Status on_file_end() override {
    in_file = false;
    said += ".\n";
    return {};
  }
  std::string said;
  int parts = 0;
  bool in_file = false;
};

// What was found, and the error if there was one. After an error the last piece of a file may be missing.
std::string parse(const std::string& text, fuzz::Mutator* cuts, bool& good) {
  Written form;
  MultipartParser parser("b0", form, kLimits);
  std::string_view rest = text;
  Status status;
  while (status && !rest.empty()) {
    const std::size_t size = cuts == nullptr ? rest.size() : 1 + cuts->below(20);
    status = parser.push(rest.substr(0, size));
    rest.remove_prefix(std::min(size, rest.size()));
  }
  if (status) status = parser.finish();
  EXPECT_LE(form.parts, kLimits.parts_max);
  good = status.has_value();
  return good ? form.said : status.error().message;
}

TEST(Fuzz, Forms) {
  const std::string valid =
      "preamble\r\n--b0\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b0\r\n"
      "Content-Disposition: form-data; name=file; filename=\"a\\\"b.jsonl\"\r\nContent-Type: "
      "text/plain\r\n\r\n"
      "{\"custom_id\": \"1\"}\r\n--b\r\n\r\n--b0--\r\nepilogue";
  const std::vector<std::string> words{"\r\n",
                                       "\r\n--b0",
                                       "--b0--",
                                       "--",
                                       "\"",
                                       "\\",
                                       ";",
                                       "filename=",
                                       "name=\"\"",
                                       "\r\n\r\n",
                                       "Content-Disposition: form-data; name=x",
                                       "filename*=UTF-8''%41"};
  fuzz::Mutator mutator(fuzz::seed());
  int accepted = 0;
  for (std::uint64_t round = 0; round < fuzz::rounds(20'000); ++round) {
    SCOPED_TRACE("seed " + std::to_string(fuzz::seed()) + ", round " + std::to_string(round));
    const std::string text = mutator.mutate(valid, words);
    bool whole_good = false;
    bool cut_good = false;
    const std::string whole = parse(text, nullptr, whole_good);
    const std::string cut = parse(text, &mutator, cut_good);
    ASSERT_EQ(whole_good, cut_good);
    ASSERT_EQ(whole, cut);
    accepted += whole_good ? 1 : 0;
  }
  EXPECT_GT(accepted, 0);
}

}  // namespace
}  // namespace sluice::http
