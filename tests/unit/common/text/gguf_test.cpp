#include "common/text/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "common/text/gguf_parse.h"
#include "test_files.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing_text::Bytes;
using testing_text::GgufBytes;
using testing_text::kArray;
using testing_text::kBool;
using testing_text::kString;
using testing_text::kU32;
using testing_text::kU64;
using testing_text::small_gguf;
using testing_text::TemporaryFolder;

class Gguf : public testing::Test {
 protected:
  Result<GgufFile> open(std::string_view bytes) { return GgufFile::open(folder_.write("x.gguf", bytes)); }
  Error open_error(std::string_view bytes) {
    auto file = open(bytes);
    EXPECT_FALSE(file) << "the file was accepted";
    return file ? Error{} : file.error();
  }
  TemporaryFolder folder_;
};

TEST_F(Gguf, GivesTypedMetadata) {
  const auto file = open(small_gguf().str());
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->version(), 3U);
  EXPECT_EQ(file->alignment(), 32U);
  EXPECT_EQ(*file->string("general.name"), "small");
  EXPECT_EQ(*file->u32("a.u8"), 200U);
  EXPECT_EQ(*file->i64("a.i8"), -5);
  EXPECT_EQ(*file->u32("a.u16"), 60000U);
  EXPECT_EQ(*file->i64("a.i16"), -30000);
  EXPECT_EQ(*file->u32("a.u32"), 4'000'000'000U);
  EXPECT_EQ(*file->i64("a.i32"), -7);
  EXPECT_EQ(*file->f32("a.f32"), 1.5F);
  EXPECT_EQ(*file->f32("a.f64"), 0.25F);
  EXPECT_EQ(*file->u64("a.u64"), 1ULL << 63);
  EXPECT_EQ(*file->i64("a.i64"), -1);
  EXPECT_TRUE(*file->boolean("a.bool"));
  EXPECT_THAT(*file->strings("a.strings"), ElementsAre("one", "", "three"));
  EXPECT_THAT(*file->ints("a.ints"), ElementsAre(1, -2, 3));
  EXPECT_THAT(*file->floats("a.floats"), ElementsAre(0.5F, 2.0F));
  EXPECT_EQ(file->entries().size(), 17U);
  EXPECT_EQ(file->entries()[1].key, "general.name");
}

TEST_F(Gguf, NamesTheKeyThatIsMissingOrOfAnotherType) {
  const auto file = open(small_gguf().str());
  ASSERT_TRUE(file);
  EXPECT_EQ(file->u32("no.such").error().code, ErrorCode::kNotFound);
  EXPECT_THAT(file->u32("no.such").error().message, HasSubstr("'no.such'"));
  EXPECT_EQ(file->u32("general.name").error().code, ErrorCode::kInvalid);
  EXPECT_THAT(file->u32("general.name").error().message, HasSubstr("'general.name' is string"));
  EXPECT_EQ(file->u32("a.i32").error().code, ErrorCode::kInvalid);  // Negative.
  EXPECT_EQ(file->u32("a.u64").error().code, ErrorCode::kInvalid);  // Too large.
  EXPECT_EQ(file->i64("a.u64").error().code, ErrorCode::kInvalid);
  EXPECT_EQ(file->f32("a.u32").error().code, ErrorCode::kInvalid);
  EXPECT_EQ(file->boolean("a.u8").error().code, ErrorCode::kInvalid);
  EXPECT_EQ(file->string("a.strings").error().code, ErrorCode::kInvalid);
  EXPECT_EQ(file->strings("a.ints").error().code, ErrorCode::kInvalid);
  EXPECT_EQ(file->ints("a.floats").error().code, ErrorCode::kInvalid);
  EXPECT_EQ(file->ints("a.strings").error().code, ErrorCode::kInvalid);
  EXPECT_EQ(file->floats("a.u8").error().code, ErrorCode::kInvalid);
  EXPECT_EQ(*file->u32_or("no.such", 9), 9U);
  EXPECT_EQ(file->u32_or("general.name", 9).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(*file->string_or("no.such", "x"), "x");
  EXPECT_EQ(*file->f32_or("no.such", 2), 2.0F);
  EXPECT_TRUE(*file->boolean_or("no.such", true));
}

TEST_F(Gguf, GivesTensorsByNameAndInOrder) {
  const auto file = open(small_gguf().str());
  ASSERT_TRUE(file);
  ASSERT_EQ(file->tensors().size(), 3U);
  EXPECT_EQ(file->tensors()[0].name, "first");
  const auto second = file->tensor("second");
  ASSERT_TRUE(second);
  EXPECT_EQ((*second)->type, GgmlType::kQ8_0);
  EXPECT_EQ((*second)->dims, 3);
  EXPECT_THAT((*second)->ne, ElementsAre(32, 1, 2, 1));
  EXPECT_EQ((*second)->bytes, 68U);
  EXPECT_EQ((*second)->rows(), 2U);
  EXPECT_EQ((*second)->values(), 64U);
  EXPECT_EQ(static_cast<char>((*second)->view().front()), 's');
  EXPECT_EQ(static_cast<char>((*second)->view().back()), 's');
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>((*second)->data) % 32, 0U);
  EXPECT_EQ(file->tensor("fourth").error().code, ErrorCode::kNotFound);
  EXPECT_THAT(file->tensor("fourth").error().message, HasSubstr("'fourth'"));
}

