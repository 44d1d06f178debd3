// Mutates valid inputs and feeds them to the GGUF and chat template decoders. Whatever comes out must be a
// result or an error: no crash, no hang, and what was accepted must be safe to use. A failure prints the
// seed.
#include <gtest/gtest.h>

#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

#include "common/text/byte_alphabet.h"
#include "common/text/chat_template.h"
#include "common/text/gguf_parse.h"
#include "common/text/model_file.h"
#include "test_files.h"
#include "tests/fuzz/mutator.h"

namespace sluice {
namespace {

using fuzz::Mutator;
using fuzz::rounds;
using fuzz::seed;
using testing_text::GgufBytes;

// All bytes, as byte-level vocabularies write them.
std::vector<std::string> byte_level_bytes() {
  std::vector<std::string> all;
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    append_in_alphabet({&c, 1}, all.emplace_back());
  }
  return all;
}

// Reads everything that an accepted header offers.
std::uint64_t touch(const GgufParsed& parsed, std::span<const std::byte> file) {
  std::uint64_t sum = 0;
  for (const GgufEntry& entry : parsed.entries) {
    sum += entry.key.size();
    for (const std::byte b : entry.payload) sum += std::to_integer<unsigned>(b);
  }
  for (const GgufTensor& tensor : parsed.tensors) {
    EXPECT_LE(parsed.data_offset + tensor.offset + tensor.bytes, file.size());
    const auto data = file.subspan(static_cast<std::size_t>(parsed.data_offset + tensor.offset),
                                   static_cast<std::size_t>(tensor.bytes));
    for (const std::byte b : data) sum += std::to_integer<unsigned>(b);
  }
  return sum;
}

TEST(Fuzz, GgufHeaders) {
  Mutator mutator(seed());
  const std::string valid = testing_text::small_gguf().str();
  std::uint64_t accepted = 0;
  std::uint64_t sum = 0;
  for (std::uint64_t round = 0; round < rounds(60'000); ++round) {
    SCOPED_TRACE("seed " + std::to_string(seed()) + ", round " + std::to_string(round));
    const std::string bytes = mutator.mutate(valid, {});
    const auto parsed = gguf_parse(std::as_bytes(std::span(bytes)), bytes.size());
    if (!parsed) {
      ASSERT_TRUE(parsed.error().code == ErrorCode::kCorrupt || parsed.error().code == ErrorCode::kInvalid);
      continue;
    }
    ++accepted;
    sum += touch(*parsed, std::as_bytes(std::span(bytes)));
  }
  EXPECT_GT(accepted, 0U);
  EXPECT_GT(sum, 0U);
}

// A vocabulary of each kind, template included.
GgufBytes model_file(bool pieces) {
  GgufBytes file;
  file.string("general.architecture", "qwen2")
      .scalar<std::uint32_t>("qwen2.context_length", testing_text::kU32, 128)
      .string("tokenizer.ggml.model", pieces ? "llama" : "gpt2")
      .string("tokenizer.ggml.pre", "qwen2");
  if (pieces) {
    file.strings("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "<0x61>", "<0xC3>", "a", "b", "ab", "▁",
                                           "▁ab", "abab", "[u]", "<|im_end|>", "▁▁"})
        .numbers<float>("tokenizer.ggml.scores", testing_text::kF32,
                        {0, 0, 0, 0, 0, -9, -9, -1, -9, -2, -3, 0, 0, -1})
        .numbers<std::int32_t>("tokenizer.ggml.token_type", testing_text::kI32,
                               {2, 3, 3, 6, 6, 1, 1, 5, 1, 1, 1, 4, 3, 4})
        .scalar<std::uint8_t>("tokenizer.ggml.add_space_prefix", testing_text::kBool, 1);
  } else {
    file.strings("tokenizer.ggml.tokens", {"a", "b", "ab", "Ġ", "Ċ", "<|im_start|>", "<|im_end|>", "Ã", "©"})
        .numbers<std::int32_t>("tokenizer.ggml.token_type", testing_text::kI32, {1, 1, 1, 1, 1, 3, 3, 1, 1})
        .strings("tokenizer.ggml.merges", {"a b", "Ã ©", "ab ab"});
  }
  file.scalar<std::uint32_t>("tokenizer.ggml.eos_token_id", testing_text::kU32, 6)
      .string("tokenizer.chat_template",
              "{% for m in messages %}{{ '<|im_start|>' + m.role + m.content }}{% endfor %}");
  std::uint64_t type = 0;
  // A row of one block of every type that weights can have.
  for (const char* name : {"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K",
                           "Q4_K", "Q5_K", "Q6_K"}) {
    const GgmlTypeTraits& traits = ggml_type_traits(*ggml_type_by_name(name));
    file.tensor("w" + std::to_string(type++), static_cast<std::uint32_t>(traits.type), {traits.values},
                std::string(traits.bytes, 'w'));
  }
  return file;
}

TEST(Fuzz, WholeModelFiles) {
  Mutator mutator(seed() + 1);
  const std::string valid[] = {model_file(false).str(), model_file(true).str()};
  const testing_text::TemporaryFolder folder;
  std::uint64_t accepted = 0;
  for (std::uint64_t round = 0; round < rounds(60'000) / 50; ++round) {
    SCOPED_TRACE("seed " + std::to_string(seed()) + ", round " + std::to_string(round));
    const auto model = ModelText::open(
        folder.write("x.gguf", mutator.mutate(valid[round % 2], {"a b", "<|im_end|>", "<0x62>", "▁"})));
    if (!model) continue;
    ++accepted;
    const std::string text = "abab é [u]<|im_end|> \xFF\n";
    const auto ids = model->tokenizer().encode(text, {.add_bos = true, .parse_special = true});
    for (const TokenId id : ids) {
      ASSERT_GE(id, 0);
      ASSERT_LT(static_cast<std::size_t>(id), model->tokenizer().vocab_size());
    }
    static_cast<void>(model->tokenizer().decode(ids));
    static_cast<void>(model->prompt_ids({{"user", text}}));
  }
  EXPECT_GT(accepted, 0U);
}

// Text of all sorts through every way of cutting: ids are of the vocabulary, and the bytes come back.
TEST(Fuzz, Texts) {
  Mutator mutator(seed() + 3);
  const std::vector<std::string> words = {"\u00e9",  "\u4f60\u597d",
                                          "\u3000",  "  ",
                                          "     ",   "\r\n",
                                          "'ll",     "123",
                                          "\u0301",  "\xF0\x9F\x98\x80",
                                          "\xC3",    "\xE2\x96",
                                          "\u200d",  std::string(1, '\0'),
                                          "<|end|>", "[u]",
                                          "A",       "\u0130",
                                          "\u0663",  "-->",
                                          "_"};
  std::vector<std::string> bytes;
  for (int byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", static_cast<unsigned>(byte));
    bytes.emplace_back(text);
  }
  const testing_text::TemporaryFolder folder;
  std::vector<Tokenizer> tokenizers;
  const auto load = [&](const GgufBytes& file) {
    const auto opened = GgufFile::open(folder.write("v.gguf", file.str()));
    ASSERT_TRUE(opened);
    auto tokenizer = Tokenizer::load(*opened);
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    tokenizers.push_back(std::move(*tokenizer));
  };
  for (const char* pre :
       {"qwen2", "deepseek-llm", "deepseek-coder", "deepseek-v3", "llama-bpe", "gpt-2", "default"}) {
    GgufBytes file;
    std::vector<std::string> tokens = byte_level_bytes();
    tokens.insert(tokens.end(), {"ab", "\u0120a", "<|end|>", "[u]"});
    std::vector<std::int32_t> types(tokens.size(), 1);
    types[types.size() - 2] = 3;
    types.back() = 4;
    file.string("tokenizer.ggml.model", "gpt2")
        .string("tokenizer.ggml.pre", pre)
        .strings("tokenizer.ggml.tokens", tokens)
        .numbers<std::int32_t>("tokenizer.ggml.token_type", testing_text::kI32, types)
        .strings("tokenizer.ggml.merges", {"a b", "\u0120 a", "\u0120 \u0120"});
    load(file);
  }
  for (const bool across : {false, true}) {
    GgufBytes file;
    std::vector<std::string> tokens = bytes;
    tokens.insert(tokens.end(), {"a", "b", "ab", "\u2581", "\u2581a", across ? "b\u2581" : "ba", "\u00e9",
                                 "<|end|>", "[u]", "\u2581\u2581", "\u2581\u2581\u2581\u2581", "   "});
    std::vector<std::int32_t> types(bytes.size(), 6);
    types.insert(types.end(), {1, 1, 1, 1, 1, 1, 1, 3, 4, 4, 4, 4});
    std::vector<float> scores;
    for (std::size_t i = 0; i < tokens.size(); ++i) scores.push_back(-static_cast<float>(i % 7));
    file.string("tokenizer.ggml.model", "llama")
        .strings("tokenizer.ggml.tokens", tokens)
        .numbers<float>("tokenizer.ggml.scores", testing_text::kF32, scores)
        .numbers<std::int32_t>("tokenizer.ggml.token_type", testing_text::kI32, types);
    load(file);
  }
  for (std::uint64_t round = 0; round < rounds(60'000) / 6; ++round) {
    SCOPED_TRACE("seed " + std::to_string(seed()) + ", round " + std::to_string(round));
    std::string text = "It's 12345 ab \u4f60\u597d (x) = [u];\n\n  y";
    for (std::size_t times = mutator.below(4); times > 0; --times) text = mutator.mutate(text, words);
    const bool marked = text.find("\u2581") != std::string::npos;
    for (const Tokenizer& tokenizer : tokenizers) {
      const auto ids = tokenizer.encode(text, {.parse_special = mutator.below(2) == 0});
      for (const TokenId id : ids) ASSERT_LT(static_cast<std::size_t>(id), tokenizer.vocab_size());
      const std::string back = tokenizer.decode(ids, true);
      ASSERT_TRUE(marked || back == text)
          << tokenizer.pre_tokenizer() << ": " << ::testing::PrintToString(text);
    }
  }
}

TEST(Fuzz, ChatTemplates) {
  Mutator mutator(seed() + 2);
  std::vector<std::string> sources;
  for (const char* name : {"qwen2_5_like", "qwen3_like", "llama3_like", "llama2_like", "deepseek_r1_like",
                           "deepseek_v3_like", "deepseek_llm_like", "deepseek_coder_like"}) {
    sources.push_back(testing_text::test_data(std::string(name) + ".jinja"));
    ASSERT_FALSE(sources.back().empty());
  }
  const auto cases = nlohmann::ordered_json::parse(testing_text::test_data("jinja_cases.json"));
  for (const auto& one : cases.at("cases")) sources.push_back(one.at(0).get<std::string>());
  const std::vector<std::string> words = {"{{",
                                          "}}",
                                          "{%",
                                          "%}",
                                          "{#",
                                          "#}",
                                          "-%}",
                                          "{%-",
                                          "'",
                                          "\"",
                                          "(",
                                          ")",
                                          "[",
                                          "]",
                                          "{",
                                          "}",
                                          "|",
                                          ".",
                                          ":",
                                          ",",
                                          "~",
                                          "+",
                                          "-",
                                          " not ",
                                          " in ",
                                          " is ",
                                          " if ",
                                          " else ",
                                          " and ",
                                          "messages",
                                          "loop",
                                          "ns",
                                          "[::-1]",
                                          "[1:]",
                                          "|tojson",
                                          "|length",
                                          "|map('upper')",
                                          ".split(' ')",
                                          "{% endif %}",
                                          "{% endfor %}",
                                          "{% for x in messages %}",
                                          "{% set x = x %}",
                                          "{% macro m(a) %}",
                                          "{% endmacro %}",
                                          "m(1)",
                                          "namespace(a=1)",
                                          "range(9)",
                                          "**",
                                          "//",
                                          "0",
                                          "9223372036854775807",
                                          "1.5e308"};
  const std::vector<ChatMessage> messages = {
      {"system", "s"}, {"user", " u é<|im_end|> "}, {"assistant", "<think>a</think>b"}};
  RenderOptions options;
  options.extra = cases.at("variables");
  options.limits = {.steps_max = 50'000, .bytes_max = 1 << 20, .bytes_per_input_byte = 16};
  std::uint64_t accepted = 0;
  for (std::uint64_t round = 0; round < rounds(60'000) / 4; ++round) {
    SCOPED_TRACE("seed " + std::to_string(seed()) + ", round " + std::to_string(round));
    const auto chat_template =
        ChatTemplate::parse(mutator.mutate(sources[mutator.below(sources.size())], words));
    if (!chat_template) {
      ASSERT_EQ(chat_template.error().code, ErrorCode::kInvalid);
      continue;
    }
    const auto text = chat_template->render_marked(messages, options);
    if (!text) {
      ASSERT_EQ(text.error().code, ErrorCode::kInvalid) << text.error().message;
      continue;
    }
    ++accepted;
    ASSERT_TRUE(text->empty() || text->runs().back().end == text->size());
  }
  EXPECT_GT(accepted, rounds(60'000) / 40);
}

}  // namespace
}  // namespace sluice
