#include "common/text/gguf_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test_files.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing_text::small_gguf;
using testing_text::TemporaryFolder;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Writes all of `source` again, its tensors in pieces of `piece` bytes.
Status copy(const GgufFile& source, const std::string& path, std::size_t piece) {
  GgufWriter writer;
  writer.copy_metadata(source);
  for (const GgufTensor& tensor : source.tensors()) {
    SLUICE_TRY(writer.add_tensor(tensor.name, tensor.type,
                                 std::span(tensor.ne).first(static_cast<std::size_t>(tensor.dims))));
  }
  SLUICE_TRY(writer.begin(path));
  for (const GgufTensor& tensor : source.tensors()) {
    for (auto left = tensor.view(); !left.empty(); left = left.subspan(std::min(piece, left.size()))) {
      SLUICE_TRY(writer.append(left.first(std::min(piece, left.size()))));
    }
  }
  return writer.finish();
}

TEST(GgufWriter, ACopyReadsBackIdentical) {
  const TemporaryFolder folder;
  const std::string original = folder.write("a.gguf", small_gguf().str());
  const auto source = GgufFile::open(original);
  ASSERT_TRUE(source);
  ASSERT_TRUE(copy(*source, folder.file("b.gguf"), 5));
  const auto written = GgufFile::open(folder.file("b.gguf"));
  ASSERT_TRUE(written) << written.error().message;
  ASSERT_EQ(written->header().size(), source->header().size());
  EXPECT_TRUE(std::equal(written->header().begin(), written->header().end(), source->header().begin()));
  ASSERT_EQ(written->tensors().size(), source->tensors().size());
  for (std::size_t i = 0; i < source->tensors().size(); ++i) {
    const auto a = source->tensors()[i].view();
    const auto b = written->tensors()[i].view();
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end())) << source->tensors()[i].name;
  }
  EXPECT_EQ(folder.files(), 2U);  // No temporary file is left.
}

TEST(GgufWriter, ACopyOfTheDefaultModelIsTheSameFile) {
  const TemporaryFolder folder;
  const auto source = GgufFile::open(testing_text::default_model());
  ASSERT_TRUE(source);
  const Status copied = copy(*source, folder.file("copy.gguf"), 1 << 20);
  ASSERT_TRUE(copied) << copied.error().message;
  EXPECT_TRUE(testing_text::read_file(folder.file("copy.gguf")) ==
              testing_text::read_file(testing_text::default_model()));
}

TEST(GgufWriter, ChangesAddsAndRemovesKeys) {
  const TemporaryFolder folder;
  const auto source = GgufFile::open(folder.write("a.gguf", small_gguf().str()));
  ASSERT_TRUE(source);
  GgufWriter writer;
  writer.copy_metadata(*source);
  const std::vector<std::string> texts = {"x", "", "y"};
  const std::vector<std::int32_t> numbers = {-1, 2};
  ASSERT_TRUE(writer.set_string("general.name", "other"));
  ASSERT_TRUE(writer.set_u32("n.u32", 7));
  ASSERT_TRUE(writer.set_u64("n.u64", 1ULL << 40));
  ASSERT_TRUE(writer.set_f32("n.f32", 0.5F));
  ASSERT_TRUE(writer.set_bool("n.bool", false));
  ASSERT_TRUE(writer.set_strings("n.strings", texts));
  ASSERT_TRUE(writer.set_i32s("n.i32s", numbers));
  ASSERT_TRUE(writer.set_f32s("n.f32s", std::vector<float>{0.5F, -2.0F}));
  ASSERT_TRUE(writer.set_u32("general.alignment", 64));
  writer.remove("a.f64");
  const std::vector<std::uint64_t> ne = {3, 2};
  ASSERT_TRUE(writer.add_tensor("w", GgmlType::kF32, ne));
  ASSERT_TRUE(writer.add_tensor("v", GgmlType::kF32, std::span(ne).first(1)));
  ASSERT_TRUE(writer.begin(folder.file("b.gguf")));
  EXPECT_FALSE(writer.set_u32("late", 1));
  ASSERT_TRUE(writer.append(bytes_of(std::string(24, 'w'))));
  ASSERT_TRUE(writer.append(bytes_of(std::string(12, 'v'))));
  ASSERT_TRUE(writer.finish());

  const auto file = GgufFile::open(folder.file("b.gguf"));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->entries()[1].key, "general.name");  // Where it stood.
  EXPECT_EQ(*file->string("general.name"), "other");
  EXPECT_EQ(*file->u32("n.u32"), 7U);
  EXPECT_EQ(*file->u64("n.u64"), 1ULL << 40);
  EXPECT_EQ(*file->f32("n.f32"), 0.5F);
  EXPECT_FALSE(*file->boolean("n.bool"));
  EXPECT_THAT(*file->strings("n.strings"), ElementsAre("x", "", "y"));
  EXPECT_THAT(*file->ints("n.i32s"), ElementsAre(-1, 2));
  EXPECT_THAT(*file->floats("n.f32s"), ElementsAre(0.5F, -2.0F));
  EXPECT_FALSE(file->has("a.f64"));
  EXPECT_EQ(file->alignment(), 64U);
  EXPECT_EQ(file->find_tensor("v")->offset, 64U);
  EXPECT_EQ(static_cast<char>(file->find_tensor("v")->view()[11]), 'v');
}