TEST_F(Gguf, ViewsSurviveAMove) {
  auto file = open(small_gguf().str());
  ASSERT_TRUE(file);
  const std::string_view name = *file->string("general.name");
  const GgufTensor* tensor = file->find_tensor("third");
  const GgufFile moved = std::move(*file);
  EXPECT_EQ(name, "small");
  EXPECT_EQ(moved.find_tensor("third"), tensor);
  EXPECT_EQ(static_cast<char>(tensor->view()[5]), 't');
}

TEST_F(Gguf, ReadsVersion2AndOtherAlignments) {
  GgufBytes two = small_gguf();
  two.version = 2;
  EXPECT_TRUE(open(two.str()));
  GgufBytes wide;
  wide.alignment = 128;
  wide.scalar<std::uint32_t>("general.alignment", kU32, 128);
  wide.tensor("a", 0, {1}, "aaaa").tensor("b", 0, {1}, "bbbb");
  const auto file = open(wide.str());
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->alignment(), 128U);
  EXPECT_EQ(static_cast<char>(file->find_tensor("b")->view()[0]), 'b');
}

TEST_F(Gguf, ReadsAVocabularyWithoutTensors) {
  GgufBytes file;
  file.string("general.architecture", "x");
  const auto opened = open(file.str());
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_TRUE(opened->tensors().empty());
}

