#include "common/text/tokenizer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "test_files.h"

namespace sluice {
namespace {

using nlohmann::json;

const Tokenizer& tiny() {
  static const Tokenizer tokenizer = [] {
    auto file = GgufFile::open(testing_text::default_model());
    EXPECT_TRUE(file) << file.error().message;
    auto loaded = Tokenizer::load(*file);
    EXPECT_TRUE(loaded) << loaded.error().message;
    return std::move(*loaded);
  }();
  return tokenizer;
}

const json& reference() {
  static const json values = json::parse(testing_text::read_file(testing_text::reference_json()));
  return values;
}

TEST(TinyTokenizer, MatchesEveryReferenceSample) {
  const json& samples = reference().at("tokenizer");
  ASSERT_EQ(samples.size(), 19U);
  for (const json& sample : samples) {
    const auto text = sample.at("text").get<std::string>();
    EXPECT_EQ(tiny().encode(text, {.parse_special = true}), sample.at("ids").get<std::vector<TokenId>>())
        << text;
  }
}

TEST(TinyTokenizer, MatchesEveryReferencePrompt) {
  const json& prompts = reference().at("prompts");
  ASSERT_EQ(prompts.size(), 12U);
  for (const json& prompt : prompts) {
    const auto text = prompt.at("text").get<std::string>();
    EXPECT_EQ(tiny().encode(text, {.parse_special = true}), prompt.at("ids").get<std::vector<TokenId>>())
        << text;
    const auto greedy = prompt.at("greedy_ids").get<std::vector<TokenId>>();
    EXPECT_EQ(tiny().decode(greedy), prompt.at("greedy_text").get<std::string>());
  }
}

}  // namespace
}  // namespace sluice
