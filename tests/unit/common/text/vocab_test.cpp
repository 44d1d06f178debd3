// Real vocabularies against the ids that their reference tokenizers give. The folder is named by
// SLUICE_VOCAB_DIR: for each X.gguf, X.gguf.inp holds texts between separator lines and X.gguf.out a line of
// ids for each.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "common/text/tokenizer.h"
#include "test_files.h"

namespace sluice {
namespace {

std::vector<std::string> split_texts(const std::string& all) {
  const std::string separator = "\n__ggml_vocab_test__\n";
  std::vector<std::string> texts;
  std::size_t begin = 0;
  for (std::size_t at = all.find(separator); at != std::string::npos; at = all.find(separator, begin)) {
    texts.push_back(all.substr(begin, at - begin));
    begin = at + separator.size();
  }
  if (begin < all.size()) texts.push_back(all.substr(begin));
  return texts;
}

std::vector<TokenId> parse_ids(const std::string& line) {
  std::istringstream in(line);
  std::vector<TokenId> ids;
  for (TokenId id = 0; in >> id;) ids.push_back(id);
  return ids;
}

TEST(Vocabularies, EncodeAsTheirReferencesDo) {
  const char* folder = std::getenv("SLUICE_VOCAB_DIR");
  if (folder == nullptr) GTEST_SKIP() << "SLUICE_VOCAB_DIR is not set";
  int files = 0;
  for (const auto& item : std::filesystem::directory_iterator(folder)) {
    if (item.path().extension() != ".gguf") continue;
    SCOPED_TRACE(item.path().filename().string());
    const auto file = GgufFile::open(item.path().string());
    ASSERT_TRUE(file) << file.error().message;
    const auto tokenizer = Tokenizer::load(*file);
    if (!tokenizer && tokenizer.error().code == ErrorCode::kInvalid) continue;  // Not one of ours.
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    const auto texts = split_texts(testing_text::read_file(item.path().string() + ".inp"));
    std::ifstream out(item.path().string() + ".out");
    std::string line;
    std::size_t compared = 0;
    for (const std::string& text : texts) {
      if (!std::getline(out, line)) break;
      const auto ids = tokenizer->encode(text);
      EXPECT_EQ(ids, parse_ids(line)) << "text: " << ::testing::PrintToString(text);
      EXPECT_EQ(tokenizer->decode(ids, true), text);
      ++compared;
    }
    EXPECT_EQ(compared, texts.size());
    EXPECT_GT(compared, 0U);
    ++files;
  }
  EXPECT_GT(files, 0);
}

}  // namespace
}  // namespace sluice