TEST_F(Gguf, RefusesWhatIsNoGguf) {
  EXPECT_EQ(GgufFile::open(folder_.file("none")).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(GgufFile::open("/").error().code, ErrorCode::kInvalid);
  ASSERT_EQ(::mkfifo(folder_.file("fifo").c_str(), 0600), 0);
  EXPECT_EQ(GgufFile::open(folder_.file("fifo")).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(open_error("").code, ErrorCode::kCorrupt);
  GgufBytes other = small_gguf();
  other.magic = "GGML";
  EXPECT_EQ(open_error(other.str()).code, ErrorCode::kInvalid);
  for (const std::uint32_t version : {0U, 1U, 4U, 0x03000000U}) {
    GgufBytes file = small_gguf();
    file.version = version;
    EXPECT_EQ(open_error(file.str()).code, ErrorCode::kInvalid) << version;
  }
  GgufBytes big = small_gguf();
  big.version = 0x03000000;
  EXPECT_THAT(open_error(big.str()).message, HasSubstr("big-endian"));
}

TEST_F(Gguf, RefusesEveryTruncation) {
  const std::string whole = small_gguf().str();
  const auto bytes = std::as_bytes(std::span(whole));
  ASSERT_TRUE(gguf_parse(bytes, whole.size()));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(gguf_parse(bytes.first(size), size)) << size << " of " << whole.size();
  }
  for (const std::size_t size : {std::size_t{1}, std::size_t{24}, whole.size() / 2, whole.size() - 1}) {
    EXPECT_EQ(open_error(whole.substr(0, size)).code, ErrorCode::kCorrupt) << size;
  }
}

TEST_F(Gguf, RefusesHugeCounts) {
  const auto with_counts = [](std::uint64_t tensors, std::uint64_t entries) {
    return Bytes()
        .raw("GGUF")
        .put<std::uint32_t>(3)
        .put(tensors)
        .put(entries)
        .raw(std::string(64, '\0'))
        .str();
  };
  for (const std::uint64_t count : {std::uint64_t{100}, std::uint64_t{1} << 32, ~std::uint64_t{0}}) {
    EXPECT_EQ(open_error(with_counts(count, 0)).code, ErrorCode::kCorrupt) << count;
    EXPECT_EQ(open_error(with_counts(0, count)).code, ErrorCode::kCorrupt) << count;
  }
}

TEST_F(Gguf, RefusesLengthsBeyondTheEnd) {
  for (const std::uint64_t length : {std::uint64_t{1000}, std::uint64_t{1} << 62, ~std::uint64_t{0}}) {
    GgufBytes string;
    string.entry("k", kString, Bytes().put(length).raw("abc").str());
    EXPECT_EQ(open_error(string.str()).code, ErrorCode::kCorrupt) << length;
    GgufBytes array;
    array.entry("k", kArray, Bytes().put(kU64).put(length).raw(std::string(64, '\0')).str());
    EXPECT_EQ(open_error(array.str()).code, ErrorCode::kCorrupt) << length;
    GgufBytes strings;
    strings.entry("k", kArray, Bytes().put(kString).put(length).raw(std::string(64, '\0')).str());
    EXPECT_EQ(open_error(strings.str()).code, ErrorCode::kCorrupt) << length;
  }
}

TEST_F(Gguf, RefusesBadMetadata) {
  GgufBytes unknown;
  unknown.entry("k", 13, "xxxx");
  EXPECT_THAT(open_error(unknown.str()).message, HasSubstr("'k' has the unknown type 13"));
  GgufBytes unknown_element;
  unknown_element.entry("k", kArray, Bytes().put<std::uint32_t>(99).put<std::uint64_t>(0).str());
  EXPECT_EQ(open_error(unknown_element.str()).code, ErrorCode::kInvalid);
  GgufBytes nested;
  nested.entry("k", kArray, Bytes().put(kArray).put<std::uint64_t>(1).put(kU32).put<std::uint64_t>(0).str());
  EXPECT_THAT(open_error(nested.str()).message, HasSubstr("array of arrays"));
  GgufBytes bad_bool;
  bad_bool.scalar<std::uint8_t>("k", kBool, 2);
  EXPECT_EQ(open_error(bad_bool.str()).code, ErrorCode::kCorrupt);
  GgufBytes twice;
  twice.string("k", "a").string("l", "b").string("k", "c");
  EXPECT_THAT(open_error(twice.str()).message, HasSubstr("'k' appears twice"));
  GgufBytes empty_key;
  empty_key.string("", "a");
  EXPECT_EQ(open_error(empty_key.str()).code, ErrorCode::kCorrupt);
  GgufBytes unprintable;
  unprintable.string("a\n\x1b[2J", "a").string("a\n\x1b[2J", "a");
  EXPECT_THAT(open_error(unprintable.str()).message, HasSubstr("a\\x0a\\x1b[2J"));
  for (const std::uint32_t alignment : {0U, 1U, 4U, 24U, 33U, 1U << 31}) {
    GgufBytes file;
    file.scalar("general.alignment", kU32, alignment);
    EXPECT_EQ(open_error(file.str()).code, ErrorCode::kInvalid) << alignment;
  }
  GgufBytes alignment_type;
  alignment_type.string("general.alignment", "32");
  EXPECT_EQ(open_error(alignment_type.str()).code, ErrorCode::kInvalid);
}

TEST_F(Gguf, RefusesBadTensors) {
  const auto with = [](std::uint32_t type, const std::vector<std::uint64_t>& ne, std::uint64_t offset = 0) {
    GgufBytes file;
    file.tensor_at("t", type, ne, offset).data(std::string(256, 'd'));
    return file.str();
  };
  ASSERT_TRUE(open(with(0, {64})));
  EXPECT_THAT(open_error(with(77, {64})).message, HasSubstr("'t' has the unknown type 77"));
  EXPECT_EQ(open_error(with(4, {64})).code, ErrorCode::kInvalid);  // A type that was removed from the format.
  EXPECT_EQ(open_error(with(0, {})).code, ErrorCode::kCorrupt);
  EXPECT_EQ(open_error(with(0, {1, 1, 1, 1, 1})).code, ErrorCode::kCorrupt);
  EXPECT_EQ(open_error(with(0, {0})).code, ErrorCode::kCorrupt);
  EXPECT_EQ(open_error(with(0, {4, 0})).code, ErrorCode::kCorrupt);
  EXPECT_EQ(open_error(with(0, {65})).code, ErrorCode::kCorrupt);  // One value beyond the end.
  EXPECT_EQ(open_error(with(0, {~std::uint64_t{0}})).code, ErrorCode::kCorrupt);
  EXPECT_EQ(open_error(with(0, {1ULL << 32, 1ULL << 32})).code,
            ErrorCode::kCorrupt);                                          // Product overflows to 0.
  EXPECT_EQ(open_error(with(0, {1ULL << 62})).code, ErrorCode::kCorrupt);  // Size overflows to 0.
  EXPECT_EQ(open_error(with(28, {1ULL << 61})).code, ErrorCode::kCorrupt);
  EXPECT_EQ(open_error(with(8, {33})).code, ErrorCode::kCorrupt);    // No whole number of blocks.
  EXPECT_EQ(open_error(with(0, {1}, 8)).code, ErrorCode::kCorrupt);  // Misaligned.
  EXPECT_EQ(open_error(with(0, {1}, 256)).code, ErrorCode::kCorrupt);
  EXPECT_EQ(open_error(with(0, {1}, ~std::uint64_t{31})).code, ErrorCode::kCorrupt);
  GgufBytes overlapping;
  overlapping.tensor_at("a", 0, {16}, 0).tensor_at("b", 0, {16}, 32).data(std::string(256, 'd'));
  EXPECT_THAT(open_error(overlapping.str()).message, HasSubstr("overlap"));
  GgufBytes twice;
  twice.tensor("a", 0, {1}, "aaaa").tensor("a", 0, {1}, "bbbb");
  EXPECT_THAT(open_error(twice.str()).message, HasSubstr("'a' appears twice"));
  GgufBytes long_name;
  long_name.tensor(std::string(65, 'n'), 0, {1}, "aaaa");
  EXPECT_EQ(open_error(long_name.str()).code, ErrorCode::kCorrupt);
}

TEST_F(Gguf, NoticesThatTheFileWasWrittenTo) {
  const std::string path = folder_.write("x.gguf", small_gguf().str());
  const auto file = GgufFile::open(path);
  ASSERT_TRUE(file);
  EXPECT_TRUE(file->check_unchanged());
  std::filesystem::resize_file(path, 100);
  EXPECT_EQ(file->check_unchanged().error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(*file->string("general.name"), "small");  // Metadata was copied.
}

TEST_F(Gguf, AReplacedFileStaysAsItWas) {
  const std::string path = folder_.write("x.gguf", small_gguf().str());
  const auto file = GgufFile::open(path);
  ASSERT_TRUE(file);
  std::filesystem::rename(folder_.write("new", "other"), path);
  EXPECT_TRUE(file->check_unchanged());
  EXPECT_EQ(static_cast<char>(file->find_tensor("first")->view()[0]), 'f');
}

TEST(GgmlTypes, HaveSizesAndNames) {
  EXPECT_EQ(ggml_row_bytes(GgmlType::kF32, 3), 12U);
  EXPECT_EQ(ggml_row_bytes(GgmlType::kQ8_0, 64), 68U);
  EXPECT_EQ(ggml_row_bytes(GgmlType::kQ4_0, 64), 36U);
  EXPECT_EQ(ggml_row_bytes(GgmlType::kQ4_K, 256), 144U);
  EXPECT_EQ(ggml_row_bytes(GgmlType::kQ6_K, 512), 420U);
  EXPECT_EQ(ggml_type_by_name("q8_0"), GgmlType::kQ8_0);
  EXPECT_EQ(ggml_type_by_name("Q4_K"), GgmlType::kQ4_K);
  EXPECT_EQ(ggml_type_by_name("bf16"), GgmlType::kBF16);
  EXPECT_EQ(ggml_type_by_name("Q8"), std::nullopt);
  EXPECT_EQ(ggml_type_traits(std::uint32_t{5}), nullptr);
}

TEST(DefaultModel, IsReadWhole) {
  const auto file = GgufFile::open(testing_text::default_model());
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(*file->string("general.architecture"), "qwen2");
  EXPECT_EQ(*file->string("general.name"), "sluice-tiny");
  EXPECT_EQ(*file->u32("qwen2.block_count"), 8U);
  EXPECT_EQ(file->find_tensor("output.weight"), nullptr);
  std::uint64_t values = 0;
  for (const GgufTensor& tensor : file->tensors()) values += tensor.values();
  EXPECT_EQ(values, 22'034'944U);
}

}  // namespace
}  // namespace sluice
