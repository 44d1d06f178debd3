// Mutates valid inputs and feeds them to the GGUF and chat template decoders. Whatever comes out must be a
// result or an error: no crash, no hang, and what was accepted must be safe to use. A failure prints the
// seed.
#include <gtest/gtest.h>

#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include "common/base/rng.h"
#include "common/text/chat_template.h"
#include "common/text/gguf_parse.h"
#include "common/text/model_file.h"
#include "test_files.h"

namespace sluice {
namespace {

using testing_text::GgufBytes;

std::uint64_t setting(const char* name, std::uint64_t fallback) {
  const char* value = std::getenv(name);
  return value == nullptr ? fallback : std::strtoull(value, nullptr, 10);
}
std::uint64_t rounds(std::uint64_t fallback) {
  return setting("SLUICE_FUZZ_ROUNDS", fallback);
}
std::uint64_t seed() {
  return setting("SLUICE_FUZZ_SEED", 1);
}

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed_value) : rng_(seed_value) {}

  std::size_t below(std::size_t n) { return n == 0 ? 0 : static_cast<std::size_t>(rng_.next() % n); }

  // Flips bits, overwrites numbers with extreme ones, cuts, doubles and swaps stretches.
  std::string mutate(std::string bytes, const std::vector<std::string>& words) {
    for (std::size_t times = 1 + below(4); times > 0; --times) {
      const std::size_t at = below(bytes.size() + 1);
      switch (below(7)) {
        case 0:
          if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
          break;
        case 1:
          if (at < bytes.size()) bytes[at] = static_cast<char>(below(256));
          break;
        case 2: {
          static constexpr std::uint64_t kExtremes[] = {
              0, 1, 0x7F, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x100000000, 1ULL << 62, 1ULL << 63, ~0ULL};
          const std::uint64_t value = kExtremes[below(std::size(kExtremes))];
          const std::size_t width = below(2) == 0 ? 4 : 8;
          if (at + width <= bytes.size()) std::memcpy(bytes.data() + at, &value, width);
          break;
        }
        case 3:
          bytes.resize(at);
          break;
        case 4:
          bytes.erase(at, below(16));
          break;
        case 5:
          bytes.insert(at, bytes.substr(below(bytes.size() + 1), below(32)));
          break;
        default:
          if (!words.empty()) bytes.insert(at, words[below(words.size())]);
      }
    }
    return bytes;
  }

 private:
  SeededRng rng_;
};

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

TEST(Fuzz, WholeModelFiles) {
  Mutator mutator(seed() + 1);
  GgufBytes file;
  file.string("general.architecture", "qwen2")
      .scalar<std::uint32_t>("qwen2.context_length", testing_text::kU32, 128)
      .string("tokenizer.ggml.model", "gpt2")
      .string("tokenizer.ggml.pre", "qwen2")
      .strings("tokenizer.ggml.tokens", {"a", "b", "ab", "Ġ", "Ċ", "<|im_start|>", "<|im_end|>", "Ã", "©"})
      .numbers<std::int32_t>("tokenizer.ggml.token_type", testing_text::kI32, {1, 1, 1, 1, 1, 3, 3, 1, 1})
      .strings("tokenizer.ggml.merges", {"a b", "Ã ©", "ab ab"})
      .scalar<std::uint32_t>("tokenizer.ggml.eos_token_id", testing_text::kU32, 6)
      .string("tokenizer.chat_template",
              "{% for m in messages %}{{ '<|im_start|>' + m.role + m.content }}{% endfor %}")
      .tensor("w", 0, {4}, std::string(16, 'w'));
  const std::string valid = file.str();
  const testing_text::TemporaryFolder folder;
  std::uint64_t accepted = 0;
  for (std::uint64_t round = 0; round < rounds(60'000) / 100; ++round) {
    SCOPED_TRACE("seed " + std::to_string(seed()) + ", round " + std::to_string(round));
    const auto model = ModelText::open(folder.write("x.gguf", mutator.mutate(valid, {"a b", "<|im_end|>"})));
    if (!model) continue;
    ++accepted;
    const std::string text = "abab é <|im_end|> \xFF\n";
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

TEST(Fuzz, ChatTemplates) {
  Mutator mutator(seed() + 2);
  std::vector<std::string> sources;
  for (const char* name : {"qwen2_5_like", "qwen3_like", "llama3_like", "deepseek_r1_like"}) {
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