TEST(GgufWriter, RefusesWhatNoReaderTakes) {
  GgufWriter writer;
  const std::vector<std::uint64_t> ok = {32};
  const std::vector<std::uint64_t> odd = {33};
  const std::vector<std::uint64_t> zero = {32, 0};
  const std::vector<std::uint64_t> huge = {1ULL << 40, 1ULL << 40};
  const std::vector<std::uint64_t> many = {1, 1, 1, 1, 1};
  EXPECT_EQ(writer.add_tensor("", GgmlType::kF32, ok).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(writer.add_tensor(std::string(65, 'x'), GgmlType::kF32, ok).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(writer.add_tensor("a", GgmlType::kQ8_0, odd).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(writer.add_tensor("a", GgmlType::kF32, zero).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(writer.add_tensor("a", GgmlType::kF32, huge).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(writer.add_tensor("a", GgmlType::kF32, many).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(writer.add_tensor("a", GgmlType::kF32, {}).error().code, ErrorCode::kInvalid);
  ASSERT_TRUE(writer.add_tensor("a", GgmlType::kF32, ok));
  EXPECT_EQ(writer.add_tensor("a", GgmlType::kF32, ok).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(writer.set_u32("", 1).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(writer.set_u32("general.alignment", 20).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(writer.set_string("general.alignment", "32").error().code, ErrorCode::kInvalid);
}

TEST(GgufWriter, TakesExactlyTheDeclaredData) {
  const TemporaryFolder folder;
  const std::vector<std::uint64_t> ne = {2};
  {
    GgufWriter writer;
    ASSERT_TRUE(writer.add_tensor("a", GgmlType::kF32, ne));
    EXPECT_EQ(writer.append(bytes_of("x")).error().code, ErrorCode::kInternal);  // Before begin().
    ASSERT_TRUE(writer.begin(folder.file("x.gguf")));
    EXPECT_EQ(writer.append(bytes_of("123456789")).error().code, ErrorCode::kInvalid);
    ASSERT_TRUE(writer.append(bytes_of("1234567")));
    EXPECT_THAT(writer.finish().error().message, HasSubstr("'a' is missing"));
    ASSERT_TRUE(writer.append(bytes_of("8")));
    EXPECT_EQ(writer.append(bytes_of("9")).error().code, ErrorCode::kInvalid);
  }
  EXPECT_EQ(folder.files(), 0U);  // Never finished: nothing is left.
}

TEST(GgufWriter, AFailedReplacementLeavesTheOldFile) {
  const TemporaryFolder folder;
  const std::string path = folder.write("x.gguf", "old");
  {
    GgufWriter writer;
    ASSERT_TRUE(writer.set_u32("k", 1));
    ASSERT_TRUE(writer.begin(path));
  }
  EXPECT_EQ(testing_text::read_file(path), "old");
  GgufWriter writer;
  ASSERT_TRUE(writer.set_u32("k", 1));
  EXPECT_EQ(writer.begin(folder.file("no/such/folder/x")).error().code, ErrorCode::kUnavailable);
  ASSERT_TRUE(writer.begin(path));
  ASSERT_TRUE(writer.finish());
  EXPECT_TRUE(GgufFile::open(path));
  EXPECT_EQ(folder.files(), 1U);
}

}  // namespace
}  // namespace sluice
